"""Presenting the app as it is shipped, in a headless chromium: keys alone, both bundled suites."""

from __future__ import annotations

from typing import Any

import pytest
from browsing import MARKS, TABS, check_look, settle
from bundled import EXAMPLES, TEXT, VISION, answer
from test_browser_present import STEPS, at_step, start, visible

from semerge.suites import Suite
from semerge.suites.examples import Example
from semerge.ui import words
from semerge.ui.words import View

pytestmark = MARKS


@pytest.fixture(scope="module")
def app(shipped_page: str) -> str:
    return shipped_page


def result(example: Example) -> dict[str, Any]:
    return answer(example.file or example.text)


@pytest.mark.parametrize(("suite", "theme"), [(VISION, "light"), (TEXT, "dark")])
def test_keys_step_the_examples_and_the_four_steps(visit: Any, suite: Suite, theme: str) -> None:
    tab = TABS[suite.modality]
    page = start(visit, tab, __theme=theme)
    opening = EXAMPLES.opening(suite.modality)
    assert opening
    groups = EXAMPLES.by_task(suite.modality, suite.task_names).values()
    order = [example for group in groups for example in group]
    if opening not in order:
        order.insert(0, opening)  # what draws itself stands before the tasks
    place = order.index(opening)
    settle(page, result(opening), suite)
    # faster than the first is answered: both count
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    place += 2
    settle(page, result(order[place]), suite)
    page.keyboard.press("ArrowLeft")
    place -= 1
    want = result(order[place])
    settle(page, want, suite)
    page.get_by_text(f"Example {place + 1} of {len(order)}", exact=True).wait_for()
    check_look(page, theme)

    view = View(want, suite, order[place])
    told = {
        "probe": words.distance(want["distances"][view.chosen]),
        "similarity": words.number(want["similarities"][view.chosen]),
        "rescale": words.number(want["coefficients"][view.chosen]),
        "answer": words.percent(want["predictions"]["se"][0]["score"]),
    }
    for step in STEPS:
        page.keyboard.press("ArrowDown")
        at_step(page, step)
        assert visible(page, tab) == {step}
        assert told[step] in page.locator(f"#{tab}-result .se-step:visible").inner_text()
    check_look(page, theme)
    page.keyboard.press("ArrowUp")
    at_step(page, "rescale")
    # another example at the same step, and back to the start
    page.keyboard.press("ArrowRight")
    page.get_by_text(f"Example {place + 2} of {len(order)}", exact=True).wait_for()
    at_step(page, "rescale")
    page.keyboard.press("Home")
    page.locator(f"#{tab}-sentence .se-sentence").wait_for()
    settle(page, result(opening), suite)
