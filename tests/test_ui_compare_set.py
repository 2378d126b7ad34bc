"""The Compare tab on a labelled set: a run, its rows, its file, a cancel. With a real engine."""

from __future__ import annotations

import csv
import io
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from inspecting import opened, page_of
from labelled import write_sentences
from test_ui import HOSTILE, parse
from test_ui_compare import built, lines, visitor_of
from test_ui_sandbox import link
from tiny import tiny_text_suite
from visitor import Visitor

from semerge.common import UserError
from semerge.engine import load_engine
from semerge.evaluation.comparison import Comparison, right
from semerge.evaluation.inspection import MARK
from semerge.suites import read_suite
from semerge.suites.examples import Examples
from semerge.ui.context import Context
from semerge.ui.runs import Run
from semerge.ui.tabs import compare_html
from semerge.ui.tabs.compare import CompareTab, Pair
from semerge.ui.tabs.compare_html import FIRST
from semerge.ui.tabs.inspect_choice import FOLDER, UPLOAD

pytestmark = pytest.mark.filterwarnings("ignore:.*(no_silent_downcasting|copy keyword)")


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> tuple[CompareTab, Path]:
    """A tab with a tiny suite of text and its real engine, and a folder of labelled sentences."""
    folder = tmp_path_factory.mktemp("compare")
    suite = read_suite(tiny_text_suite(folder / "suite"))
    context = Context.make([suite], Examples(), lambda suite: load_engine(suite.folder))
    return built(context), write_sentences(folder / "data")


def of_folder(tab: CompareTab, data: Path, **look: Any) -> Visitor:
    """Who asks for this folder."""
    asked = tab._first(tab.picker.suites[0])
    pair = Pair(*(replace(c, kind=FOLDER, place=str(data), limit=None) for c in asked.pair.both))
    source = {"text": "own words", "text_b": ""}
    return visitor_of(tab, replace(asked, source=source, pair=pair, look=replace(FIRST, **look)))


def press_run(tab: CompareTab, visitor: Visitor, at: Any = None) -> list[str]:
    """What is said until the end. at: called with the number of each step."""
    told: list[str] = []

    def each(step: dict[Any, Any]) -> None:
        if set(step) == {tab.run.status}:
            told.append(str(step[tab.run.status]))
            if at:
                at(len(told))

    visitor.press(tab.run.run, each)
    return told


def found_by(tab: CompareTab, visitor: Visitor) -> Comparison:
    comparison: Comparison = tab.store.get(visitor[tab.key]).result
    return comparison


def test_a_run_counts_lists_exports_and_opens_what_differs(
    labelled: tuple[CompareTab, Path],
) -> None:
    tab, data = labelled
    visitor, results = of_folder(tab, data), tab.results
    press_run(tab, visitor)
    found = found_by(tab, visitor)
    assert "36 samples in" in visitor[tab.run.status] and visitor.visible(results.column)
    differ = compare_html.ids(found, FIRST)
    assert differ and f"{len(differ)} of 36 samples" in visitor[results.table]
    a, b = right(found)["se"]
    board = visitor[results.board]
    assert f">{a}</strong>" in board and f">{b}</strong>" in board
    for part in results.outputs[1:]:
        parse(visitor[part])
    # exactly the rows shown
    key = visitor[tab.key]
    file = compare_html.export(tab.store, {"key": key, "filter": "all", "head": "routed"})
    assert [r["id"] for r in csv.DictReader(io.StringIO(file["text"].removeprefix(MARK)))] == list(
        differ
    )
    # the link says that it was run, and no longer once a setting is another
    assert link(visitor[tab.link])["run"] == "1"
    usual = visitor[tab.options[1].fields["preset"]]
    visitor.change(tab.options[1].fields["preset"], "hard")
    assert "run" not in link(visitor[tab.link])
    visitor.change(tab.options[1].fields["preset"], usual)
    assert link(visitor[tab.link])["run"] == "1"
    # a row opens in both panels with the answers of the table
    visitor.event(results.table, "row", {"do": "open", "value": differ[-1]})
    rows = next(pair for pair in found.rows if pair[0].id == differ[-1])
    for panel, row in zip(tab.panels, rows, strict=True):
        assert f'<bdi dir="auto">{row.se_routed}</bdi>' in visitor[panel.answers]
        assert row.label in visitor[panel.headline]
    assert 'aria-current="true"' in visitor[results.table]


def test_what_a_link_makes_up_is_told_after_the_run(labelled: tuple[CompareTab, Path]) -> None:
    tab, data = labelled
    visitor = of_folder(tab, data, row="nowhere", page=70)
    press_run(tab, visitor)
    for told in ("row &#39;nowhere&#39; is not known", "table_page &#39;71&#39; is not known"):
        assert told in visitor[tab.run.status]
    values = link(visitor[tab.link])
    assert "row" not in values and "table_page" not in values and values["run"] == "1"
    # one that there is stays
    row = compare_html.ids(found_by(tab, visitor), FIRST)[-1]
    visitor = of_folder(tab, data, row=row)
    press_run(tab, visitor)
    assert "is not known" not in visitor[tab.run.status]
    assert link(visitor[tab.link])["row"] == row
    assert row.rpartition("/")[0] and visitor.visible(tab.panels[0].body)  # and is opened


def test_filters_heads_and_pages_only_show_what_there_is(
    labelled: tuple[CompareTab, Path],
) -> None:
    tab, data = labelled
    visitor, board = of_folder(tab, data), tab.results.board
    press_run(tab, visitor)
    found = found_by(tab, visitor)
    for name in compare_html.FILTERS:
        visitor[tab.look] = FIRST
        visitor.event(board, "view", {"do": "filter", "value": name})
        count = len(compare_html.ids(found, replace(FIRST, filter=name)))
        assert f"{count} of 36 samples" in visitor[tab.results.table]
    for bad in ({"do": "filter", "value": HOSTILE}, {"do": "page", "value": -1}, {}, "x"):
        visitor[tab.look] = FIRST
        visitor.event(board, "view", bad)
        assert visitor[tab.look] == FIRST
    visitor.change(tab.set.head, "oracle")
    assert visitor[tab.look].head == "oracle" and "own task" in visitor[board]
    visitor[tab.key] = "gone"
    visitor.event(board, "view", {})
    assert "no longer kept" in visitor[tab.run.status]
    assert not visitor.visible(tab.results.column)
    with pytest.raises(UserError):
        compare_html.export(tab.store, {"key": "gone", "filter": "x", "head": "routed"})
    for bad in ([], ["all"], {}, None, True):
        for asked in (bad, {"key": "gone", "filter": bad, "head": "routed"}, {"head": bad}):
            with pytest.raises(UserError, match="reload it"):
                compare_html.export(tab.store, asked)


def test_a_run_is_cancelled_and_a_bad_set_is_told(labelled: tuple[CompareTab, Path]) -> None:
    tab, data = labelled
    visitor = of_folder(tab, data)
    assert tab.context.runs.turn.acquire(timeout=10)  # somebody else's run
    try:
        press_run(tab, visitor, lambda step: step == 1 and visitor.press(tab.run.cancel))
    finally:
        tab.context.runs.turn.release()
    assert "Cancelled" in visitor[tab.run.status] and not visitor[tab.key]
    visitor = of_folder(tab, data / "nowhere")
    press_run(tab, visitor)
    assert "There is no data folder" in visitor[tab.run.status] and not visitor[tab.key]
    visitor.change(tab.set.folder, " ")
    press_run(tab, visitor)
    assert "Name a folder" in visitor[tab.run.status]


def test_a_side_has_a_method_of_its_own(labelled: tuple[CompareTab, Path]) -> None:
    tab, data = labelled
    visitor, b = of_folder(tab, data), tab.options[1]
    visitor.change(b.fields["preset"], "sharp")
    visitor[b.further["method", "density"]] = 0.7
    visitor.change(b.fields["method"], "ties")
    assert lines(visitor[tab.differs])["Merging method"] == [
        "Task Arithmetic", "TIES-Merging (density 0.7)",
    ]  # fmt: skip
    assert "TIES-Merging (density 0.7), preset sharp" in visitor[tab.heads[1]]
    assert visitor.of(b.further["method", "density"], "visible") is True
    press_run(tab, visitor)
    board = visitor[tab.results.board]
    assert "TIES-Merging (density 0.7), preset sharp" in board and "Static merge" in board
    asked = {"key": visitor[tab.key], "filter": "all", "head": "routed"}
    for row in csv.DictReader(
        io.StringIO(compare_html.export(tab.store, asked)["text"].removeprefix(MARK))
    ):
        assert (row["a_method"], row["b_method"]) == ("task_arithmetic", "ties:density=0.7")
    values = link(visitor[tab.link])
    assert values["b_method"] == "ties:density=0.7" and "a_method" not in values
    again = Visitor(page_of(tab.key))
    assert not opened(again, tab, urlencode(values)).notices
    assert (again[b.fields["method"]], again[b.further["method", "density"]]) == ("ties", 0.7)


def test_what_is_set_during_a_run_stays_as_it_is_set(labelled: tuple[CompareTab, Path]) -> None:
    tab, data = labelled
    visitor = of_folder(tab, data)

    def at(step: int) -> None:
        if step == 1:
            visitor.change(tab.set.head, "oracle")
            visitor.change(tab.set.limit, 20)

    press_run(tab, visitor, at)
    assert "Read with the head of the sample&#39;s own task" in visitor[tab.results.board]
    assert (visitor[tab.set.head], visitor[tab.set.limit]) == ("oracle", 20)
    values = link(visitor[tab.link])
    assert (values["under"], values["limit"]) == ("oracle", "20")
    assert "run" not in values  # what is on screen is not what the form asks for


def test_one_run_works_at_a_time_in_all_tabs(labelled: tuple[CompareTab, Path]) -> None:
    """A comparison waits for an inspection, and can be cancelled while it does."""
    tab, data = labelled
    gate, runs = threading.Event(), tab.context.runs
    first = Run(lambda run: gate.wait(60) and None, "an inspection", tab="inspect", session="me")
    runs.start(first)
    while runs.working is not first:
        time.sleep(0.01)
    visitor = of_folder(tab, data)
    visitor.request.session_hash = "me"
    told = press_run(tab, visitor, lambda step: gate.set())
    assert "Your run in Inspect comes first" in told[0]
    assert first.ended and "36 samples in" in visitor[tab.run.status]


@pytest.mark.parametrize(
    ("kind", "said"), [(FOLDER, "press Run, and it is shown"), (UPLOAD, "No link holds an upload")]
)
def test_a_link_to_a_longer_set_waits_for_run(
    labelled: tuple[CompareTab, Path], kind: str, said: str
) -> None:
    tab, data = labelled
    visitor = Visitor(page_of(tab.key))
    opened(visitor, tab, urlencode({"set": kind, "data": str(data), "run": "1"}))
    assert said in visitor[tab.run.status]
