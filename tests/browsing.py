"""What the tests in a browser share: opening the page, and reading a whole Result from it."""

from __future__ import annotations

import base64
import json
import re
import struct
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

import pytest

from semerge.suites import Suite
from semerge.ui import words
from semerge.ui.words import View

MARKS = [
    pytest.mark.browser,
    pytest.mark.filterwarnings("ignore:.*(no_silent_downcasting|copy keyword)"),
]
PATIENCE = 60_000  # ms: for slow machines
DESKTOP, PHONE = (1280, 900), (390, 844)
THEMES = ("light", "dark")
TABS = {"image": "vision", "text": "language"}  # modality of a suite -> its tab's name


def others(walks: Sequence[tuple[Any, tuple[int, int], str]]) -> list[Any]:
    """The combinations of suite, size and theme that `walks` leaves out, for `make test-full`."""
    every = product(dict.fromkeys(walk[0] for walk in walks), (DESKTOP, PHONE), THEMES)
    return [wide(*one) for one in every if one not in walks]


def wide(*values: Any) -> Any:
    """One more combination of a sweep, for `make test-full`."""
    return pytest.param(*values, marks=pytest.mark.slow)


def window(browser: Any, finger: bool) -> Any:
    """The browser's one context with a finger, or without: what a page has fetched once, the next
    one need not fetch again."""
    known = _windows.setdefault(browser, {})
    if finger not in known:
        width, height = PHONE if finger else DESKTOP
        known[finger] = browser.new_context(
            viewport={"width": width, "height": height},
            has_touch=finger,
            permissions=["clipboard-read", "clipboard-write"],
        )
        known[finger].set_default_timeout(PATIENCE)
    return known[finger]


_windows: WeakKeyDictionary[Any, dict[bool, Any]] = WeakKeyDictionary()


@contextmanager
def visits(browser: Any, home: str) -> Iterator[Callable[..., Any]]:
    """Gives a function that opens the page as somebody who was never here.

    Fails at the end if there was an error in the console or a request to any host but this one,
    up to where a page was closed.
    """
    pages: list[Any] = []
    troubles: list[str] = []

    def open_page(
        size: tuple[int, int] = DESKTOP, theme: str = "light", url: str = home, query: str = ""
    ) -> Any:
        width, height = size
        context = window(browser, size == PHONE)
        page = context.new_page()
        pages.append(page)

        def trouble(text: str) -> None:
            if page not in _closing:
                troubles.append(text)

        page.set_viewport_size({"width": width, "height": height})
        kept = {"origin": url.rstrip("/"), "storageTypes": "cookies,local_storage"}
        context.new_cdp_session(page).send("Storage.clearDataForOrigin", kept)
        page.on("pageerror", lambda error: trouble(str(error)))
        page.on("console", lambda m: trouble(m.text) if bad(m) else None)
        page.on("request", lambda r: None if local(r.url) else trouble(r.url))
        page.goto(f"{url}?{query or f'__theme={theme}'}")
        return page

    yield open_page
    for page in pages:
        if not page.is_closed():
            close(page)
    assert not troubles, troubles


def close(page: Any) -> None:
    """Close a page. What it was still reading breaks off; its console says so, but nobody sees."""
    page.evaluate("0")  # what it has told by now comes before this answer
    _closing.add(page)
    page.close()


_closing: WeakSet[Any] = WeakSet()


def bad(message: Any) -> bool:
    """Errors, but not the browser's remark that a validator refused (status 422)."""
    return message.type == "error" and "status of 422" not in message.text


def local(url: str) -> bool:
    return url.startswith(("data:", "blob:", "http://127.0.0.1", "http://localhost"))


def upload(page: Any, file: Path) -> None:
    """Choose a file in place of the image that is there."""
    page.get_by_role("tab", name="Image", exact=True).click()  # the page may open with the pad
    page.get_by_label("Remove Image").click()
    page.locator("#vision-image input[type=file]").set_input_files(file)


def upload_set(page: Any, tab: str, file: Path) -> None:
    """Choose a file of labelled samples, in place of one that is there, and wait for its row.

    The row and not the name: while a file is on its way, the name stands alone, for a moment.
    """
    place = page.locator(f"#{tab}-upload")
    if place.get_by_label("Clear").count():
        place.get_by_label("Clear").click()
    place.locator("input[type=file]").set_input_files(file)
    place.get_by_label(file.name, exact=True).wait_for()


def choose(page: Any, label: str, option: str) -> None:
    """Take an option of a dropdown."""
    page.get_by_label(label, exact=True).click()
    page.get_by_role("option", name=option, exact=True).click()


def shown(page: Any, tab: str) -> dict[str, Any]:
    """The Result behind what is on the page: the file that the download button saves."""
    link = page.locator(f"#{tab}-footer a[download]").get_attribute("href")
    return timeless(json.loads(base64.b64decode(link.split(",", 1)[1])))


def timeless(result: Mapping[str, Any]) -> dict[str, Any]:
    """A Result's JSON object without what differs from run to run, and what a file says beside."""
    beside = ("timings_ms", "input", "date")
    return {key: value for key, value in result.items() if key not in beside}


def chart(page: Any, name: str) -> list[str]:
    """The words of a chart of one input, in order."""
    texts = page.locator(f"#{name} :is(.se-label, .se-value)")
    texts.first.wait_for(state="attached")  # the distances may be shown in its place
    return texts.all_text_contents()


def drawn(page: Any, tab: str) -> None:
    """Wait until both charts of a tab are drawn."""
    for name in ("similarity", "coefficients"):
        page.locator(f"#{tab}-{name} .se-rows li").first.wait_for(state="attached")


def go_to_layers(page: Any) -> None:
    """Open the tab once the models are there; before, it would say that they are loading."""
    page.locator("#vision-answers .se-card").first.wait_for()
    page.locator("#status li").first.wait_for(state="detached")
    go(page, "Layers")


def until(page: Any, holds: Callable[[], bool]) -> None:
    """Give the page time to come to what holds; whoever calls asserts that it did."""
    end = time.monotonic() + PATIENCE / 1000
    while not holds() and time.monotonic() < end:
        page.wait_for_timeout(50)


def settle(page: Any, want: Mapping[str, Any], suite: Suite) -> None:
    """Wait until the page shows this Result, and check every place that shows it."""
    tab, view = TABS[suite.modality], View(want, suite)
    sentence = f"#{tab}-sentence .se-sentence"
    page.wait_for_function(
        "([node, text]) => document.querySelector(node)?.textContent === text",
        arg=[sentence, words.sentence(view)],
    )
    # seen, too: a page that has just opened may draw its panel a second time
    page.wait_for_function(
        "([node, text]) => document.querySelector(node)?.innerText.includes(text)",
        arg=[sentence, view.answer("se")],
    )
    # another Result may have the same sentence: an opening that was stored, other coefficients
    until(page, lambda: shown(page, tab) == timeless(want))
    assert shown(page, tab) == timeless(want)
    for kind in ("se", "static"):
        card = page.locator(f"#{tab}-answers .se-card.{kind}")
        assert card.locator(".se-answer").inner_text() == view.answer(kind)
        scores = [words.percent(entry["score"]) for entry in want["predictions"][kind][:5]]
        assert card.locator(".se-scores .se-value").all_text_contents() == scores
    value = f"{words.number(want['similarities'][view.chosen])} chosen"
    until(page, lambda: value in chart(page, f"{tab}-similarity"))
    bars = chart(page, f"{tab}-similarity")
    assert value in bars
    assert [t for t in bars if t in view.titles] == view.titles
    pairs = zip(want["static_coefficients"], want["coefficients"], strict=True)
    arrows = [f"{words.number(a)} → {words.number(b)}" for a, b in pairs]

    def drawn_arrows() -> list[str]:
        return [text for text in chart(page, f"{tab}-coefficients") if "→" in text]

    until(page, lambda: drawn_arrows() == arrows)
    assert drawn_arrows() == arrows


def saved_chart(page: Any, chart: str, folder: Path) -> str:
    """Save a chart as PNG and as SVG, check both, and return the words in the picture."""
    for kind in ("png", "svg"):
        with page.expect_download() as download:
            page.locator(f"[data-save={chart}][data-as={kind}]").click()
        assert download.value.suggested_filename == f"{chart}.{kind}"
        download.value.save_as(folder / f"{chart}.{kind}")
    png = (folder / f"{chart}.png").read_bytes()
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    assert struct.unpack(">II", png[16:24]) == (1920, 1080)
    source = (folder / f"{chart}.svg").read_text(encoding="utf-8")
    svg = ET.fromstring(source)
    assert (svg.get("width"), svg.get("height")) == ("1920", "1080")
    # dark on white in either theme, and nothing that would have to be fetched
    ground = next(node for node in svg if node.tag.endswith("}rect"))
    assert (ground.get("width"), ground.get("height")) == ("960", "540")
    assert "fill: rgb(255, 255, 255)" in ground.get("style", "")
    assert "rgb(22, 24, 29)" in source
    links = [v for node in svg.iter() for k, v in node.attrib.items() if k.endswith("href")]
    assert all(link.startswith(("#", "data:")) for link in links)
    assert not re.search(r"url\(['\"]?(?!#|['\"]?#|&quot;#)[a-z]+:", source)
    assert "<script" not in source and "@import" not in source
    texts = [node for node in svg.iter() if node.tag.endswith("}text")]
    # the day it was saved, beside what it is of
    assert any(re.search(r"\b20\d\d-\d\d-\d\d$", "".join(n.itertext())) for n in texts)
    # large enough for a slide, in a font that every machine has
    for node in texts:
        style = node.get("style", "")
        assert "Arial" in style and not re.search(r"font-size: (\d|1[0-5])(\.\d+)?px", style), style
    return "\n".join("".join(node.itertext()).strip() for node in texts).replace("\xa0", " ")


def go(page: Any, name: str) -> None:
    """Open a tab; on a phone it may be in the menu at the end of its row."""
    page.locator("#tabs [role=tab]").first.wait_for()
    tab = page.get_by_role("tab", name=name, exact=True)
    if tab.count() and tab.is_visible():
        tab.click()
        return
    for menu in page.locator(".overflow-menu > button:visible").all():
        menu.click()
        entry = page.locator(".overflow-dropdown button:visible", has_text=name)
        if entry.count():
            entry.first.click()
            return
        menu.click()
    raise AssertionError(f"there is no tab {name}")


def check_tabs(page: Any) -> None:
    """No tab has serious accessibility faults or is wider than the window, all its folds open."""
    faults = {}
    for tab in ("Vision", "Language", "About"):
        go(page, tab)
        if tab != "About":
            drawn(page, tab.lower())
            page.locator(f"#{tab.lower()}-link [data-link]").wait_for()
        for fold in page.locator(".se-fold > button:visible").all():
            fold.click()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        if found := serious_faults(page):
            faults[tab] = found
    assert not faults, json.dumps(faults, indent=1)


LOOKS = [(DESKTOP, "light"), (PHONE, "dark"), wide(DESKTOP, "dark"), wide(PHONE, "light")]
"""Sizes and themes; the other files' walks have the combinations that are wide here."""
OTHER_LOOKS = [(DESKTOP, "dark"), (PHONE, "light"), wide(DESKTOP, "light"), wide(PHONE, "dark")]


def check_look(page: Any, theme: str) -> None:
    """As it is now, the page has this theme, is no wider than the window, and axe is content."""
    assert page.evaluate("document.body.classList.contains('dark')") is (theme == "dark")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert not (faults := serious_faults(page)), json.dumps(faults, indent=1)


def press_at_once(page: Any, part: str, *keys: str) -> None:
    """Press buttons of a part one after another, before the first is answered."""
    page.evaluate(
        "([part, keys]) => keys.forEach(key => "
        "document.querySelector(`${part} [data-key='${key}']`).click())",
        [part, keys],
    )


def serious_faults(page: Any) -> dict[str, list[str]]:
    """What axe finds on the page: rule -> the first elements that break it. Before it looks, charts
    are drawn and Gradio's veil has gone from what was being answered."""
    from axe_playwright_python.sync_playwright import Axe

    page.wait_for_function(
        """() => ![...document.querySelectorAll(
          '.empty[aria-label], [data-testid=status-tracker].translucent:not(:has(.error))'
        )].some(n => n.checkVisibility({visibilityProperty: true, opacityProperty: true}))"""
    )
    found = Axe().run(page).response
    assert found["passes"]
    return {
        violation["id"]: [node["html"][:160] for node in violation["nodes"][:3]]
        for violation in found["violations"]
        if violation["impact"] in ("serious", "critical")
    }
