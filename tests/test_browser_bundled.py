"""The app as it is shipped, in a headless chromium: both bundled suites with their real weights.

No figure of the weights is written here: the page has to show what `semerge predict --json` prints
for the same input, and what an engine of its own answers.
"""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Iterator
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browsing import DESKTOP, PHONE, choose, serious_faults, settle, upload, visits
from fakes import served
from PIL import Image

from semerge.cli import main
from semerge.engine import Engine, load_engine
from semerge.examples import Example, load_examples
from semerge.inputs import decode_image
from semerge.settings import Settings
from semerge.suites import Suite, read_suite
from semerge.ui.app import make_context
from semerge.ui.context import Context
from semerge.ui.gallery import seen

pytestmark = [
    pytest.mark.browser,
    pytest.mark.filterwarnings("ignore:.*(no_silent_downcasting|copy keyword)"),
]
VISION, TEXT = read_suite("mini-vision"), read_suite("mini-text")
EXAMPLES = load_examples()


@cache
def engine(name: str) -> Engine:
    return load_engine(name)


def first_of(suite: Suite, task: int) -> Example:
    """The first example of the suite's n-th task."""
    name = suite.task_names[task]
    return EXAMPLES.by_task(suite.modality, [name])[name][0]


def answer(sample: Path | bytes | str, settings: Settings | None = None) -> dict[str, Any]:
    """What the engine answers for an image file, or for a sentence."""
    if isinstance(sample, str):
        result = engine(TEXT.name).predict(sample, settings)
    else:
        result = engine(VISION.name).predict(decode_image(sample), settings)
    return json.loads(json.dumps(result.to_dict()))


@pytest.fixture(scope="module")
def app() -> Iterator[str]:
    with served(make_context()) as url:
        yield url


@pytest.fixture
def visit(browser: Any, app: str) -> Iterator[Callable[..., Any]]:
    with visits(browser, app) as open_page:
        yield open_page


@pytest.fixture
def predict(capsys: pytest.CaptureFixture[str]) -> Callable[..., dict[str, Any]]:
    """`python -m semerge predict --json` with these arguments."""

    def run(suite: Suite, *argv: object) -> dict[str, Any]:
        capsys.readouterr()
        assert main(["predict", "--suite", suite.name, *map(str, argv), "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    return run


def language(page: Any) -> Any:
    """Open the Language tab; returns its input box."""
    page.get_by_role("tab", name="Language").click()
    page.locator("#language-coefficients .annotation-text").first.wait_for()
    return page.locator("#language-text textarea")  # its label grows by what a validator says


# ---- the way of a visitor ------------------------------------------------------------------------


def test_the_page_is_there_before_the_models_and_then_answers(browser: Any) -> None:
    gate = threading.Event()

    def load(suite: Suite) -> Engine:
        assert gate.wait(300)
        return engine(suite.name)

    context = Context.make([VISION, TEXT], EXAMPLES, load)
    with served(context) as url, visits(browser, url) as open_page:
        page = open_page()
        page.locator("#status", has_text=f"{VISION.title}: loading").wait_for()
        page.locator("#status", has_text=f"{TEXT.title}: waiting").wait_for()
        assert page.get_by_role("button", name="Run").is_visible()
        gate.set()
        settle(page, answer(EXAMPLES.opening("image").file), VISION)
        page.locator("#status li").first.wait_for(state="detached")
        language(page)
        settle(page, answer(EXAMPLES.opening("text").text), TEXT)
        page.close()  # before its server goes


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_uploads_and_sentences_show_what_the_command_prints(
    visit: Any, predict: Any, theme: str
) -> None:
    page = visit(theme=theme)
    settle(page, predict(VISION, EXAMPLES.opening("image").file), VISION)
    assert page.evaluate("document.body.classList.contains('dark')") is (theme == "dark")
    half = slice(0, None, 2) if theme == "light" else slice(1, None, 2)
    for task in range(len(VISION.tasks))[half]:
        file = first_of(VISION, task).file
        upload(page, file)
        settle(page, predict(VISION, file), VISION)
    box = language(page)
    sentences = [first_of(TEXT, task).text for task in range(len(TEXT.tasks))[half]]
    for sentence in [*sentences, "Where do the swallows go when it gets cold?"]:
        box.fill(sentence)
        page.get_by_role("button", name="Run").click()
        settle(page, predict(TEXT, sentence), TEXT)


def test_options_ask_what_the_commands_options_ask(visit: Any, predict: Any) -> None:
    page = visit()
    file = EXAMPLES.opening("image").file
    page.get_by_role("button", name="Options").click()
    page.get_by_label("literal").check()
    page.get_by_label("experts (the paper's)").check()
    choose(page, "Probe layer", "block 2")
    choose(page, "Pooling", "class token")
    choose(page, "Head", VISION.tasks[0].title)
    options = "--preset literal --probe experts --layer 2 --pool cls --head".split()
    settle(page, predict(VISION, file, *options, VISION.task_names[0]), VISION)
    page.get_by_role("button", name="Back to the suite's defaults").click()
    settle(page, predict(VISION, file), VISION)


def test_an_example_tells_the_right_answer(visit: Any) -> None:
    page = visit()
    page.locator("#vision-sentence .se-sentence").wait_for()
    example = first_of(VISION, 3)
    page.locator(f'#vision-examples [data-example="{example.index}"]').click()
    settle(page, answer(example.file), VISION)
    page.get_by_text(f"Right answer: {example.label}").wait_for()


def test_a_finger_draws_and_the_drawing_is_answered(visit: Any) -> None:
    page = visit(PHONE)
    page.locator("#vision-coefficients .annotation-text").first.wait_for()
    page.get_by_role("tab", name="Draw").click()
    pad = page.locator("#vision-pad canvas")
    pad.scroll_into_view_if_needed()
    box = pad.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + 40
    finger = page.context.new_cdp_session(page)
    for kind, step in (("Start", 0), *(("Move", n) for n in range(1, 9)), ("End", None)):
        points = [] if step is None else [{"x": x + 2 * step, "y": y + 22 * step}]
        finger.send("Input.dispatchTouchEvent", {"type": f"touch{kind}", "touchPoints": points})
    scroll = page.evaluate("scrollY")
    drawing = pad.evaluate("canvas => canvas.toDataURL('image/png')")
    settle(page, answer(base64.b64decode(drawing.split(",", 1)[1])), VISION)
    assert page.evaluate("scrollY") == scroll  # the stroke did not scroll the page


def test_a_pasted_image_is_answered_and_a_camera_is_offered(visit: Any) -> None:
    page = visit()
    page.locator("#vision-coefficients .annotation-text").first.wait_for()
    assert page.get_by_label("Capture from camera").is_visible()
    file = first_of(VISION, 4).file
    page.get_by_label("Remove Image").click()
    page.evaluate(
        "async data => navigator.clipboard.write([new ClipboardItem("
        "{'image/png': await (await fetch(data)).blob()})])",
        "data:image/png;base64," + base64.b64encode(file.read_bytes()).decode(),
    )
    page.get_by_label("Paste from clipboard").click()
    settle(page, answer(file), VISION)


@pytest.mark.parametrize(("size", "theme"), [(DESKTOP, "light"), (PHONE, "dark")])
def test_no_tab_has_serious_accessibility_faults(
    visit: Any, size: tuple[int, int], theme: str
) -> None:
    page = visit(size, theme)
    faults = {}
    for tab in ("Vision", "Language", "About"):
        page.get_by_role("tab", name=tab).click()
        if tab != "About":
            page.locator(f"#{tab.lower()}-coefficients .annotation-text").first.wait_for()
        for fold in page.locator(".se-fold > button:visible").all():
            fold.click()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        if found := serious_faults(page):
            faults[tab] = found
    assert not faults, json.dumps(faults, indent=1)


# ---- bad and unusual input -----------------------------------------------------------------------


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    data = BytesIO()
    image.save(data, kind, **options)
    return data.getvalue()


def picture() -> Image.Image:
    with Image.open(first_of(VISION, 3).file) as image:
        return image.convert("RGB")


def ramp() -> Image.Image:
    return Image.linear_gradient("L")


def see_through() -> Image.Image:
    """The left half of a picture; the right half is transparent over colours that must not tell."""
    image = picture().convert("RGBA")
    image.putalpha(ramp().rotate(90).resize(image.size).point([0, 255] * 128))
    return image


REFUSED = {
    "text.png": (lambda: b"this is no image", "not a readable image"),
    "cut.jpg": (lambda: saved(picture(), "JPEG")[:-900], "incomplete or damaged"),
    "huge.png": (lambda: saved(Image.new("1", (9400, 9400)), "PNG"), "the limit is 25 megapixels"),
}
ANSWERED = {  # file: (content, the same picture as plain 8-bit RGB)
    "deep.png": (
        lambda: saved(Image.fromarray(np.asarray(ramp()) * np.uint16(257)), "PNG"),
        lambda: ramp().convert("RGB"),
    ),
    "clear.png": (
        lambda: saved(see_through(), "PNG"),
        lambda: Image.alpha_composite(
            Image.new("RGBA", picture().size, "white"), see_through()
        ).convert("RGB"),
    ),
    "frames.gif": (
        lambda: saved(
            picture().quantize(64), "GIF", save_all=True, append_images=[Image.new("P", (96, 96))]
        ),
        lambda: picture().quantize(64).convert("RGB"),
    ),
}


def test_bad_images_are_told_in_a_sentence_and_the_next_one_works(
    visit: Any, tmp_path: Path
) -> None:
    page = visit()
    page.locator("#vision-sentence .se-sentence").wait_for()
    for task, (name, (content, words)) in enumerate(REFUSED.items()):
        file = tmp_path / name
        file.write_bytes(content())
        upload(page, file)
        alert = page.locator("#vision-sentence [role=alert]")
        alert.wait_for()
        assert words in alert.inner_text() and str(tmp_path) not in alert.inner_text()
        assert not page.locator("#vision-answers").is_visible()  # no old answer beside it
        good = first_of(VISION, task).file
        upload(page, good)
        settle(page, answer(good), VISION)


def test_unusual_images_are_answered_as_the_picture_that_they_show(
    visit: Any, tmp_path: Path
) -> None:
    page = visit()
    page.locator("#vision-sentence .se-sentence").wait_for()
    for name, (content, plain) in ANSWERED.items():
        file = tmp_path / name
        file.write_bytes(content())
        upload(page, file)
        want = answer(file)
        settle(page, want, VISION)
        same = answer(saved(plain(), "PNG"))
        assert want["distances"] == same["distances"] and want["predictions"] == same["predictions"]
        view = engine(VISION.name).backbone.view(decode_image(file).image)
        assert page.locator("#vision-seen img").get_attribute("src") in seen(view)
        notices = page.locator("#vision-sentence .se-notice p").all_text_contents()
        assert notices == want["notices"]
    assert any("first" in notice for notice in notices)  # of the animation


def test_strange_sentences_are_answered_or_refused_and_the_next_one_works(visit: Any) -> None:
    page = visit()
    box = language(page)
    good = first_of(TEXT, 0).text
    for text, words in (("", "Type a sentence."), ("a" * 100_000, "the limit is 2,000")):
        box.fill(text)
        page.get_by_role("button", name="Run").click()
        page.get_by_text(words).first.wait_for()
        box.fill(good)
        box.press("Enter")
        settle(page, answer(good), TEXT)
    for text in ("\U0001f600", "<script>document.title = 'taken over'</script>"):
        box.fill(text)
        box.press("Enter")
        settle(page, answer(text), TEXT)
    assert page.title() == "SE-Merging"
