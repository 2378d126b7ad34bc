"""The Sandbox tab in a headless chromium, on both bundled suites with their real weights.

Every figure that is looked for comes from an engine of its own, for the same input.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from browsing import DESKTOP, MARKS, PHONE, check_look, close, others, serious_faults, until
from bundled import EXAMPLES, TEXT, VISION, engine

from semerge.suites import Suite
from semerge.suites.examples import Example
from semerge.ui import words
from semerge.ui.context import sample_of
from semerge.ui.options import between, on_grid, static

pytestmark = MARKS
WALKS = [
    (VISION, DESKTOP, "light"),
    (TEXT, PHONE, "dark"),
    (TEXT, DESKTOP, "dark"),
    (VISION, PHONE, "light"),
]


@pytest.fixture(scope="module")
def app(shipped_page: str) -> str:
    return shipped_page


def opened(visit: Any, suite: Suite, example: Example, size: tuple[int, int], theme: str) -> Any:
    query = f"__theme={theme}&tab=sandbox&suite={suite.name}&example={example.index}"
    return visit(size, query=query)


def settle(page: Any, suite: Suite, example: Example, own: Sequence[float], head: str = "") -> None:
    """Wait until the page shows what these coefficients answer, on sliders, line and card."""
    source = {"example": example.index}
    sample = sample_of(source, suite, EXAMPLES)
    head = head or engine(suite.name).predict(sample).chosen
    best = engine(suite.name).answer_with(sample, own, head)
    text = f"These coefficients answer {best[0].label}score {words.percent(best[0].score)}"
    page.wait_for_function(
        "text => document.querySelector('#sandbox-own .se-own')?.textContent === text", arg=text
    )
    scores = page.locator("#sandbox-cards .se-card.own .se-value")
    assert scores.all_text_contents() == [words.percent(p.score) for p in best[:5]]
    # coefficients of before may have had the same answer and score
    yours = page.locator("#sandbox-readout tbody tr").nth(0).locator("td").nth(0)

    def shown() -> tuple[list[float], str]:
        sliders = [float(slider(page, task.title).input_value()) for task in suite.tasks]
        return sliders, yours.inner_text()

    want = ([pytest.approx(value) for value in own], words.number(sum(own)))
    until(page, lambda: shown() == want)
    assert shown() == want


def slider(page: Any, title: str, kind: str = "range") -> Any:
    """The slider of an expert, or its box for a number."""
    place = page.locator("#sandbox-coefficients .se-coefficient")
    named = place.filter(has=page.get_by_text(title, exact=True))
    return named.locator(f"input[type={kind}]")


def test_the_chosen_expert_comes_first_and_the_answer_stays_in_sight(visit: Any) -> None:
    for size in (DESKTOP, PHONE):
        example = EXAMPLES.by_task("image", VISION.task_names)[VISION.task_names[3]][0]
        page = opened(visit, VISION, example, size, "light")
        settle(page, VISION, example, static(VISION))
        chosen = engine(VISION.name).predict(
            sample_of({"example": example.index}, VISION, EXAMPLES)
        )
        first = page.locator("#sandbox-coefficients .se-coefficient").first
        assert VISION.task(chosen.chosen).title in first.inner_text()
        assert "The expert that SE-Merging chooses" in first.inner_text()
        last = page.locator("#sandbox-coefficients .se-coefficient:visible").last
        last.evaluate("node => node.scrollIntoView({block: 'end'})")
        answer = page.locator("#sandbox-own" if size == PHONE else "#sandbox-cards .se-card.own")
        page.wait_for_function(
            "node => { const {top, bottom} = node.getBoundingClientRect();"
            "return top >= 0 && bottom <= innerHeight; }",
            arg=answer.element_handle(),
        )
        assert page.evaluate("scrollY") > 100
        close(page)


def test_the_preference_is_moved_by_keys_and_its_link_survives_a_restart(
    visit: Any, restarted_page: str
) -> None:
    """With the preset hard, where all but one are raised alike: the link names the two."""
    example = EXAMPLES.by_task("image", VISION.task_names)[VISION.task_names[0]][0]
    page = opened(visit, VISION, example, DESKTOP, "light")
    settle(page, VISION, example, static(VISION))
    first, second = VISION.tasks[5], VISION.tasks[2]
    for box, task in (("#sandbox-from", first), ("#sandbox-to", second)):
        page.locator(f"{box} input").click()
        page.get_by_role("option", name=task.title, exact=True).click()
        key = f"{box.removeprefix('#sandbox-')}={task.name}"
        page.locator(f"#sandbox-link [data-link*='{key}']").wait_for()
    page.locator("#sandbox-preference input[type=range]").focus()
    page.keyboard.press("End")
    settle(page, VISION, example, between(VISION, first.name, second.name, 1.0))
    page.keyboard.press("ArrowLeft")
    own = between(VISION, first.name, second.name, 0.99)
    settle(page, VISION, example, own)
    told = f"On the line: {first.title} 0.01, {second.title} 0.99, all others 0."
    page.locator("#sandbox-line", has_text=told).wait_for()
    check_look(page, "light")
    query = page.locator("#sandbox-link [data-link]").get_attribute("data-link")
    again = visit(DESKTOP, url=restarted_page, query=query)
    settle(again, VISION, example, own)
    assert again.locator("#sandbox-from input").input_value() == first.title
    assert again.locator("#sandbox-to input").input_value() == second.title
    assert again.locator("#sandbox-preference input[type=range]").input_value() == "0.99"
    assert again.locator("#link-notice .se-notice").count() == 0


@pytest.mark.parametrize(("suite", "size", "theme"), WALKS)
def test_sliders_buttons_and_typed_numbers_answer_and_the_link_survives_a_restart(
    visit: Any, restarted_page: str, suite: Suite, size: tuple[int, int], theme: str
) -> None:
    example = EXAMPLES.by_task(suite.modality, suite.task_names)[suite.task_names[0]][0]
    page = opened(visit, suite, example, size, theme)
    own = static(suite)
    settle(page, suite, example, own)
    assert page.evaluate("document.body.classList.contains('dark')") is (theme == "dark")
    cards = page.locator("#sandbox-cards .se-card h3").all_text_contents()
    assert cards == ["Your coefficients", "Static Task Arithmetic", "SE-Merging"]

    # all by keyboard: a slider to its end and back by steps
    second = slider(page, suite.tasks[1].title)
    second.focus()
    page.keyboard.press("End")
    own[1] = 1.5
    settle(page, suite, example, own)
    page.keyboard.press("ArrowLeft")
    own[1] = 1.49
    settle(page, suite, example, own)
    # a number typed
    box = slider(page, suite.tasks[0].title, "number")
    box.focus()
    box.fill("0.25")
    page.keyboard.press("Tab")
    own[0] = 0.25
    settle(page, suite, example, own)
    # buttons
    se = engine(suite.name).predict(sample_of({"example": example.index}, suite, EXAMPLES))
    for button, values in (
        ("sandbox-se", on_grid(se.coefficients)),
        ("sandbox-base", [0.0] * len(own)),
        ("sandbox-alone", [1.0, *[0.0] * (len(own) - 1)]),
        ("sandbox-static", static(suite)),
    ):
        page.locator(f"#{button}").focus()
        page.keyboard.press("Enter")
        settle(page, suite, example, values)

    second.focus()
    page.keyboard.press("End")
    own = [*static(suite)]
    own[1] = 1.5
    settle(page, suite, example, own)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert not (found := serious_faults(page)), json.dumps(found, indent=1)

    page.locator("#sandbox-link [data-link]").focus()
    page.keyboard.press("Enter")
    page.locator("#sandbox-link [role=status]", has_text="Copied").wait_for()
    query = page.evaluate("navigator.clipboard.readText()").partition("?")[2]
    close(page)
    page = visit(size, url=restarted_page, query=query)
    settle(page, suite, example, own)
    assert page.locator("#link-notice .se-notice").count() == 0


@pytest.mark.parametrize(("suite", "size", "theme"), others(WALKS))
def test_a_slider_and_a_button_answer(
    visit: Any, suite: Suite, size: tuple[int, int], theme: str
) -> None:
    """The combinations that the long walk leaves out."""
    example = EXAMPLES.by_task(suite.modality, suite.task_names)[suite.task_names[-1]][0]
    page = opened(visit, suite, example, size, theme)
    own = static(suite)
    settle(page, suite, example, own)
    page.locator("#sandbox-base").click()
    own = [0.0] * len(own)
    settle(page, suite, example, own)
    first = slider(page, suite.tasks[0].title)
    first.fill("0.8")
    first.dispatch_event("pointerup")
    own[0] = 0.8
    settle(page, suite, example, own)
    check_look(page, theme)


def test_the_head_can_be_named_and_an_own_sentence_is_answered(visit: Any) -> None:
    example = EXAMPLES.by_task("text", TEXT.task_names)[TEXT.task_names[0]][0]
    page = opened(visit, TEXT, example, DESKTOP, "light")
    settle(page, TEXT, example, static(TEXT))
    page.locator("#sandbox-coefficients").get_by_label("Head", exact=True).click()
    page.get_by_role("option", name=TEXT.tasks[-1].title, exact=True).click()
    settle(page, TEXT, example, static(TEXT), TEXT.task_names[-1])
    assert "the one you chose" in page.locator("#sandbox-cards").inner_text()
    page.locator("#sandbox-text textarea").fill("Play something calm <b>tonight</b>")
    page.keyboard.press("Enter")
    page.locator("#sandbox-given", has_text="Play something calm <b>tonight</b>").wait_for()


def test_a_number_out_of_range_gets_one_sentence_and_the_next_one_works(visit: Any) -> None:
    example = EXAMPLES.by_task("text", TEXT.task_names)[TEXT.task_names[0]][0]
    page = opened(visit, TEXT, example, DESKTOP, "light")
    own = static(TEXT)
    settle(page, TEXT, example, own)
    box = slider(page, TEXT.tasks[2].title, "number")
    box.fill("77")
    told = f"{TEXT.tasks[2].title} must be a number from -0.5 to 1.5, not 77."
    page.locator("#sandbox-told [role=alert]", has_text=told).wait_for()
    box.fill("0.5")
    own[2] = 0.5
    settle(page, TEXT, example, own)
