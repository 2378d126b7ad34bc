"""The Inspect tab in a headless chromium, with the bundled suites and their real weights.

No figure is written here: the page has to show what the library's own inspection of the same set
says, and a row what the engine answers.
"""

from __future__ import annotations

import csv
import io
import json
import re
import zipfile
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from browsing import (
    DESKTOP,
    MARKS,
    PHONE,
    check_look,
    choose,
    close,
    others,
    press_at_once,
    serious_faults,
    shown,
    timeless,
    until,
    upload_set,
)
from bundled import EXAMPLES, TEXT, VISION, engine

from semerge.data.sets import example_sets
from semerge.evaluation.inspection import Inspection, View, counts, inspect, select, write_csv
from semerge.settings import Settings
from semerge.suites import Suite

pytestmark = MARKS
SUITES = {suite.name: suite for suite in (VISION, TEXT)}
WALKS = [("mini-vision", DESKTOP, "light"), ("mini-text", PHONE, "dark"),
         ("mini-vision", PHONE, "light"), ("mini-text", DESKTOP, "dark")]  # fmt: skip
TWICE_LEFT = """() => [0, 1].forEach(() => document.activeElement.dispatchEvent(
    new KeyboardEvent("keydown", {key: "ArrowLeft", bubbles: true, cancelable: true})))"""


@cache
def inspected(name: str) -> Inspection:
    return inspect(engine(name), example_sets(SUITES[name], EXAMPLES), Settings())


@pytest.fixture(scope="module")
def app(shipped_page: str) -> str:
    return shipped_page


def opened(page: Any, suite: Suite) -> Any:
    """The Inspect tab with this suite chosen."""
    page.get_by_role("tab", name="Inspect").click()
    page.locator("#inspect-run").wait_for()
    field = page.locator("#inspect-suite input")
    if field.input_value() != suite.title:
        field.click()
        page.get_by_role("option", name=suite.title, exact=True).click()
    # the form has followed
    count = sum(len(s) for s in example_sets(suite, EXAMPLES).sets)
    page.wait_for_function(
        "count => document.querySelector('#inspect-set input').value.includes(count)",
        arg=f"({count})",
    )
    return page


def run(page: Any, suite: Suite) -> Inspection:
    """Run the bundled examples; what the library makes of them."""
    opened(page, suite)
    page.locator("#inspect-run").click()
    found = inspected(suite.name)
    shows(page, found, View(head="routed"))
    return found


def shows(page: Any, found: Inspection, view: View) -> list[str]:
    """Wait until the table shows the first rows of this view; all their ids."""
    want = [found.rows[i].id for i in select(found, view)]
    page.wait_for_function(
        "want => JSON.stringify([...document.querySelectorAll('#inspect-table tbody th button')]"
        ".map(b => b.textContent)) === want",
        arg=json.dumps(want[:25], separators=(",", ":")),
    )
    told = f"{len(want)} of {len(found.rows)} samples"
    page.locator("#inspect-table [role=status]", has_text=told).wait_for()
    return want


def holds(page: Any, found: Inspection, name: str, head: str = "routed") -> None:
    """Wait until the open row's panel has the Result that the engine gives."""
    i = next(i for i, row in enumerate(found.rows) if row.id == name)
    read_by = found.rows[i].task if head == "oracle" else "auto"
    want = engine(found.suite.name).predict(found.sample(i), Settings(head=read_by)).to_dict()
    page.locator("#inspect-opened .se-open h2", has_text=name).wait_for()
    link = page.locator("#inspect-opened-footer a[download]")
    link.wait_for()
    until(page, lambda: shown(page, "inspect-opened")["distances"] == list(want["distances"]))
    assert shown(page, "inspect-opened") == timeless(json.loads(json.dumps(want)))
    assert found.rows[i].label in page.locator("#inspect-opened-sentence .se-truth").inner_text()


@pytest.mark.parametrize(("name", "size", "theme"), WALKS)
def test_a_walk_by_mouse_and_by_keys(
    visit: Any, name: str, size: tuple[int, int], theme: str, tmp_path: Path
) -> None:
    page, suite = visit(size, theme), SUITES[name]
    found = run(page, suite)
    numbers = counts(found, "routed")
    # of two filters the second holds, and pressed twice it is taken away
    press_at_once(page, "#inspect-filters", "filter broken", "filter misrouted")
    shows(page, found, View(head="routed", filter="misrouted"))
    press_at_once(page, "#inspect-filters", "filter broken", "filter broken")
    shows(page, found, View(head="routed"))
    for kind in ("fixed", "broken", "misrouted"):
        button = page.locator(f"#inspect-filters [data-key='filter {kind}']")
        assert str(numbers[kind]) in button.inner_text()
        button.click()
        shows(page, found, View(head="routed", filter=kind))
        assert button.get_attribute("aria-pressed") == "true"
    astray = next((row.task, row.chosen) for row in found.rows if row.task != row.chosen)
    page.locator(f"#inspect-board [data-key='cell {astray[0]} {astray[1]}']").click()
    view = View(head="routed", filter="misrouted", tasks=astray[:1], chosen=astray[1])
    shows(page, found, view)
    with page.expect_download() as saved:
        page.locator("#inspect-files [data-key='export csv']").click()
    mine = io.StringIO()
    write_csv(found, mine, view)
    assert Path(saved.value.path()).read_text(encoding="utf-8") == mine.getvalue()

    page.locator("#inspect-table [data-key=clear]").click()
    shows(page, found, View(head="routed"))
    page.locator("#inspect-table [data-key='sort margin']").click()
    ids = shows(page, found, View(head="routed", sort="margin"))
    # from here on by keys alone: open a row, step, pin, and find the focus where it was
    button = page.locator("#inspect-table tbody th button").first
    button.focus()
    page.keyboard.press("Enter")
    holds(page, found, ids[0])
    assert focused(page) == f"row {ids[0]}"
    page.keyboard.press("ArrowRight")
    holds(page, found, ids[1])
    assert focused(page) == f"row {ids[1]}"
    page.locator("#inspect-opened [data-key='step next']").focus()
    page.keyboard.press("Enter")
    holds(page, found, ids[2])
    assert focused(page) == "step next"
    page.keyboard.press("p")
    page.locator("#inspect-pinned .se-open h2", has_text=ids[2]).wait_for()
    page.evaluate(TWICE_LEFT)  # neither is lost
    holds(page, found, ids[0])
    page.locator("#inspect-pinned-footer a[download]").wait_for()
    assert shown(page, "inspect-pinned")["predictions"] != {}
    page.locator("#inspect-search :is(input, textarea)").fill("r")  # no key while one types
    shows(page, found, View(head="routed", sort="margin", search="r"))
    assert page.locator("#inspect-opened .se-open h2").inner_text().endswith(ids[0])
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.locator("#inspect-figures summary").click()
    assert not serious_faults(page), json.dumps(serious_faults(page), indent=1)
    page.locator("#inspect-figures summary").click()

    # the link opens the same in another browser
    query = page.locator("#inspect-link [data-link]").get_attribute("data-link")
    again = visit(size, theme, query=f"{query}&__theme={theme}")
    shows(again, found, View(head="routed", sort="margin", search="r"))
    holds(again, found, ids[0])
    for part in (
        "#inspect-figures",
        "#inspect-filters",
        "#inspect-board",
        "#inspect-table",
        "#inspect-link",
    ):
        assert again.locator(part).inner_text() == page.locator(part).inner_text().replace(
            "Copied", "")  # fmt: skip


@pytest.mark.parametrize(("name", "size", "theme"), others(WALKS))
def test_a_run_is_shown_and_a_row_opened(
    visit: Any, name: str, size: tuple[int, int], theme: str
) -> None:
    """The combinations that the long walk leaves out."""
    page, suite = visit(size, theme), SUITES[name]
    found = run(page, suite)
    page.locator("#inspect-filters [data-key='filter disagree']").click()
    ids = shows(page, found, View(head="routed", filter="disagree"))
    page.locator("#inspect-table tbody th button").first.click()
    holds(page, found, ids[0])
    page.locator("#inspect-opened [data-key=pin]").click()
    page.locator("#inspect-pinned .se-open h2", has_text=ids[0]).wait_for()
    page.locator("#inspect-pinned-footer a[download]").wait_for()
    check_look(page, theme)


IN_VIEW = """() => ['#inspect-narrow', '#inspect-table', '#inspect-detail'].map(part => {
  const {left, right, top} = document.querySelector(part).getBoundingClientRect();
  return [left, right, top];
})"""


def test_filters_samples_and_the_open_row_stand_beside_each_other(visit: Any) -> None:
    for suite in SUITES.values():
        page = visit(DESKTOP, "light")
        found = run(page, suite)
        page.locator("#inspect-table tbody th button").nth(1).click()
        holds(page, found, found.rows[1].id)
        (_, first, a), (second, end, b), (third, last, c) = page.evaluate(IN_VIEW)
        assert first <= second < end <= third < last <= DESKTOP[0]
        assert max(a, b, c) - min(a, b, c) < 60
        # each scrolls within itself, and no column is cut off
        assert page.locator(".se-samples").evaluate("n => n.scrollWidth <= n.clientWidth + 1")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        height = "n => n.getBoundingClientRect().height <= innerHeight"
        for part in ("#inspect-narrow", ".se-samples", "#inspect-detail"):
            assert page.locator(f"#inspect-desk {part}, #inspect-desk{part}").first.evaluate(height)
        check_look(page, "light")
        close(page)


def test_the_samples_are_gone_through_by_keys(visit: Any) -> None:
    page = visit(DESKTOP, "dark")
    found = run(page, SUITES["mini-vision"])
    ids = [row.id for row in found.rows]
    stops = "#inspect-table :is(tbody th, .se-tiles) [tabindex='0']"
    assert page.locator(stops).count() == 1  # one stop for Tab
    page.locator(stops).focus()
    for key, want in (("ArrowDown", 1), ("ArrowDown", 2), ("ArrowUp", 1), ("End", 24), ("Home", 0)):
        page.keyboard.press(key)
        assert focused(page) == f"row {ids[want]}"
        assert page.locator(stops).count() == 1
    assert page.locator("#inspect-opened .se-open").count() == 0
    page.locator("#inspect-table [data-key='layout gallery']").click()
    page.locator(".se-tiles button").first.focus()
    wide = page.evaluate(
        "() => { const all = [...document.querySelectorAll('.se-tiles li')];"
        "return all.filter(one => one.offsetTop === all[0].offsetTop).length; }"
    )
    for key, want in (("ArrowRight", 1), ("ArrowDown", 1 + wide), ("ArrowLeft", wide), ("End", 24)):
        page.keyboard.press(key)
        assert focused(page) == f"row {ids[want]}"
    page.keyboard.press("Enter")
    holds(page, found, ids[24])
    check_look(page, "dark")
    # a link past them
    page.locator("[data-skip]").first.focus()
    page.keyboard.press("Enter")
    assert page.evaluate("'past' in document.activeElement.dataset")


def test_old_results_are_dimmed_until_the_new_set_is_run(visit: Any) -> None:
    page = visit()
    run(page, SUITES["mini-vision"])
    page.locator("#inspect-limit input").fill("1")
    page.locator("#inspect-old [role=status]", has_text="of the set before").wait_for()
    assert page.locator("#inspect-results").evaluate("n => getComputedStyle(n).opacity") == "0.5"
    page.locator("#inspect-run").click()
    page.locator("#inspect-table [role=status]", has_text="8 of 8 samples").wait_for()
    page.locator("#inspect-old [role=status]").wait_for(state="detached")
    assert page.locator("#inspect-results").evaluate("n => getComputedStyle(n).opacity") == "1"


def focused(page: Any) -> str:
    page.wait_for_function("document.activeElement?.dataset.key !== undefined")
    key: str = page.evaluate("document.activeElement.dataset.key")
    return key


def test_a_run_is_cancelled_and_keeps_what_is_done(visit: Any) -> None:
    page = opened(visit(), SUITES["mini-vision"])
    page.locator("#inspect-set input").click()
    page.get_by_role("option", name="Rendered tasks").click()
    page.locator("#inspect-run").click()
    # in one step: between a look and a click from here, a fast run may be over
    told = page.wait_for_function(
        """() => {
          const status = document.querySelector('#inspect-status');
          const cancel = document.querySelector('#inspect-cancel');
          if (!cancel || !(status.querySelector('progress')?.value >= 64)) return null;
          cancel.click();
          return status.innerText;
        }""",
        timeout=240_000,
    ).json_value()
    assert "left" in told
    page.locator("#inspect-status", has_text="Cancelled").wait_for()
    told = page.locator("#inspect-status").inner_text()
    done = int(re.search(r"([\d,]+) of 2,000", told)[1].replace(",", ""))  # type: ignore[index]
    assert 64 <= done < 2000
    assert f"{done:,} of {done:,} samples" in page.locator("#inspect-table").inner_text()
    assert page.locator("#inspect-run").is_enabled()
    assert not page.locator("#inspect-cancel").is_visible()


def test_uploads_are_run_and_bad_ones_told(visit: Any, tmp_path: Path) -> None:
    page, suite = visit(), SUITES["mini-text"]
    opened(page, suite)
    choose(page, "Samples", "Your upload")
    task = suite.tasks[0]
    own = [e for e in EXAMPLES.text if e.task == task.name]
    bad, good = tmp_path / "bad.csv", tmp_path / "good.csv"
    bad.write_text("sentence,class\nx,y\n", encoding="utf-8")
    with good.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *((e.text, e.label) for e in own)])
    page.locator("#inspect-run").click()
    page.locator("#inspect-status [role=alert]", has_text="Upload a CSV").wait_for()
    upload_set(page, "inspect", bad)
    page.locator("#inspect-run").click()
    page.locator("#inspect-status [role=alert]", has_text="must name the columns").wait_for()
    upload_set(page, "inspect", good)
    page.locator("#inspect-run").click()
    page.locator("#inspect-table", has_text=f"{len(own)} of {len(own)} samples").wait_for()
    assert "not in the link" in page.locator("#inspect-link").inner_text()

    opened(page, SUITES["mini-vision"])
    choose(page, "Samples", "Your upload")
    pictures = [e for e in EXAMPLES.vision if e.task == "gtsrb"]
    bomb, archive = tmp_path / "bomb.zip", tmp_path / "own.zip"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("stop/a.png", bytes(5 * 2**20))
    with zipfile.ZipFile(archive, "w") as packed:
        for i, e in enumerate(pictures):
            assert e.file
            packed.writestr(f"{e.label.replace('/', '_')}/{i}.png", e.file.read_bytes())
    choose(page, "Their task", SUITES["mini-vision"].task("gtsrb").title)
    upload_set(page, "inspect", bomb)
    page.locator("#inspect-run").click()
    page.locator("#inspect-status [role=alert]", has_text="zip bombs").wait_for()
    upload_set(page, "inspect", archive)
    page.locator("#inspect-run").click()
    told = f"{len(pictures)} of {len(pictures)} samples"
    page.locator("#inspect-table", has_text=told).wait_for()
