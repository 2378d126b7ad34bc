"""The page in a headless chromium, as a visitor uses it: mouse, keyboard, finger, both themes.

Engines are fakes: what is tested is that the page shows the Result that an engine gives.
"""

from __future__ import annotations

import json
import math
import re
import threading
from itertools import pairwise
from pathlib import Path
from typing import Any

import browsing
import pytest
from browsing import DESKTOP, LOOKS, MARKS, PHONE, check_tabs, choose, close, drawn, upload, wide
from fakes import FakeEngine, fake_app, fake_suite

from semerge.inputs import decode_image
from semerge.result import Result
from semerge.settings import Settings
from semerge.ui import scene

pytestmark = MARKS


@pytest.fixture(scope="module")
def folder(drawings: Path) -> Path:
    return drawings


@pytest.fixture(scope="module")
def app(fake_page: str) -> str:
    return fake_page


def settle(page: Any, expected: Result, tab: str = "vision") -> None:
    suite = fake_suite("image" if tab == "vision" else "text")
    browsing.settle(page, json.loads(json.dumps(expected.to_dict())), suite)


def engine(modality: str = "image") -> FakeEngine:
    return FakeEngine(fake_suite(modality))


@pytest.mark.parametrize("theme", ["light", wide("dark")])
def test_the_first_example_is_there_and_an_upload_is_answered(
    visit: Any, folder: Path, theme: str
) -> None:
    page = visit(theme=theme)
    settle(page, engine().predict(decode_image(folder / "vision" / "mnist_1.png")))
    assert page.locator("#vision-examples [aria-pressed=true][data-example]").count() == 1

    file = folder / "vision" / "gtsrb_2.png"
    upload(page, file)
    settle(page, engine().predict(decode_image(file)))
    assert page.locator("#vision-examples [aria-pressed=true][data-example]").count() == 0
    assert (
        page.locator("#vision-seen img").get_attribute("alt").endswith("48\u00a0×\u00a048\u00a0px")
    )

    page.get_by_role("tab", name="Language").click()
    page.get_by_label("Sentence", exact=True).fill("Play some quiet music")
    page.get_by_role("button", name="Run").click()
    settle(page, engine("text").predict("Play some quiet music"), "language")


def test_examples_options_and_reset(visit: Any, folder: Path) -> None:
    page = visit()
    drawn(page, "vision")
    page.get_by_role("button", name="EuroSAT: river").click()
    picture = decode_image(folder / "vision" / "eurosat_1.png")
    settle(page, engine().predict(picture))
    assert "Right answer: river" in page.locator("#vision-sentence").inner_text()

    page.get_by_role("button", name="Options").click()
    page.get_by_label("literal").check()
    settle(page, engine().predict(picture, Settings(preset="literal")))
    choose(page, "Probe layer", "final embedding")
    settle(page, engine().predict(picture, Settings(preset="literal", layer="final")))
    choose(page, "Probe layer", "block 2")
    choose(page, "Head", "Textures")
    want = engine().predict(picture, Settings(preset="literal", layer=2, head="textures"))
    settle(page, want)
    assert "the head you chose" in page.locator("#vision-answers").inner_text()
    page.get_by_role("button", name="Back to the suite's defaults").click()
    settle(page, engine().predict(picture))


def test_a_sentence_by_example_by_enter_and_hostile(visit: Any) -> None:
    page = visit()
    page.get_by_role("tab", name="Language").click()
    page.locator("#language-sentence .se-sentence").wait_for()
    page.get_by_role("button", name="Languages").click()
    line = page.get_by_role("button", name="Le marché ouvre").first
    line.click()
    settle(page, engine("text").predict(line.inner_text()), "language")
    box = page.get_by_label("Sentence", exact=True)
    assert box.input_value() == line.inner_text()
    hostile = "<img src=x onerror=alert(1)> {{x}} ${y} =1+1 \u05e9\u05dc\u05d5\u05dd"
    box.fill(hostile)
    box.press("Enter")
    settle(page, engine("text").predict(hostile), "language")
    box.fill("   ")
    page.get_by_role("button", name="Run").click()
    page.get_by_text("Type a sentence.").wait_for()


def test_a_bad_image_is_told_and_the_next_one_works(
    visit: Any, folder: Path, tmp_path: Path
) -> None:
    page = visit()
    page.locator("#vision-sentence .se-sentence").wait_for()
    bad = tmp_path / "text.png"
    bad.write_text("no image at all")
    upload(page, bad)
    alert = page.locator("#vision-sentence [role=alert]")
    alert.wait_for()
    assert "not a readable image" in alert.inner_text()
    # no old answer beside the new input, nor the old input as the model saw it
    assert not page.locator("#vision-answers").is_visible()
    assert not page.locator("#vision-seen img").count()
    page.get_by_role("button", name="MNIST: digit 2").click()
    settle(page, engine().predict(decode_image(folder / "vision" / "mnist_2.png")))


@pytest.mark.parametrize("size", [DESKTOP, PHONE])
def test_a_drawing_is_answered_and_can_be_taken_back(visit: Any, size: tuple[int, int]) -> None:
    page = visit(size)
    before = page.locator("#vision-sentence .se-sentence").inner_text()
    page.get_by_role("tab", name="Draw").click()
    pad = page.locator("#vision-pad canvas")
    pad.scroll_into_view_if_needed()
    box = pad.bounding_box()
    x, y = box["x"] + 60, box["y"] + 60
    if size == PHONE:
        page.touchscreen.tap(x, y)
    else:
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(x + 120, y + 140, steps=6)
        page.mouse.up()
    page.wait_for_function(
        "text => document.querySelector('#vision-sentence .se-sentence')?.textContent !== text",
        arg=before,
    )
    ink = (
        "c => [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data]"
        ".filter(v => v > 200).length"
    )
    opaque = 336 * 336
    assert pad.evaluate(ink) > opaque  # some pixels are white
    page.get_by_role("button", name="Undo").click()
    assert pad.evaluate(ink) == opaque
    page.get_by_role("button", name="Paper").click()
    assert pad.evaluate(ink) == 4 * opaque


def test_the_page_opens_before_the_models_and_fills_itself(visit: Any, tmp_path: Path) -> None:
    gate = threading.Event()
    with fake_app(tmp_path, gate) as url:
        page = visit(url=url)
        page.get_by_text("Mini Vision: loading").wait_for()
        page.get_by_text("Mini Text: waiting").wait_for()
        assert "Loading the vision experts" in page.locator("#vision-sentence").inner_text()
        gate.set()
        settle(page, engine().predict(decode_image(tmp_path / "vision" / "mnist_1.png")))
        page.locator("#status li").first.wait_for(state="detached")
        close(page)  # before its server goes


def test_what_is_asked_while_the_models_load_is_answered_and_stays(
    visit: Any, tmp_path: Path
) -> None:
    gate = threading.Event()
    with fake_app(tmp_path, gate) as url:
        page = visit(url=url)
        page.get_by_role("tab", name="Language").click()
        box = page.get_by_label("Sentence", exact=True)
        box.fill("asked before anything is there")
        box.press("Enter")
        page.get_by_text("Mini Text: waiting").wait_for()
        gate.set()
        want = engine("text").predict("asked before anything is there")
        settle(page, want, "language")
        page.locator("#status li").first.wait_for(state="detached")
        page.wait_for_timeout(1500)  # two looks of the timer that fills in the opening example
        settle(page, want, "language")
        close(page)  # before its server goes


@pytest.mark.parametrize(("size", "theme"), LOOKS)
def test_no_tab_has_serious_accessibility_faults(
    visit: Any, size: tuple[int, int], theme: str
) -> None:
    check_tabs(visit(size, theme))


# ---- the picture ---------------------------------------------------------------------------------

# of the picture in the Vision tab: where each expert is drawn, in px from its middle, and how many
# px a unit of it has
PLACES = """() => {
  const svg = document.querySelector('#vision-scene svg');
  const from = svg.querySelector('.se-rose').getScreenCTM();
  const marks = [...svg.querySelectorAll('[data-expert]')].map(node => {
    const to = node.querySelector('.mark').getScreenCTM();
    return [node.dataset.expert, [to.e - from.e, to.f - from.f]];
  });
  return [Object.fromEntries(marks), from.a];
}"""
# notes every stage that this picture is at
NOTES = """stages = [];
new MutationObserver(changes => changes.forEach(({target}) => {
  const {stage} = target.dataset;
  if (stage && target.closest('#vision-scene') && stages.at(-1) !== stage) stages.push(stage);
})).observe(document, {subtree: true, attributeFilter: ['data-stage']});"""
STEPS = ("probe", "similarity", "rescale", "answer")


def test_the_picture_has_the_results_distances_and_is_stepped_by_key(visit: Any) -> None:
    page = visit()
    figure = page.locator("#vision-scene .se-scene")
    page.locator("#vision-scene [data-stage=answer]").wait_for()
    # what moves the marks has ended
    moving = "document.querySelector('#vision-scene').getAnimations({subtree: true}).length"
    page.wait_for_function(f"{moving} === 0")
    result = browsing.shown(page, "vision")
    places, unit = page.evaluate(PLACES)
    largest = max(result["distances"])
    assert sorted(places) == sorted(result["tasks"])
    for task, distance in zip(result["tasks"], result["distances"], strict=True):
        radius = unit * scene.RADIUS * distance / largest
        assert abs(math.hypot(*places[task]) - radius) < 1

    def at(step: str) -> None:
        page.locator(f"#vision-scene [data-stage={step}]").wait_for()
        told = figure.locator(".se-step:visible")
        assert told.count() == 1 and told.get_attribute("data-step") == step
        current = figure.locator("[aria-current=step]")
        assert current.count() == 1 and current.get_attribute("data-scene") == step

    at("answer")
    figure.focus()
    for key, step in (
        *(("ArrowLeft", step) for step in STEPS[2::-1]),
        ("ArrowLeft", "probe"),  # the first one stays
        ("ArrowRight", "similarity"),
        ("End", "answer"),
        ("Home", "probe"),
    ):
        page.keyboard.press(key)
        at(step)
    page.wait_for_function(
        "getComputedStyle(document.querySelector('#vision-scene .answers')).opacity === '0'"
    )
    figure.get_by_role("button", name="Rescale").click()
    at("rescale")
    figure.get_by_role("button", name="Replay").click()
    at("answer")


@pytest.mark.parametrize("motion", ["no-preference", "reduce"])
def test_the_picture_plays_once_where_things_may_move(browser: Any, app: str, motion: str) -> None:
    context = browser.new_context(
        viewport={"width": DESKTOP[0], "height": DESKTOP[1]}, reduced_motion=motion
    )
    page = context.new_page()
    page.set_default_timeout(browsing.PATIENCE)
    page.add_init_script(NOTES)
    page.goto(app)
    page.wait_for_function("stages.at(-1) === 'answer'")
    # nothing but another answer plays it again: neither a tab nor the same answer
    for tab in ("About", "Vision"):
        page.get_by_role("tab", name=tab, exact=True).click()
    page.wait_for_timeout(300)
    expected = ["start", *STEPS] if motion == "no-preference" else ["answer"]
    assert page.evaluate("stages") == expected
    page.get_by_role("button", name="EuroSAT: river").click()
    page.wait_for_function("n => stages.length >= n", arg=len(expected) + (motion != "reduce"))
    page.wait_for_function("stages.at(-1) === 'answer'")
    assert page.evaluate("stages") == (2 * expected if motion != "reduce" else expected)
    context.close()


# ---- by keyboard ---------------------------------------------------------------------------------

# the element that has the focus: the part of the tab it is in, if its ring can be seen, its markup
STOP = """() => {
  const n = document.activeElement, style = getComputedStyle(n);
  const part = n.closest('.se-input') ? 'input' : n.closest('#vision-examples') ? 'examples'
    : n.closest('#vision-options') ? 'options' : n.closest('.se-result') ? 'result' : '';
  const ring = style.outlineStyle === 'solid' && parseFloat(style.outlineWidth) >= 2
    && n.getBoundingClientRect().width > 10 && Number(style.opacity) > 0;
  return [part, ring, n.outerHTML.slice(0, 120)];
}"""


def test_headings_labels_the_way_by_keyboard_and_to_the_rates(visit: Any) -> None:
    page = visit()
    page.locator("#vision-coefficients .se-value").first.wait_for()
    levels = page.evaluate(
        "[...document.querySelectorAll('h1,h2,h3,h4')].filter(h => h.offsetParent)"
        ".map(h => Number(h.tagName[1]))"
    )
    assert levels.count(1) == 1 and levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    unnamed = page.evaluate(
        "[...document.querySelectorAll('.se-desk button, .se-desk img, .se-header button')]"
        ".filter(n => n.offsetParent && !(n.innerText?.trim() || n.title || n.alt"
        " || n.getAttribute('aria-label'))).map(n => n.outerHTML.slice(0, 120))"
    )
    assert not unnamed
    # by the Tab key: input first, then examples, then options, then the answer; each with a ring
    order, unseen = [], []
    for _ in range(90):
        page.keyboard.press("Tab")
        where, ring, what = page.evaluate(STOP)
        if where and where not in order:
            order.append(where)
        if where and not ring:
            unseen.append(what)
    assert not unseen
    assert order == ["input", "examples", "options", "result"]

    page.get_by_role("link", name=re.compile("overall rates")).click()
    page.get_by_role("heading", name="How often it is right").wait_for()


def test_charts_follow_the_theme(visit: Any) -> None:
    page = visit()
    page.locator("#vision-coefficients .se-value").first.wait_for()
    colour = "n => getComputedStyle(n).color"
    text = page.locator("#vision-coefficients .se-value").first
    light = text.evaluate(colour)
    address = page.url
    page.get_by_role("button", name="Switch between light and dark").click()
    dark = text.evaluate(colour)
    assert dark != light
    # the address follows, and what it names counts more than the last choice
    page.wait_for_url("**__theme=dark**")
    for url, want in ((page.url, dark), (address, light)):
        page.goto(url)
        page.locator("#vision-coefficients .se-value").first.wait_for()
        assert text.evaluate(colour) == want


def test_another_suite_brings_its_tasks_and_its_second_sentence(visit: Any, tmp_path: Path) -> None:
    pairs = fake_suite("text", pair=True, name="pairs")
    with fake_app(tmp_path, more=[pairs]) as url:
        page = visit(url=url)
        page.get_by_role("tab", name="Language").click()
        page.locator("#language-coefficients .se-value").first.wait_for()
        second = page.get_by_label("Second sentence (for tasks that compare two)")
        assert not second.is_visible()
        page.get_by_role("button", name="Options").click()
        choose(page, "Suite", "pairs")
        second.wait_for()
        page.locator("#language-footer", has_text="pairs, preset sharp").wait_for()
        page.get_by_text("pairs knows 7 tasks").wait_for()
        page.get_by_label("Sentence", exact=True).fill("One sentence.")
        second.fill("And another one.")
        second.press("Enter")
        settle(page, FakeEngine(pairs).predict("One sentence."), "language")
        close(page)  # before its server goes
