"""Links in a headless chromium: copied from one server, opened in a fresh browser from the next.

The suites are the bundled ones; a server that is started anew has a new page and a new context.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from browsing import MARKS, choose, close, drawn, serious_faults, shown, until, upload, visits
from bundled import EXAMPLES, TEXT, VISION
from fakes import FakeEngine, fake_examples, fake_suite, served

from semerge.suites import Suite
from semerge.suites.examples import load_examples
from semerge.ui.context import LONG_TEXT, OWN_IMAGE, Context

pytestmark = MARKS
SENTENCE = "Où est <b>la gare</b> & why = 100%?"
# the fields of the open tab, by label or id, and what they hold; texts that are read, without times
STATE = """([tab, parts]) => {
  const panel = document.getElementById(`${tab}-tab`);
  const fields = [...panel.querySelectorAll('input, textarea')]
    .filter(field => field.type !== 'file' && !field.closest('.se-pad'))
    .map(field => ['radio', 'checkbox'].includes(field.type)
      ? [field.value, field.checked] : [field.getAttribute('aria-label'), field.value]);
  const texts = parts.map(part => document.querySelector(part)?.innerText ?? null);
  return [fields, texts];
}"""


# ---- one state a tab, as a visitor comes to it ---------------------------------------------------


def in_vision(page: Any) -> None:
    options(page, "vision")
    page.locator("#vision-options").get_by_label("literal").check()
    holds(page, "vision", "preset=literal")
    choose(page, "Probe layer", "block 2")
    holds(page, "vision", "layer=2")
    choose(page, "Head", VISION.tasks[1].title)
    holds(page, "vision", f"head={VISION.tasks[1].name}")
    page.locator("#vision-examples [data-example='20']").click()
    holds(page, "vision", "example=20")


def in_language(page: Any) -> None:
    options(page, "language")
    page.locator("#language-options").get_by_label("hard").check()
    holds(page, "language", "preset=hard")
    page.locator("#language-text textarea").fill(SENTENCE)
    page.locator("#language-run").click()
    holds(page, "language", "text=O")


def in_layers(page: Any) -> None:
    picked(page, "layers")
    page.locator("#layers-layer input[type=number]").fill("3")
    page.locator("#layers-layer input[type=number]").press("Enter")
    holds(page, "layers", "layer=3")
    page.locator("#layers-preset").get_by_label("literal").check()
    holds(page, "layers", "preset=literal")


def in_sandbox(page: Any) -> None:
    picked(page, "sandbox")
    number = page.locator("#sandbox-coefficient-1 input[type=number]")
    number.fill("0.85")
    number.press("Enter")
    holds(page, "sandbox", f"c.{TEXT.tasks[1].name}=0.85")


def in_inspect(page: Any) -> None:
    page.locator("#inspect-suite input").click()
    page.get_by_role("option", name=TEXT.title).click()
    holds(page, "inspect", f"suite={TEXT.name}")
    page.locator("#inspect-run").click()
    page.locator("#inspect-board").wait_for()
    page.locator("#inspect-status").get_by_text("samples in").wait_for()
    page.locator("#inspect-search input").press_sequentially("e ", delay=50)
    holds(page, "inspect", "search=e+")
    page.get_by_role("button", name="Next page").click()
    holds(page, "inspect", "table_page=2")


def in_compare(page: Any) -> None:
    picked(page, "compare")
    options(page, "compare-b")
    page.locator("#compare-b-options").get_by_label("hard").check()
    holds(page, "compare", "b_preset=hard")


def in_about(page: Any) -> None:
    holds(page, "about", "tab=about")


WAYS: dict[str, tuple[Callable[[Any], None], tuple[str, ...]]] = {
    "vision": (in_vision, ("#vision-sentence", "#vision-answers", "#vision-seen")),
    "language": (in_language, ("#language-sentence", "#language-answers")),
    "layers": (in_layers, ("#layers-told", "#layers-changes", "#layers-tables")),
    "sandbox": (in_sandbox, ("#sandbox-cards", "#sandbox-readout", "#sandbox-given")),
    "inspect": (in_inspect, ("#inspect-figures", "#inspect-table")),
    "compare": (in_compare, ("#compare-given", "#compare-differs", "#compare-side-b")),
    "about": (in_about, ()),
}


def options(page: Any, name: str) -> None:
    page.locator(f"#{name}-options > button").click()
    page.locator(f"#{name}-options").get_by_label("literal").wait_for()


def picked(page: Any, tab: str) -> None:
    """Choose a text suite and the second of its examples."""
    page.locator(f"#{tab}-suite input").click()
    page.get_by_role("option", name=TEXT.title).click()
    holds(page, tab, f"suite={TEXT.name}")
    page.locator(f"#{tab}-example input").click()
    page.get_by_role("option").nth(2).click()
    holds(page, tab, "example=1&")


def holds(page: Any, tab: str, part: str) -> None:
    """Wait until the tab's link has this in it."""
    page.wait_for_function(
        "([id, part]) => document.querySelector(`[id='${id}-tab'] [data-link]`)"
        "?.dataset.link.includes(part)",
        arg=[tab, part],
    )


def state(page: Any, tab: str) -> list[Any]:
    fields, texts = page.evaluate(STATE, [tab, list(WAYS[tab][1])])
    # neither our times nor Gradio's clock of an event ("0.3s"), which a part may keep
    timeless = [
        t and re.sub(r"[\d.,]+\s(ms|s|min)\b", "", re.sub(r"^\d+\.\ds\s+", "", t)) for t in texts
    ]
    return [link_of(page, tab), fields, timeless]


def link_of(page: Any, tab: str) -> str | None:
    return page.locator(f"[id='{tab}-tab'] [data-link]").first.get_attribute("data-link")


def open_tab(page: Any, tab: str) -> None:
    page.get_by_role("tab", name=tab.capitalize(), exact=True).click()


def copied(page: Any, tab: str) -> str:
    """The address that the button copies."""
    place = page.locator(f"[id='{tab}-tab'] .se-link").first
    place.get_by_role("button", name="Copy link").click()
    place.get_by_text("Copied", exact=True).wait_for()
    return page.evaluate("navigator.clipboard.readText()")


# ---- copied from one server, opened from the next ------------------------------------------------


@pytest.mark.parametrize("tab", WAYS)
def test_a_link_opens_the_same_state_after_a_restart(
    browser: Any, shipped_page: str, restarted_page: str, tab: str
) -> None:
    bring, _ = WAYS[tab]
    with visits(browser, shipped_page) as open_page:
        page = open_page()
        page.locator("#vision-sentence .se-sentence").wait_for()
        open_tab(page, tab)
        bring(page)
        link = urlsplit(copied(page, tab))
        assert dict(parse_qsl(link.query))["tab"] == tab and link.path == "/"

        again = open_page(url=restarted_page, query=link.query)
        again.locator("#link-opened [data-opened]").wait_for(state="attached")
        for name in {"vision": ["vision"], "language": ["language"], "compare": ["compare-b"]}.get(
            tab, []
        ):
            options(again, name)
        # until neither changes any more
        until(again, lambda: state(again, tab) == state(page, tab))
        assert state(again, tab) == state(page, tab)
        assert again.locator("#link-notice p").count() == 0
        if tab in ("vision", "language"):  # and the copy of the copy is the link itself
            assert urlsplit(copied(again, tab)).query == link.query


# ---- Vision and Language -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(drawings: Path) -> Path:
    return drawings


@pytest.fixture(scope="module")
def app(fake_page: str) -> str:
    return fake_page


def test_the_address_follows_and_a_reload_opens_the_same(visit: Any) -> None:
    page = visit(query="__theme=dark&__lang=en")
    drawn(page, "vision")
    page.locator("#vision-examples [data-example='9']").click()
    page.wait_for_url(re.compile(r"\?tab=vision&suite=mini-vision&example=9&.*__theme=dark"))
    assert "__lang=en" in page.url
    before = shown(page, "vision")
    page.reload()
    page.locator("#link-opened [data-opened]").wait_for(state="attached")
    holds(page, "vision", "example=9")
    page.locator("#vision-examples [data-example='9'][aria-pressed=true]").wait_for()
    assert shown(page, "vision") == before
    assert page.evaluate("document.body.classList.contains('dark')")
    open_tab(page, "about")
    page.wait_for_url(re.compile(r"\?tab=about&"))
    page.locator("#about-tab [data-link]").scroll_into_view_if_needed()
    assert urlsplit(copied(page, "about")).query == "tab=about"  # who opens it has a theme


def test_a_link_is_not_overwritten_when_the_engines_come_late(
    browser: Any, folder: Path, app: str
) -> None:
    gate = threading.Event()

    def load(suite: Suite) -> FakeEngine:
        assert gate.wait(300)
        return FakeEngine(suite)

    suites = [fake_suite("image"), fake_suite("text")]
    late = Context.make(suites, load_examples(fake_examples(folder)), load)
    query = "tab=vision&suite=mini-vision&example=1&preset=hard&layer=2"
    with served(late) as url, visits(browser, url) as open_page:
        page = open_page(query=query)
        page.locator("#status", has_text="loading").wait_for()
        page.wait_for_timeout(2000)  # a few looks at the engines
        assert page.locator("#vision-result").get_by_text("This looks like").count() == 0
        gate.set()
        page.locator("#link-opened [data-opened]").wait_for(state="attached")
        page.locator("#status li").first.wait_for(state="detached")
        page.wait_for_timeout(2000)
        result = shown(page, "vision")
        assert (result["preset"], result["layer"]) == ("hard", 2)  # of the same example
        open_tab(page, "language")  # which no link named, so it has its opening example
        page.locator("#language-sentence .se-sentence").wait_for()
        assert shown(page, "language")["preset"] == "sharp"
        close(page)


def test_what_a_link_can_not_hold_is_said(visit: Any, folder: Path) -> None:
    page = visit()
    page.locator("#vision-sentence .se-sentence").wait_for()
    upload(page, folder / "vision" / "gtsrb_2.png")
    page.get_by_text(OWN_IMAGE).wait_for()
    assert "example" not in copied(page, "vision")
    open_tab(page, "language")
    box = page.locator("#language-text textarea")
    box.fill("word " * 101)
    box.press("Enter")
    page.get_by_text(LONG_TEXT).wait_for()
    assert "word" not in copied(page, "language")
    page.wait_for_function("location.search.includes('tab=language')")
    assert "word" not in page.url


def test_an_unknown_value_is_told_until_something_else_is_shown(visit: Any) -> None:
    evil = "%3Cscript%3Edocument.title%3D1%3C/script%3E"
    page = visit(query=f"tab=vision&layer=99&preset={evil}&example=3&example=%00&{'x' * 3000}=1")
    notice = page.locator("#link-notice .se-notice")
    notice.wait_for()
    page.locator("#link-opened [data-opened]").wait_for(state="attached")
    told = notice.locator("p").all_text_contents()
    assert len(told) == 3 and "The link's layer '99' is not known here" in "".join(told)
    assert shown(page, "vision")["layer"] == 4 and page.title() == "SE-Merging"
    drawn(page, "vision")
    assert serious_faults(page) == {}
    page.locator("#vision-examples [data-example='5']").click()
    notice.wait_for(state="detached")


def test_an_unknown_tab_opens_the_page_as_ever(visit: Any) -> None:
    page = visit(query="tab=../../etc&__theme=light")
    page.locator("#link-notice").get_by_text("The link's tab").wait_for()
    page.locator("#vision-sentence .se-sentence").wait_for()
    assert page.get_by_role("tab", name="Vision").get_attribute("aria-selected") == "true"


def test_without_a_clipboard_the_link_is_there_to_be_copied(visit: Any) -> None:
    page = visit()
    page.locator("#vision-sentence .se-sentence").wait_for()
    page.evaluate("Object.defineProperty(navigator, 'clipboard', {value: undefined})")
    place = page.locator("#vision-link")
    place.get_by_role("button", name="Copy link").click()
    field = place.get_by_label("Link", exact=True)
    assert "tab=vision&suite=mini-vision&example=1" in field.input_value()
    selected = page.evaluate("getSelection().toString() || document.activeElement.value")
    assert selected == field.input_value()
    assert "Ctrl+C" in place.get_by_role("status").inner_text()


# ---- handing an input over -----------------------------------------------------------------------


def test_an_input_is_handed_over(browser: Any, shipped_page: str) -> None:
    with visits(browser, shipped_page) as open_page:
        page = open_page()
        drawn(page, "vision")
        page.locator("#vision-examples [data-example='20']").click()
        holds(page, "vision", "example=20")
        for tab in ("layers", "sandbox", "compare"):
            page.locator(f"#vision-to-{tab}").click()
            page.locator(f"[id='{tab}-tab']").wait_for()
            holds(page, tab, "example=20")
            page.wait_for_url(re.compile(f"tab={tab}&.*example=20"))
            open_tab(page, "vision")
        file = EXAMPLES.vision[7].file
        upload(page, file)
        page.get_by_text(OWN_IMAGE).first.wait_for()
        page.locator("#vision-to-sandbox").click()
        page.locator("#sandbox-tab").get_by_text(OWN_IMAGE).wait_for()
        seen = page.locator("#sandbox-given img").get_attribute("src")
        open_tab(page, "vision")
        assert page.locator("#vision-seen img").get_attribute("src") == seen
        open_tab(page, "language")
        page.locator("#language-text textarea").fill(SENTENCE)
        page.locator("#language-run").click()
        holds(page, "language", "text=O")
        page.locator("#language-to-layers").click()
        holds(page, "layers", f"suite={TEXT.name}")
        holds(page, "layers", "text=O")
