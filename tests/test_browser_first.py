"""What a visitor has to wait for, in a headless chromium: what the first view weighs, and what is
there before the page's scripts are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from browsing import DESKTOP, MARKS, PHONE, go
from bundled import EXAMPLES, VISION

from recipes.first_view import FirstVisit
from semerge.ui import words
from semerge.ui.words import View

pytestmark = MARKS
MORE = 500_000  # bytes that the first view may weigh beside what an empty page does
ANSWER = "#vision-answers .se-card"


@pytest.fixture(scope="module")
def app(shipped_page: str) -> str:
    return shipped_page


@pytest.fixture(scope="module")
def empty() -> Iterator[str]:
    """A page with nothing on it, served as ours is."""
    import gradio as gr
    from fakes import free_port

    with gr.Blocks(analytics_enabled=False) as page:
        pass
    _, url, _ = page.launch(
        server_port=free_port(), quiet=True, ssr_mode=False, prevent_thread_lock=True
    )
    yield url
    page.close()


def test_the_first_view_weighs_little_more_than_an_empty_page(
    browser: Any, app: str, empty: str, record_property: Any
) -> None:
    nothing = FirstVisit(browser, empty, ".gradio-container")
    ours = FirstVisit(browser, app, ANSWER)
    record_property("bytes", {"empty": nothing.total, "ours": ours.total})
    assert nothing.total > 100_000  # both were measured
    assert ours.total <= nothing.total + MORE, (ours.total, nothing.total, ours.heaviest)
    assert not ours.has("PlotlyPlot")
    assert ours.shifted < 0.05
    # plotly comes when one of its charts does
    go(ours.page, "About")
    ours.page.locator("#about-tab .js-plotly-plot .scatterlayer").first.wait_for()
    ours.rest()
    assert ours.has("PlotlyPlot")
    for one in (nothing, ours):
        one.context.close()


@pytest.mark.parametrize(
    ("size", "theme"), [(DESKTOP, "light"), (PHONE, "dark"), ((320, 640), "light")]
)
def test_the_opening_example_is_there_before_any_script(
    browser: Any, app: str, size: tuple[int, int], theme: str
) -> None:
    """The sentence, the answers and the picture, from the address alone."""
    page = browser.new_context(viewport={"width": size[0], "height": size[1]}).new_page()
    page.route("**/assets/*.js", lambda route: route.abort())
    page.goto(f"{app}?__theme={theme}")
    first = page.locator("#first")
    first.wait_for()
    example = EXAMPLES.opening("image")
    assert example is not None
    view = View(EXAMPLES.stored["vision"], VISION, example)
    assert first.locator(".se-sentence").text_content() == words.sentence(view)
    assert view.answer("se") in words.sentence(view)
    assert first.locator(".se-scene svg").is_visible()
    assert first.get_by_role("heading", name="SE-Merging").is_visible()
    # nothing but the terms could answer yet
    assert first.get_by_role("button").evaluate_all("all => all.every(n => n.matches('.se-term'))")
    ground = first.evaluate("n => getComputedStyle(n).backgroundColor")
    assert ground == ("rgb(16, 18, 22)" if theme == "dark" else "rgb(245, 246, 248)")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    if size[1] > 700:  # in the first window, without a move
        box = first.locator(".se-scene svg").bounding_box()
        assert box["y"] < size[1] - 100
    page.context.close()


def test_another_address_gets_no_example_and_a_slide_nothing(browser: Any, app: str) -> None:
    page = browser.new_context().new_page()
    page.route("**/assets/*.js", lambda route: route.abort())
    page.goto(f"{app}?tab=language&text=%3Cscript%3E&__theme=%27);alert(1)")
    page.locator("#first").get_by_text("Opening the link…").wait_for()
    assert not page.locator("#first .se-sentence").count()
    page.goto(f"{app}?present=1")
    assert not page.locator("#first").count()
    page.context.close()


def test_it_goes_as_the_page_comes(visit: Any) -> None:
    page = visit()
    page.locator(ANSWER).first.wait_for()
    page.wait_for_function("!document.getElementById('first')")
    told = words.sentence(View(EXAMPLES.stored["vision"], VISION, EXAMPLES.opening("image")))
    assert page.locator("#vision-sentence .se-sentence").text_content() == told
    assert page.get_by_role("heading", level=1).count() == 1
