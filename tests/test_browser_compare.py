"""The Compare tab in a headless chromium, on both bundled suites with their real weights.

Every figure that is looked for comes from an engine of its own, or from the library's comparison.
"""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from browsing import (
    DESKTOP,
    MARKS,
    PHONE,
    check_look,
    close,
    others,
    press_at_once,
    serious_faults,
    shown,
    timeless,
    upload_set,
)
from bundled import EXAMPLES, TEXT, VISION, engine

from semerge.data.sets import example_sets
from semerge.evaluation.comparison import Comparison, Side, compare, right, write_csv
from semerge.settings import Settings
from semerge.suites import Suite
from semerge.ui.context import sample_of
from semerge.ui.tabs import compare_html
from semerge.ui.tabs.compare import usual
from semerge.ui.tabs.compare_html import FIRST

pytestmark = MARKS
WALKS = [(VISION, DESKTOP, "dark"), (TEXT, PHONE, "light"), (TEXT, DESKTOP, "light")]
WALKS = [*WALKS, (VISION, PHONE, "dark")]


@pytest.fixture(scope="module")
def app(shipped_page: str) -> str:
    return shipped_page


def answer(suite: Suite, example: int, settings: Settings) -> dict[str, Any]:
    sample = sample_of({"example": example}, suite, EXAMPLES)
    result = engine(suite.name).predict(sample, settings).to_dict()
    return timeless(json.loads(json.dumps(result)))


def settle(page: Any, want: dict[str, Any], which: str) -> None:
    """Wait until one side's panel shows this Result, whole."""
    chosen = json.dumps([want["preset"], want["probe"], want["layer"], want["predictions"]["se"]])
    page.wait_for_function(
        """([node, text]) => {
            const link = document.querySelector(node + ' a[download]');
            if (!link) return false;
            const bytes = Uint8Array.from(atob(link.href.split(',', 2)[1]), c => c.charCodeAt(0));
            const r = JSON.parse(new TextDecoder().decode(bytes));
            const now = JSON.stringify([r.preset, r.probe, r.layer, r.predictions.se]);
            return now === JSON.stringify(JSON.parse(text));
        }""",
        arg=[f"#compare-{which}-footer", chosen],
    )
    assert shown(page, f"compare-{which}") == want


def compared(suite: Suite) -> Comparison:
    models = engine(suite.name)
    sets = example_sets(suite, EXAMPLES)
    a, b = (Side(models, sets, settings.resolve(suite)) for settings in usual(suite))
    return compare(a, b)


def page_of(page: Any, found: Comparison, *filters: str) -> None:
    """Press these filters at once and wait for the rows of the last one."""
    press_at_once(page, "#compare-board", *(f"filter {name}" for name in filters))
    ids = compare_html.ids(found, replace(FIRST, filter=filters[-1]))
    page.locator("#compare-table [role=status]", has_text=f"{len(ids)} of").wait_for()
    page.locator(f"#compare-board [data-key='filter {filters[-1]}'][aria-pressed=true]").wait_for()


@pytest.mark.parametrize(("suite", "size", "theme"), WALKS)
def test_one_input_and_a_set_are_compared_and_the_link_survives_a_restart(
    visit: Any, restarted_page: str, tmp_path: Path, suite: Suite, size: tuple[int, int], theme: str
) -> None:
    first, second = usual(suite)
    page = visit(size, query=f"__theme={theme}&tab=compare&suite={suite.name}&example=3")
    settle(page, answer(suite, 3, first), "a")
    settle(page, answer(suite, 3, second), "b")
    differs = page.locator("#compare-differs tbody th").all_text_contents()
    assert "Preset" in differs and "Suite" not in differs

    # B as A, by keyboard: then nothing differs
    fold = page.locator("#compare-b-options > button")
    fold.focus()
    page.keyboard.press("Enter")
    page.locator("#compare-b-options").get_by_label(suite.defaults.preset, exact=True).check()
    settle(page, answer(suite, 3, first), "b")
    page.locator("#compare-differs", has_text="Nothing differs").wait_for()
    page.locator("#compare-b-options").get_by_label(second.preset, exact=True).check()
    settle(page, answer(suite, 3, second), "b")

    # the set
    page.locator("#compare-run").focus()
    page.keyboard.press("Enter")
    page.locator("#compare-table .se-rows").wait_for()
    found = compared(suite)
    a, b = right(found)["se"]
    counts = page.locator("#compare-board .se-sentence strong").all_text_contents()
    assert counts == [str(a), str(b)]
    ids = compare_html.ids(found, FIRST)
    assert page.locator("#compare-table tbody th button").all_text_contents() == ids[:25]

    # quicker than they are answered: of two filters the second holds, of two rows too
    page_of(page, found, "only B", "both wrong")
    page_of(page, found, "only B", "all")
    press_at_once(page, "#compare-table", f"row {ids[0]}", f"row {ids[1]}")
    number = int(ids[1].rpartition("/")[2])
    settle(page, answer(suite, number, first), "a")
    settle(page, answer(suite, number, second), "b")

    # exactly the rows that a filter shows
    look = replace(FIRST, filter="only A")
    ids = compare_html.ids(found, look)
    page.locator("#compare-board [data-key='filter only A']").focus()
    page.keyboard.press("Enter")
    page.locator("#compare-table [role=status]", has_text=f"{len(ids)} of").wait_for()
    with page.expect_download() as download:
        page.locator("#compare-files [data-export]").click()
    download.value.save_as(tmp_path / "rows.csv")
    want = io.StringIO(newline="")
    write_csv(found, want, "routed", "only A")
    text = (tmp_path / "rows.csv").read_bytes().decode("utf-8")
    assert text == want.getvalue()

    # a row opens in both panels
    number = 3
    if ids:
        number = int(ids[0].rpartition("/")[2])
        page.locator("#compare-table tbody th button").first.focus()
        page.keyboard.press("Enter")
        settle(page, answer(suite, number, first), "a")
        settle(page, answer(suite, number, second), "b")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert not (faults := serious_faults(page)), json.dumps(faults, indent=1)

    page.locator("#compare-link [data-link]").focus()
    page.keyboard.press("Enter")
    page.locator("#compare-link [role=status]", has_text="Copied").wait_for()
    query = page.evaluate("navigator.clipboard.readText()").partition("?")[2]
    close(page)
    page = visit(size, url=restarted_page, query=query)
    settle(page, answer(suite, number, first), "a")
    settle(page, answer(suite, number, second), "b")
    page.locator("#compare-table [role=status]", has_text=f"{len(ids)} of").wait_for()
    pressed = page.locator("#compare-board [aria-pressed=true]")
    assert "Only A right" in pressed.inner_text()
    assert page.locator("#link-notice .se-notice").count() == 0


@pytest.mark.parametrize(("suite", "size", "theme"), others(WALKS))
def test_both_answers_and_a_set_are_shown(
    visit: Any, suite: Suite, size: tuple[int, int], theme: str
) -> None:
    """The combinations that the long walk leaves out."""
    first, second = usual(suite)
    page = visit(size, query=f"__theme={theme}&tab=compare&suite={suite.name}&example=3")
    settle(page, answer(suite, 3, first), "a")
    settle(page, answer(suite, 3, second), "b")
    page.locator("#compare-run").click()
    page.locator("#compare-table .se-rows").wait_for()
    ids = compare_html.ids(compared(suite), FIRST)
    assert page.locator("#compare-table tbody th button").all_text_contents() == ids[:25]
    page.locator("#compare-table tbody th button").first.click()
    settle(page, answer(suite, int(ids[0].rpartition("/")[2]), second), "b")
    check_look(page, theme)


def test_a_long_run_is_cancelled_and_a_bad_set_is_told(visit: Any, tmp_path: Path) -> None:
    page = visit(query="tab=compare&suite=mini-vision&set=generated&limit=0")
    page.locator("#compare-b-sentence .se-sentence").wait_for()
    page.locator("#compare-run").click()
    page.locator("#compare-status progress").wait_for()
    page.locator("#compare-status", has_text="left").wait_for()
    page.locator("#compare-cancel").click()
    page.locator("#compare-status", has_text="Cancelled").wait_for()
    assert page.locator("#compare-run").is_enabled()

    page.locator("#compare-set input").click()
    page.get_by_role("option", name="Your upload").click()
    file = tmp_path / "set.zip"
    file.write_text("no archive")
    upload_set(page, "compare", file)
    page.locator("#compare-run").click()
    page.locator("#compare-status [role=alert]").wait_for()
    assert str(tmp_path) not in page.locator("#compare-status").inner_text()
