"""The page where it has little room or is allowed little: 320 px, no scripts, no movement."""

from __future__ import annotations

from typing import Any

import pytest
from browsing import MARKS, PATIENCE, drawn, go

pytestmark = MARKS
NARROW = {"width": 320, "height": 640}  # as 1280 px magnified by 400 %


@pytest.fixture(scope="module")
def app(fake_page: str) -> str:
    return fake_page


def test_the_page_holds_at_the_width_of_a_magnified_one(browser: Any, app: str) -> None:
    context = browser.new_context(viewport=NARROW, reduced_motion="reduce")
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    page.goto(app)
    for tab in ("Vision", "Language", "About"):
        go(page, tab)
        if tab != "About":
            drawn(page, tab.lower())
        assert page.evaluate("document.scrollingElement.scrollWidth") <= NARROW["width"]
    moving = "document.getAnimations().filter(a => a.playState == 'running').length"
    page.wait_for_function(f"{moving} == 0")
    context.close()


def test_without_scripts_the_page_says_what_it_needs(browser: Any, app: str) -> None:
    for scheme in ("light", "dark"):
        context = browser.new_context(java_script_enabled=False, color_scheme=scheme)
        page = context.new_page()
        page.goto(app)
        told = page.locator("noscript p")
        assert told.is_visible()
        ink, ground = (told.evaluate(f"node => getComputedStyle(node).{k}")
                       for k in ("color", "backgroundColor"))  # fmt: skip
        assert (ink, ground) == ("rgb(22, 24, 29)", "rgb(255, 255, 255)")
        context.close()
