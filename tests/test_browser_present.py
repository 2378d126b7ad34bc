"""Presenting (`?present=1`) and saved charts in a headless chromium. Engines are fakes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from browsing import DESKTOP, MARKS, PHONE, drawn, saved_chart, serious_faults, until, wide
from fakes import FakeEngine, fake_suite

from semerge.inputs import decode_image
from semerge.suites.examples import Examples, load_examples
from semerge.ui import words
from semerge.ui.words import View

pytestmark = MARKS
PROJECTOR = (1024, 768)
STEPS = ("probe", "similarity", "rescale", "answer")
PARTS = {  # what of the panel belongs to which step
    "probe": "#{0}-distances li",
    "similarity": "#{0}-similarity .se-rows",
    "rescale": "#{0}-coefficients .se-rows",
    "answer": "#{0}-answers .se-card.se",
}
# font size, width and height of the charts as they are drawn
DRAWN = (
    "[...document.querySelectorAll('#vision-result .se-rows')].map(rows => "
    "[getComputedStyle(rows.querySelector('.se-label')).fontSize,"
    " rows.clientWidth, rows.clientHeight])"
)
# visible texts smaller than they may be: [text, font size]
SMALL = """limit => {
  const found = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode.parentElement;
    const skip = ['SCRIPT', 'STYLE', 'NOSCRIPT'].includes(node.tagName);
    if (skip || !walker.currentNode.data.trim() || !node.checkVisibility()) continue;
    if (node.closest('.visually-hidden, .sr-only, [aria-hidden=true] > svg')) continue;
    const size = parseFloat(getComputedStyle(node).fontSize);
    if (size < limit) found.push([walker.currentNode.data.trim().slice(0, 40), size]);
  }
  return found;
}"""


@pytest.fixture(scope="module")
def folder(drawings: Path) -> Path:
    return drawings


@pytest.fixture(scope="module")
def app(fake_page: str) -> str:
    return fake_page


@pytest.fixture(scope="module")
def examples(app: str, folder: Path) -> Examples:
    return load_examples(folder)


def view_of(tab: str, examples: Examples, index: int) -> View:
    suite = fake_suite("image" if tab == "vision" else "text")
    example = examples.of(suite.modality)[index]
    sample = decode_image(example.file) if example.file else example.text
    result = FakeEngine(suite).predict(sample).to_dict()
    return View(json.loads(json.dumps(result)), suite, example)


def shows(page: Any, tab: str, examples: Examples, index: int) -> None:
    """Wait until this example's Result is on the page."""
    view = view_of(tab, examples, index)
    page.wait_for_function(
        "([node, text]) => document.querySelector(node)?.textContent === text",
        arg=[f"#{tab}-sentence .se-sentence", words.sentence(view)],
    )
    page.wait_for_function(
        "([node, size]) => [...document.querySelectorAll(node)].some(t => t.textContent === size)",
        arg=[f"#{tab}-coefficients .se-label", view.titles[0]],
    )


def start(visit: Any, tab: str = "vision", size: tuple[int, int] = PROJECTOR, **more: str) -> Any:
    query = "&".join(f"{k}={v}" for k, v in {"tab": tab, "present": "1", **more}.items())
    page = visit(size, query=query)
    page.locator("#link-opened [data-opened]").wait_for(state="attached")
    page.locator(f"#{tab}-result .se-rows").first.wait_for(state="attached")
    return page


def visible(page: Any, tab: str) -> set[str]:
    """The steps of which a part can be seen."""
    return {s for s, part in PARTS.items() if page.locator(part.format(tab)).first.is_visible()}


def at_step(page: Any, step: str) -> None:
    page.wait_for_function("step => document.documentElement.dataset.step === step", arg=step)


# ---- type and what is hidden ---------------------------------------------------------------------


# in the dark test_browser_present_bundled.py looks at the projector's page
@pytest.mark.parametrize("theme", ["light", wide("dark")])
def test_everything_is_large_and_prose_is_gone(visit: Any, theme: str) -> None:
    page = start(visit, "vision", __theme=theme)
    for tab in ("vision", "language"):
        page.get_by_role("tab", name=tab.capitalize()).click()
        page.locator(f"#{tab}-coefficients .se-rows").wait_for(state="attached")
        assert page.evaluate(SMALL, 20) == []
        for large in (f"#{tab}-sentence .se-sentence", f"#{tab}-answers .se-card.se .se-answer"):
            size = page.locator(large).evaluate(
                "node => parseFloat(getComputedStyle(node).fontSize)"
            )
            assert size >= 28
        for gone in (
            ".se-header", "footer", f"#{tab}-footer", f"#{tab}-examples", f"#{tab}-options",
            f"#{tab}-link", f"#{tab}-run", f"#{tab}-result .se-summary", f"#{tab}-result .se-save",
        ):  # fmt: skip
            assert not page.locator(gone).first.is_visible(), gone
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        # what was seen and what was answered fit on the projector without scrolling
        bar = page.locator(".se-presenter").bounding_box()["y"]
        box = page.locator(f"#{tab}-answers .se-card.se .se-answer").bounding_box()
        assert box["y"] + box["height"] < bar
        assert serious_faults(page) == {}


def test_an_unknown_step_is_the_overview_and_other_tabs_are_large_and_have_none(visit: Any) -> None:
    page = start(visit, "vision", step="%3Cscript%3E")
    page.locator("#vision-sentence .se-sentence").wait_for()
    assert page.get_by_text("Overview", exact=True).is_visible()
    page.get_by_role("tab", name="About").click()
    bar = page.locator(".se-presenter")
    bar.get_by_role("button", name="Next step").wait_for(state="hidden")
    assert bar.get_by_role("button", name="End presenting").is_visible()
    size = "node => parseFloat(getComputedStyle(node).fontSize)"
    assert page.locator("#about-tab .se-prose p").first.evaluate(size) >= 20
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.documentElement.dataset.step") is None


# ---- keys ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("tab", ["vision", "language"])
def test_arrows_step_the_examples_in_the_order_of_the_gallery(
    visit: Any, tab: str, examples: Examples
) -> None:
    page = start(visit, tab)
    modality = "image" if tab == "vision" else "text"
    suite = fake_suite(modality)
    order = [
        example.index
        for group in examples.by_task(modality, suite.task_names).values()
        for example in group
    ]
    place = order.index(examples.opening(modality).index)
    shows(page, tab, examples, order[place])
    for key, step in (("ArrowRight", 1), ("ArrowRight", 1), ("ArrowLeft", -1)):
        page.keyboard.press(key)
        place += step
        shows(page, tab, examples, order[place])
        page.get_by_text(f"Example {place + 1} of {len(order)}", exact=True).wait_for()
        page.wait_for_url(re.compile(f"example={order[place]}&.*present=1"))
    page.keyboard.press("Home")
    shows(page, tab, examples, examples.opening(modality).index)


@pytest.mark.parametrize("tab", ["vision", "language"])
def test_the_four_steps_come_one_by_one(visit: Any, tab: str, examples: Examples) -> None:
    page = start(visit, tab)
    modality = "image" if tab == "vision" else "text"
    view = view_of(tab, examples, examples.opening(modality).index)
    sentence = page.locator(f"#{tab}-sentence .se-sentence")
    assert visible(page, tab) == {"answer"} and sentence.is_visible()
    numbers = {
        "probe": words.distance(view.column("distances")[view.chosen]),
        "similarity": words.number(view.column("similarities")[view.chosen]),
        "rescale": words.number(view.column("coefficients")[view.chosen]),
        "answer": words.percent(view.result["predictions"]["se"][0]["score"]),
    }
    for i, step in enumerate(STEPS):
        page.keyboard.press("ArrowDown" if i % 2 else "PageDown")
        at_step(page, step)
        assert visible(page, tab) == {step}  # beside the picture, which has what came before
        assert not sentence.is_visible()  # it tells the answer
        told = page.locator(f"#{tab}-result .se-step:visible")
        assert told.count() == 1 and told.get_attribute("data-step") == step
        assert numbers[step] in told.inner_text()
        assert view.titles[view.chosen] in told.inner_text() or step == "answer"
        # its sentence is on top of its part, and in sight
        assert 0 < told.bounding_box()["y"] < 400
        part = page.locator(PARTS[step].format(tab)).first.bounding_box()
        assert part["y"] > told.bounding_box()["y"]
        assert page.get_by_text(re.compile(f"^{i + 1} of 4: ")).is_visible()
    page.keyboard.press("ArrowDown")
    at_step(page, "answer")  # the last one stays
    page.keyboard.press("ArrowUp")
    at_step(page, "rescale")
    page.keyboard.press("PageUp")
    at_step(page, "similarity")
    page.keyboard.press("Home")
    sentence.wait_for()
    assert visible(page, tab) == {"answer"}


def test_keys_belong_to_the_field_that_has_the_focus(visit: Any, examples: Examples) -> None:
    page = start(visit, "language")
    shows(page, "language", examples, 0)
    box = page.locator("#language-text textarea")
    box.fill("Two words")
    for key in ("ArrowLeft", "ArrowRight", "ArrowDown", "ArrowUp", "Home", "PageDown"):
        box.press(key)
    assert page.evaluate("document.documentElement.dataset.step") is None
    assert box.input_value() == "Two words"
    page.get_by_text("Example 1 of 56", exact=True).wait_for()
    box.press("Enter")
    page.get_by_text("Own input", exact=True).wait_for()
    box.blur()
    page.keyboard.press("ArrowRight")  # from an input of one's own to the first
    shows(page, "language", examples, 0)
    assert page.evaluate("document.documentElement.dataset.step") is None


def test_the_bar_does_what_the_keys_do_and_ends_it(visit: Any, examples: Examples) -> None:
    page = visit(DESKTOP)
    shows(page, "vision", examples, 1)
    assert not page.locator(".se-presenter").count()
    before = page.evaluate(f"JSON.stringify({DRAWN})")
    page.get_by_role("button", name="Present", exact=True).click()
    bar = page.locator(".se-presenter")
    bar.get_by_role("button", name="Next example").click()
    shows(page, "vision", examples, 2)
    for step in STEPS[:2]:
        bar.get_by_role("button", name="Next step").click()
        at_step(page, step)
    bar.get_by_role("button", name="Step before").click()
    at_step(page, "probe")
    page.wait_for_url(re.compile("example=2&.*present=1&step=probe"))
    bar.get_by_role("button", name="Example before").click()
    shows(page, "vision", examples, 1)
    # the link of a step opens it; the address is written after the screen, not with it
    page.wait_for_url(re.compile("example=1&.*present=1&step=probe"))
    again = visit(DESKTOP, query=urlsplit(page.url).query)
    shows(again, "vision", examples, 1)
    at_step(again, "probe")
    until(again, lambda: visible(again, "vision") == {"probe"})
    assert visible(again, "vision") == {"probe"}
    bar.get_by_role("button", name="Reset to the first example").click()
    page.locator("#vision-sentence .se-sentence").wait_for()
    bar.get_by_role("button", name="End presenting").click()
    bar.wait_for(state="hidden")
    assert page.locator(".se-header").is_visible() and page.locator("#vision-footer").is_visible()
    page.wait_for_function("!location.search.includes('present')")
    page.wait_for_function(f"before => JSON.stringify({DRAWN}) === before", arg=before)
    assert page.evaluate("document.documentElement.dataset.step") is None
    # the picture is at its end again, with the sentence of its last step
    told = page.locator("#vision-scene .se-step:visible")
    assert told.count() == 1 and told.get_attribute("data-step") == "answer"


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_holds_on_a_phone_and_for_every_step(visit: Any, theme: str) -> None:
    page = start(visit, "vision", PHONE, __theme=theme, step="rescale")
    at_step(page, "rescale")
    drawn(page, "vision")
    for step in (None, "answer"):
        if step:
            page.locator(".se-presenter").get_by_role("button", name="Next step").click()
            at_step(page, step)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert serious_faults(page) == {}


# of all that is seen of the open tab, in the window or below it: the lowest edge, and the widest;
# and where the bar begins
EDGES = """() => {
  const open = [...document.querySelectorAll('#tabs > [role=tabpanel]')]
    .find(panel => panel.id && panel.style.display !== 'none');
  const parts = 'p, li, svg, img, canvas, button, textarea, bdi, .se-card';
  const seen = [...open.querySelectorAll(parts)]
    .filter(node => node.checkVisibility({visibilityProperty: true}) && !node.closest('.se-unseen'))
    .map(node => node.getBoundingClientRect()).filter(box => box.height > 1);
  return [Math.max(...seen.map(box => box.bottom)), Math.max(...seen.map(box => box.right)),
    document.querySelector('.se-presenter').getBoundingClientRect().top];
}"""


@pytest.mark.parametrize("size", [(1280, 720), (1920, 1080)])
@pytest.mark.parametrize(
    ("tab", "way"), [("vision", "Image"), ("vision", "Draw"), ("language", "")]
)
def test_every_step_fits_the_slide(visit: Any, tab: str, way: str, size: tuple[int, int]) -> None:
    page = start(visit, tab, size)
    if way:
        page.get_by_role("tab", name=way, exact=True).click()
        page.locator({"Image": "#vision-image img", "Draw": "#vision-pad canvas"}[way]).wait_for()
        # as the model sees it: left out where the drawing says so and there is no room
        assert page.locator("#vision-seen img").is_visible() == (way == "Image" or size[1] > 800)
    for step in (None, *STEPS):
        if step:
            page.keyboard.press("ArrowDown")
            at_step(page, step)
            page.locator(PARTS[step].format(tab)).first.wait_for()
            assert page.locator(f"#{tab}-scene svg").is_visible()
        lowest, widest, bar = page.evaluate(EDGES)
        assert lowest <= bar, (step, lowest, bar)
        assert widest <= size[0], step
    assert page.evaluate("scrollY") == 0


def test_full_screen_a_black_screen_and_the_end_by_key(visit: Any) -> None:
    page = start(visit)
    black, bar = page.locator(".se-black"), page.locator(".se-presenter")
    page.keyboard.press("b")
    black.wait_for()
    box = black.bounding_box()
    assert (box["width"], box["height"]) == PROJECTOR
    assert black.evaluate("n => getComputedStyle(n).backgroundColor") == "rgb(0, 0, 0)"
    page.keyboard.press("Escape")
    black.wait_for(state="hidden")
    assert bar.is_visible()
    bar.get_by_role("button", name="Black screen").click()
    black.wait_for()
    page.keyboard.press("ArrowDown")  # goes on, and is seen
    black.wait_for(state="hidden")
    at_step(page, "probe")
    page.keyboard.press("f")
    page.wait_for_function("document.fullscreenElement === document.documentElement")
    page.keyboard.press("f")
    page.wait_for_function("document.fullscreenElement === null")
    page.keyboard.press("Escape")
    bar.wait_for(state="hidden")
    assert page.locator(".se-header").is_visible()


def test_a_list_of_ones_own_is_made_and_opened(visit: Any, examples: Examples) -> None:
    page = start(visit)
    bar = page.locator(".se-presenter")
    star = bar.get_by_role("button", name="In my list")
    shows(page, "vision", examples, 1)
    assert star.get_attribute("aria-pressed") == "false"
    page.keyboard.press("k")
    page.wait_for_url(re.compile(r"present=1&item=1$"))
    for _ in range(2):
        page.keyboard.press("ArrowRight")
    shows(page, "vision", examples, 3)
    star.click()
    page.wait_for_url(re.compile(r"example=3&.*present=1&item=1&item=3$"))
    page.get_by_text("Example 4 of 32", exact=True).wait_for()

    again = visit(PROJECTOR, query=urlsplit(page.url).query)
    shows(again, "vision", examples, 3)
    again.get_by_text("Example 2 of 2", exact=True).wait_for()
    again.keyboard.press("ArrowLeft")
    shows(again, "vision", examples, 1)
    again.get_by_text("Example 1 of 2", exact=True).wait_for()
    again.keyboard.press("ArrowLeft")  # the first stays
    again.get_by_text("Example 1 of 2", exact=True).wait_for()


def test_the_list_holds_sentences_of_ones_own_and_nothing_unknown(
    visit: Any, examples: Examples
) -> None:
    page = start(visit, "language", item="~Two%20words&item=2&item=999&item=%3Cb%3E")
    page.get_by_text("Own input", exact=True).or_(page.get_by_text(" of 2")).first.wait_for()
    page.keyboard.press("Home")
    page.get_by_text("Example 1 of 2", exact=True).wait_for()
    assert page.locator("#language-text textarea").input_value() == "Two words"
    want = FakeEngine(fake_suite("text")).predict("Two words").to_dict()
    view = View(json.loads(json.dumps(want)), fake_suite("text"))
    page.wait_for_function(
        "text => document.querySelector('#language-sentence .se-sentence')?.textContent === text",
        arg=words.sentence(view),
    )
    page.keyboard.press("ArrowRight")
    shows(page, "language", examples, 2)


def test_a_right_example_has_no_statistics_on_its_slide(visit: Any, examples: Examples) -> None:
    page = start(visit)
    index = next(i for i in range(32) if view_of("vision", examples, i).right("se"))
    page.evaluate("i => document.querySelector(`[data-example='${i}']`).click()", index)
    shows(page, "vision", examples, index)
    page.locator("#vision-sentence .se-headline.is-right").wait_for()
    for gone in (".se-rate", ".se-notice", ".se-why", ".se-summary"):
        assert not page.locator(f"#vision-result {gone}:visible").count(), gone


# ---- saved charts --------------------------------------------------------------------------------


# charts of a light page are saved in test_browser_layers.py
@pytest.mark.parametrize("theme", [wide("light"), "dark"])
def test_charts_are_saved_at_the_size_of_a_slide(
    visit: Any, examples: Examples, tmp_path: Path, theme: str
) -> None:
    page = visit(theme=theme)
    shows(page, "vision", examples, 1)
    view = view_of("vision", examples, 1)
    page.get_by_role("button", name="Relative similarity").locator("visible=true").click()
    for chart, title, legend in (
        ("similarity", "Relative similarity at block 4", ["chosen expert", "the others"]),
        (
            "coefficients",
            "Coefficients before and after",
            ["after, SE-Merging", "before, static λ"],
        ),
    ):
        told = saved_chart(page, f"vision-{chart}", tmp_path)
        for wanted in (title, *legend, *view.titles, words.origin(view)):
            assert wanted in told


def test_a_picture_that_can_not_be_made_is_told(visit: Any, examples: Examples) -> None:
    page = visit()
    shows(page, "vision", examples, 1)
    page.evaluate(
        "() => { make = XMLSerializer.prototype.serializeToString;"
        " XMLSerializer.prototype.serializeToString = () => { throw 1; }; }"
    )
    page.get_by_role("button", name="Relative similarity").locator("visible=true").click()
    button = page.locator("[data-save=vision-similarity][data-as=png]")
    button.click()
    told = page.get_by_role("alert").filter(has_text="The picture could not be made")
    told.wait_for()
    button.click()
    assert told.count() == 1 and not serious_faults(page)
    page.evaluate("() => { XMLSerializer.prototype.serializeToString = make; }")
    with page.expect_download():
        button.click()
    assert told.count() == 0


def test_the_address_is_left_alone_until_something_changes(visit: Any, examples: Examples) -> None:
    page = visit()
    shows(page, "vision", examples, 1)
    page.locator("#link-opened [data-opened]").wait_for(state="attached")
    assert urlsplit(page.url).query == "__theme=light"
    page.get_by_role("tab", name="About").click()
    page.wait_for_url(re.compile("tab=about"))
    assert parse_qs(urlsplit(page.url).query) == {"tab": ["about"], "__theme": ["light"]}
