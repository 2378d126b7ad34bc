"""The app as it is shipped, in a headless chromium: both bundled suites with their real weights.

No figure of the weights is written here: the page has to show what `semerge predict --json` prints
for the same input, and what an engine of its own answers.
"""

from __future__ import annotations

import base64
import io
import json
import random
import string
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browsing import (
    MARKS,
    OTHER_LOOKS,
    PHONE,
    TABS,
    check_tabs,
    choose,
    close,
    drawn,
    serious_faults,
    settle,
    upload,
    visits,
)
from bundled import EXAMPLES, TEXT, VISION, answer, engine, first_of, language
from fakes import served
from PIL import Image

from semerge.cli import main
from semerge.engine import Engine
from semerge.settings import Settings
from semerge.suites import Suite
from semerge.ui import words
from semerge.ui.context import Context
from semerge.ui.options import NO_FALLBACK, NOT_FAST

pytestmark = MARKS


@pytest.fixture(scope="module")
def app(shipped_page: str) -> str:
    return shipped_page


@pytest.fixture
def predict(capsys: pytest.CaptureFixture[str]) -> Callable[..., dict[str, Any]]:
    """`python -m semerge predict --json` with these arguments."""

    def run(suite: Suite, *argv: object) -> dict[str, Any]:
        capsys.readouterr()
        assert main(["predict", "--suite", suite.name, *map(str, argv), "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    return run


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
        assert page.locator("#vision-pad canvas").is_visible()
        gate.set()
        settle(page, answer(EXAMPLES.opening("image").file), VISION)
        page.locator("#status li").first.wait_for(state="detached")
        language(page)
        settle(page, answer(EXAMPLES.opening("text").text), TEXT)
        close(page)  # before its server goes


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
    """And another preset alone is answered from what is kept."""
    page, file = visit(), EXAMPLES.opening("image").file
    settle(page, predict(VISION, file), VISION)
    page.get_by_role("button", name="Options").click()
    page.get_by_label("literal").check()
    settle(page, predict(VISION, file, "--preset", "literal"), VISION)
    stages = page.locator("#vision-footer .se-stages")
    assert stages.get_by_text(words.KEPT, exact=True).count() == 2
    page.locator("#vision-footer", has_text="computed for an earlier answer").wait_for()
    page.get_by_label("experts (the paper's)").check()
    choose(page, "Probe layer", "block 2")
    choose(page, "Pooling", "class token")
    choose(page, "Head", VISION.tasks[0].title)
    options = "--preset literal --probe experts --layer 2 --pool cls --head".split()
    settle(page, predict(VISION, file, *options, VISION.task_names[0]), VISION)
    page.get_by_role("button", name="Back to the suite's defaults").click()
    settle(page, predict(VISION, file), VISION)


def test_the_fast_mode_is_the_commands_and_says_so_everywhere(visit: Any, predict: Any) -> None:
    """Its notice, the sentence, the chart's words, the link; and no fallback beside it."""
    page, file = visit(), EXAMPLES.opening("image").file
    page.get_by_role("button", name="Options").click()
    page.get_by_label("experts (the paper's)").check()
    box = page.get_by_label("Fast mode")
    box.check()
    want = predict(VISION, file, "--probe", "experts", "--fast")
    settle(page, want, VISION)
    (notice,) = [note for note in want["notices"] if note.startswith("Fast mode: ")]
    page.locator("#vision-sentence .se-notice", has_text=notice).wait_for()
    assert "are estimates" in notice
    assert words.ESTIMATES in page.locator("#vision-result .se-summary").first.inner_text()
    static = page.get_by_label("fall back to the static coefficients")
    assert static.is_disabled() and page.get_by_text(NO_FALLBACK).is_visible()
    assert not serious_faults(page)
    link = page.locator("#vision-link [data-link]").get_attribute("data-link")
    fresh = visit(PHONE, query=f"{link}&__theme=dark")
    fresh.locator("#vision-sentence .se-method", has_text="in fast mode").wait_for()
    settle(fresh, want, VISION)
    fresh.get_by_role("button", name="Options").click()
    assert fresh.get_by_label("Fast mode").is_checked() and not serious_faults(fresh)

    box.press("Space")  # off again, and what the exact mode answers
    settle(page, predict(VISION, file, "--probe", "experts"), VISION)
    assert static.is_enabled()
    static.check()
    settle(page, predict(VISION, file, "--probe", "experts", "--fallback", "static"), VISION)
    assert box.is_disabled() and page.get_by_text(NOT_FAST).is_visible()
    assert not serious_faults(page)
    page.get_by_role("button", name="Back to the suite's defaults").click()
    settle(page, predict(VISION, file), VISION)
    assert box.is_enabled()


def test_an_example_and_a_pasted_image_are_answered_and_a_camera_is_offered(visit: Any) -> None:
    """The example with its right answer."""
    page = visit()
    drawn(page, "vision")
    example = first_of(VISION, 3)
    page.locator(f'#vision-examples [data-example="{example.index}"]').click()
    settle(page, answer(example.file), VISION)
    told = page.locator("#vision-sentence .se-truth", has_text=f"Right answer: {example.label}")
    told.wait_for()

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


def test_a_finger_draws_and_the_drawing_is_answered(visit: Any) -> None:
    page = visit(PHONE)
    page.locator("#vision-coefficients .se-value").first.wait_for()
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


def unfit(suite: Suite) -> bytes | str:
    """An input of no task, at which the suite's engine says that no expert fits: an image of
    coloured squares, or words of random letters. Many such inputs are missed, so a few are tried.
    """
    for seed in range(20):
        sample: bytes | str
        if suite.modality == "image":
            colours = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
            file = io.BytesIO()
            Image.fromarray(colours.repeat(16, 0).repeat(16, 1)).save(file, "PNG")
            sample = file.getvalue()
        else:
            rng = random.Random(seed)
            made = ("".join(rng.choices(string.ascii_letters, k=6)) for _ in range(8))
            sample = " ".join(made)
        if notice(answer(sample)):
            return sample
    raise AssertionError("the engine finds an expert for all of them")


def notice(result: dict[str, Any]) -> str:
    return next((note for note in result["notices"] if note.startswith("No expert fits")), "")


@pytest.mark.parametrize("suite", [VISION, TEXT], ids=lambda suite: suite.name)
def test_an_input_that_no_expert_fits_gets_the_notice(
    visit: Any, suite: Suite, tmp_path: Path
) -> None:
    """In the panel, and with the static coefficients once they are chosen for such inputs."""
    page, tab, sample = visit(), TABS[suite.modality], unfit(suite)
    drawn(page, "vision")
    if isinstance(sample, bytes):
        (tmp_path / "own.png").write_bytes(sample)
        upload(page, tmp_path / "own.png")
    else:
        language(page).fill(sample)
        page.get_by_role("button", name="Run").click()
    want = answer(sample)
    settle(page, want, suite)
    told = page.locator(f"#{tab}-sentence .se-notice")
    assert notice(want) in told.inner_text() and told.is_visible()

    panel = page.locator(f"#{tab}-tab")
    panel.get_by_role("button", name="Options").click()
    panel.get_by_label("fall back to the static coefficients").check()
    want = answer(sample, Settings(fallback="static"))
    assert want["coefficients"] == want["static_coefficients"]
    settle(page, want, suite)
    assert notice(want) in told.inner_text()
    for note in want["notices"]:
        assert note in told.inner_text()
    assert not serious_faults(page)


@pytest.mark.parametrize(("size", "theme"), OTHER_LOOKS)
def test_no_tab_has_serious_accessibility_faults(
    visit: Any, size: tuple[int, int], theme: str
) -> None:
    check_tabs(visit(size, theme))
