"""The Inspect tab without a browser: choices, runs, views, files, links.

Figures come from the library's own inspection of the same set; none is written here.
"""

from __future__ import annotations

import csv
import io
import json
import re
import shlex
import threading
import time
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import gradio as gr
import pytest
from inspecting import Inspector, arrive, cut, examples_of, follow, opened, tab_of
from labelled import write_images, write_sentences
from PIL import Image
from tiny import tiny_text_suite, tiny_vision_suite

from semerge.cli import main
from semerge.common import UserError
from semerge.data.sets import chosen_sets
from semerge.engine import load_engine
from semerge.evaluation import inspection
from semerge.evaluation.figures import HEADS as REAL_HEADS
from semerge.evaluation.figures import limits, limits_of_mean
from semerge.evaluation.inspection import MARK, View, counts, inspect, select, write_csv
from semerge.inputs import CleanText
from semerge.settings import Settings
from semerge.suites import Suite, read_suite
from semerge.suites.examples import Examples, load_examples
from semerge.ui import runs as ui_runs
from semerge.ui import words
from semerge.ui.links import Query
from semerge.ui.runs import BUSY, FAILED, GONE, Controls, Run, Runs, Store, outcome
from semerge.ui.safe import on_this_computer
from semerge.ui.tabs import inspect_html
from semerge.ui.tabs.inspect import InspectTab
from semerge.ui.tabs.inspect_choice import (
    FILTERS,
    HEADS,
    PAGE,
    SORTS,
    Choice,
    Look,
    changed,
    kinds,
    read_choice,
    read_look,
    stepped,
)

pytestmark = pytest.mark.filterwarnings("ignore:.*(no_silent_downcasting|copy keyword)")
HOSTILE = "<script>alert(1)</script>\"'{{x}}${y}`"


@pytest.fixture(autouse=True)
def at_home(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SPACE_ID", "GRADIO_SERVER_NAME"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`text` and `image`, tiny suites, each with data in `text-data` and `image-data`."""
    folder = tmp_path_factory.mktemp("inspect")
    tiny_text_suite(folder / "text")
    write_sentences(folder / "text-data")
    tiny_vision_suite(folder / "image")
    write_images(folder / "image-data")
    return folder


@pytest.fixture(scope="module")
def tab(home: Path) -> InspectTab:
    suites = [read_suite(home / "text"), replace(read_suite(home / "image"), name="tiny-image")]
    return tab_of(suites, examples_of(home / "text"))


@pytest.fixture
def visitor(tab: InspectTab, home: Path) -> Inspector:
    """Has run the folder of sentences."""
    found = Inspector(tab, kind="folder", folder=str(home / "text-data"))
    found.press_run()
    return found


@pytest.fixture(scope="module")
def whole(home: Path) -> inspection.Inspection:
    """The same run, by the library."""
    engine = load_engine(home / "text")
    return inspect(engine, chosen_sets(engine.suite, home / "text-data"), Settings())


def sentences(home: Path, kind: str = "folder", **changes: Any) -> Choice:
    place = str(home / "text-data") if kind == "folder" else ""
    return replace(Choice(read_suite(home / "text"), kind, place), **changes)


# ---- which set ----------------------------------------------------------------------------------


def test_names_of_the_page_are_those_of_the_library() -> None:
    assert tuple(FILTERS) == tuple(inspection.FILTERS)
    assert tuple(HEADS) == REAL_HEADS
    for sort in SORTS:
        for head in HEADS:
            assert Look(sort=sort, head=head).view().sort in inspection.SORTS


@pytest.mark.parametrize(
    ("variable", "value"), [("SPACE_ID", "me/demo"), ("GRADIO_SERVER_NAME", "0.0.0.0")]
)
def test_paths_of_the_server_are_for_who_sits_at_it(
    tab: InspectTab, home: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    suite, query = read_suite(home / "text"), {"set": "folder", "data": str(home / "text-data")}
    there = read_choice(Query(query), suite, Examples())
    assert (there.kind, there.place) == ("folder", query["data"])
    monkeypatch.setenv(variable, value)
    assert not on_this_computer() and "folder" not in kinds(suite, Examples())
    asked = Query(query)
    away = read_choice(asked, suite, Examples())
    assert (away.kind, away.place) == ("upload", "") and len(asked.notices) == 1
    visitor = Inspector(tab, kind="folder", folder=str(home / "text-data"))
    visitor.press_run()  # whatever a client sends
    assert "not on offer here" in visitor.status and not visitor.key


def test_what_is_on_offer(home: Path) -> None:
    mini = read_suite("mini-vision")
    examples = load_examples()
    assert list(kinds(mini, examples)) == ["examples", "generated", "folder", "upload"]
    assert f"({len(examples.vision)})" in kinds(mini, examples)["examples"]
    assert list(kinds(read_suite(home / "text"), Examples())) == ["folder", "upload"]


@pytest.mark.parametrize(
    ("form", "told"),
    [
        ({"kind": "folder", "folder": "  "}, "Name a folder"),
        ({"kind": "folder", "folder": "/nowhere/at all"}, "There is no data folder"),
        ({"kind": "folder", "folder": "~nobody-here/x"}, "There is no data folder"),
        ({"kind": "folder", "folder": "/"}, "holds no task of"),
        ({"kind": "upload"}, "Upload a CSV or JSON file first."),
        ({"kind": "upload", "upload": "/tmp/is not there.csv"}, "deleted by now"),
        ({"kind": "examples", "limit": -3}, "1 or more samples a task"),
        ({"kind": "elsewhere"}, "not on offer here"),
        ({"suite": "elsewhere"}, "unknown here"),
        ({"preset": "elsewhere"}, "preset"),
    ],
)
def test_a_form_that_can_not_be_run_is_told_in_a_sentence(
    tab: InspectTab, form: dict[str, Any], told: str
) -> None:
    visitor = Inspector(tab, **form)
    visitor.press_run()
    assert told in visitor.status and 'role="alert"' in visitor.status
    assert not visitor.key and not visitor.visible(tab.results)
    again = Inspector(tab, kind="examples")
    again.press_run()
    assert len(again.found.rows) == 6  # and the app goes on


def test_the_form_follows_suite_and_kind(tab: InspectTab) -> None:
    form = tab.form
    visitor = Inspector(tab)
    visitor.change(form.kind, "upload")
    assert visitor.visible(form.upload) and visitor.visible(form.task)
    assert not visitor.visible(form.folder) and not visitor.visible(form.split)
    assert "CSV" in visitor[form.wanted]
    visitor.change(form.suite, "tiny-image")
    visitor[form.folder] = "somewhere"
    choice = form.read(visitor.form())
    assert choice.suite.name == "tiny-image" and choice.kind == "folder"


# ---- the run ------------------------------------------------------------------------------------


def test_a_run_shows_its_progress_and_then_everything(
    tab: InspectTab, visitor: Inspector, whole: inspection.Inspection
) -> None:
    assert visitor.found.rows == whole.rows and visitor.found.complete
    told = [str(step[tab.run.status]) for step in visitor.steps]
    first = ("Loading the models", "Reading the samples", "36")  # whichever comes soon enough
    assert any(words in told[0] for words in first)
    assert "36 samples in" in visitor.status and visitor.visible(tab.results)
    figures = str(visitor[tab.page.figures])
    average = inspection.figures(whole)["average"]
    for key in ("se_oracle", "static_oracle", "base_routed", "expert", "routing"):
        assert words.percent(average[key]) in figures
    assert visitor.ids() == [row.id for row in whole.rows[:PAGE]]


def test_a_cancel_keeps_what_is_done_and_does_not_wait(
    tab: InspectTab, home: Path, monkeypatch: pytest.MonkeyPatch, whole: inspection.Inspection
) -> None:
    """Even a batch that never ends is not waited for."""
    gate, parts = threading.Event(), []
    original = inspection.collect

    def slow(*given: Any) -> Any:
        *most, cancelled, tell = given

        def told(found: Any) -> None:
            parts.append(found)
            tell(found)

        def asked() -> bool:
            return bool((not parts or gate.wait(60)) and cancelled())

        return original(*most, asked, told)

    monkeypatch.setattr(inspection, "collect", slow)
    visitor = Inspector(tab, kind="folder", folder=str(home / "text-data"))

    def at(step: int) -> None:
        if parts and not visitor.key:
            visitor.press_cancel()

    visitor.press_run(at)
    gate.set()
    assert not visitor.found.complete and len(visitor.found.rows) == 12
    assert [*visitor.found.rows] == [*whole.rows[:12]]
    assert "Cancelled: 12 of 36 samples are done and shown." in visitor.status
    assert visitor.of(tab.run.run, "interactive") and not visitor.visible(tab.run.cancel)


def test_a_cancel_before_anything_is_done_leaves_the_page_as_it_was(
    tab: InspectTab, visitor: Inspector
) -> None:
    rows, key = visitor.ids(), visitor.key
    assert tab.context.runs.turn.acquire(timeout=10)  # somebody else's run
    try:
        visitor.press_run(lambda step: visitor.press_cancel() if step == 1 else None)
    finally:
        tab.context.runs.turn.release()
    assert "Waiting for another run to end" in str(visitor.steps[0])
    assert "Cancelled before the first samples" in visitor.status
    assert (visitor.ids(), visitor.key) == (rows, key)


def test_runs_take_turns_and_few_may_wait() -> None:
    runs, order = Runs(waiting=1), []
    gate = threading.Event()

    def work(name: str) -> Any:
        def run(_: Run) -> Any:
            order.append(name)
            assert gate.wait(60)
            return None

        return run

    first, second = Run(work("first"), "one"), Run(work("second"), "two")
    for run in (first, second):
        assert runs.get(runs.add(run)) is run
    runs.start(first)
    while not order:
        time.sleep(0.01)
    runs.start(second)
    with pytest.raises(UserError, match=re.escape(BUSY)):
        runs.add(Run(work("third"), "three"))
    gate.set()
    for run in (first, second):
        while not run.ended:
            time.sleep(0.01)
    assert order == ["first", "second"]
    assert runs.get(runs.add(Run(work("third"), "three")))  # who has ended waits no more


def test_a_run_that_breaks_is_told_and_keeps_what_is_done(
    whole: inspection.Inspection, caplog: pytest.LogCaptureFixture
) -> None:
    def work(run: Run) -> Any:
        run.reaches("Running", 36)
        run.progress(12, 36)
        run.keep(cut(whole, whole.rows[:12]))
        raise ZeroDivisionError("internal secret")

    run = Run(work, "sentences")
    Runs().start(run)
    while not run.ended:
        time.sleep(0.01)
    told = outcome(run)
    assert FAILED in told and "12 samples that were done are shown" in told
    assert "secret" not in told and "internal secret" in caplog.text


def test_progress_says_how_much_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(ui_runs.time, "monotonic", lambda: now[0])
    with gr.Blocks():
        controls = Controls(Runs(), "inspect", "Run it.")
    run = Run(lambda run: None, "sentences")
    run.reaches("Reading the samples")
    assert controls.progress(run).count("Reading the samples…") == 1
    run.reaches("Running", 2000)
    assert "0 of 2,000 samples</span>" in controls.progress(run)
    now[0] = 130.0
    run.progress(500, 2000)
    assert run.left == 90.0
    assert "500 of 2,000 samples, about 2\xa0min left" in controls.progress(run)
    assert 'max="2000" value="500"' in controls.progress(run)
    # who waits for it is told for how long, and where to cancel it if it is his own
    run.tab, run.session = "compare", "me"
    controls.runs.working = run
    other = Run(lambda run: None, "others", session="somebody")
    assert "begins when another has ended, in about 2\xa0min." in controls.progress(other)
    other.session = "me"
    assert "Your run in Compare comes first" in controls.progress(other)
    assert "Cancel it there to begin at once." in controls.progress(other)


def test_the_last_few_are_kept_and_who_had_to_go_is_told(
    tab: InspectTab, home: Path, visitor: Inspector, whole: inspection.Inspection
) -> None:
    choice = sentences(home)
    store = Store(count=2)
    one, two = store.put(whole, choice), store.put(whole, choice)
    store.get(one)  # is the latest now
    three = store.put(whole, choice)
    assert store.get(one).result is store.get(three).result
    with pytest.raises(UserError, match="no longer kept"):
        store.get(two)
    small = Store(room=3 * ui_runs.size(whole) - 1)
    names = [small.put(whole, choice) for _ in range(3)]
    with pytest.raises(UserError):
        small.get(names[0])
    other = small.put(whole, choice, instead_of=names[1])
    assert small.get(names[2]) and small.get(other)
    tab.store._items.clear()  # as after a restart
    visitor.act(do="filter", value="fixed")
    assert GONE in visitor.status and not visitor.visible(tab.results)
    assert visitor.export("csv") == {"failure": GONE}


def test_what_is_set_while_a_link_opens_stays_as_it_is_set(tab: InspectTab, home: Path) -> None:
    """The examples run by themselves; who chooses an upload meanwhile is not sent back to them."""
    visitor = Inspector(tab)
    asked = Look(filter="fixed", search="cat", task="task1")
    _, begun = arrive(visitor, tab, "tab=inspect&set=examples&filter=fixed&search=cat&task=task1")
    visitor.event(tab.page.search, "change")  # as a browser tells of a box that was filled
    assert visitor.look == asked and "no longer kept" not in visitor.status
    visitor.change(tab.form.kind, "upload")
    visitor.change(tab.form.limit, 7)
    follow(visitor, begun)
    assert visitor.visible(tab.results) and "6 samples, as the link" in visitor.status
    assert visitor.look == asked
    assert visitor[tab.form.kind] == "upload" and visitor[tab.form.limit] == 7
    assert visitor.visible(tab.form.upload) and visitor.visible(tab.form.wanted)
    assert "CSV" in visitor[tab.form.wanted]
    visitor.press_run()
    assert "Upload a CSV or JSON file first." in visitor.status


def test_a_look_that_is_changed_during_a_run_holds_for_its_rows(
    tab: InspectTab, visitor: Inspector
) -> None:
    visitor.act(do="filter", value="misrouted")
    visitor.refine(search="cat")
    before, rows = visitor.key, []

    def at(step: int) -> None:
        if step == 1:
            visitor.refine(search="task1")
            visitor.act(do="sort", value="margin")
            rows.append(visitor.ids()[0])
            visitor.act(do="open", value=rows[0])

    visitor.press_run(at)
    assert visitor.key != before
    # the filter was set before the run, and another run begins anew
    assert visitor.look == Look(search="task1", sort="margin", row=rows[0])
    want = View(search="task1", sort="margin")
    assert visitor.ids() == [visitor.found.rows[i].id for i in select(visitor.found, want)]


def test_old_results_are_told_while_another_set_is_chosen(
    tab: InspectTab, visitor: Inspector
) -> None:
    form, told = tab.form, "What is shown below is of the set before"
    assert visitor[tab.old] == ""
    visitor.change(form.limit, 2)
    assert told in visitor[tab.old] and 'role="status"' in visitor[tab.old]
    visitor.change(form.limit, 0)
    assert visitor[tab.old] == ""
    visitor.change(form.options.fields["preset"], "literal")
    assert told in visitor[tab.old]
    visitor.press_run()
    assert visitor[tab.old] == "" and visitor.found.resolved.preset == "literal"
    visitor.change(form.kind, "upload")  # not complete yet, and another one all the same
    assert told in visitor[tab.old]


def test_a_set_is_the_same_whatever_is_left_in_boxes_that_do_not_count(home: Path) -> None:
    own = sentences(home)
    assert own.same(replace(own, place=f" {own.place} "))
    assert own.same(replace(own, settings=Settings(preset="sharp")))
    examples = sentences(home, "examples")
    assert examples.same(replace(examples, place="left", split="validation", task="task0"))
    for other in (
        examples, replace(own, split="validation"), replace(own, limit=3),
        replace(own, task="task0"), replace(own, settings=Settings(preset="hard")),
    ):  # fmt: skip
        assert not own.same(other)


def test_what_an_upload_may_hold_names_the_column_of_tasks(tab: InspectTab) -> None:
    visitor = Inspector(tab)
    visitor.change(tab.form.kind, "upload")
    assert "Optional: a column task" in visitor[tab.form.wanted]
    assert ", ".join(tab.form.suites[0].task_names) in visitor[tab.form.wanted]


# ---- figures and margins -------------------------------------------------------------------------


def test_both_heads_stand_with_their_intervals(
    tab: InspectTab, visitor: Inspector, whole: inspection.Inspection
) -> None:
    shown, tasks = str(visitor[tab.page.figures]), inspection.figures(whole)["tasks"]
    mean, of_mean = inspection.figures(whole)["average"], limits_of_mean(tasks)
    sentence = shown.partition("</p>")[0]
    for key in ("se_routed", "static_routed", "routing"):
        assert words.percent(mean[key]) in sentence and words.limits(of_mean[key]) in sentence
    for key in ("se_oracle", "static_oracle"):
        assert words.limits(of_mean[key]) in shown
    by_task = shown.partition("Task by task")[2]
    for own in limits(tasks).values():
        assert words.limits(own["se_routed"]) in by_task
    page = visitor.export("html")["text"]
    low, high = (f"{100 * limit:.1f}" for limit in of_mean["se_routed"])
    assert f"({low}–{high})" in page


def test_margins_of_right_and_of_wrong_answers(whole: inspection.Inspection) -> None:
    for head in HEADS:
        right, wrong = inspect_html.strips(whole, head)
        rows = {True: [], False: []}  # type: ignore[var-annotated]
        for row in whole.rows:
            rows[row.right(f"se_{head}")].append(row.margin)
        for strip, margins in ((right, rows[True]), (wrong, rows[False])):
            assert strip["n"] == len(margins) == len(strip["marks"])
            assert [margin for margin, _ in strip["marks"]] == margins
            assert all(0 <= deep <= inspect_html.DEEP for _, deep in strip["marks"])
            assert strip["low"] == sum(margin < whole.low_margin for margin in margins)
    many = cut(whole, [*whole.rows] * 100)
    marks = [len(strip["marks"]) for strip in inspect_html.strips(many, "routed")]
    assert max(marks) <= inspect_html.MOST
    shown = inspect_html.board(whole, Look())
    assert "Median margin: right" in shown and shown.count("<svg") == 2
    none = inspect_html.strips(
        cut(whole, [r for r in whole.rows if r.right("se_routed")]), "routed"
    )
    assert none[1]["n"] == 0 and none[1]["median"] is None


def test_entropy_is_shown_where_it_is_not_always_0(
    tab: InspectTab, visitor: Inspector, whole: inspection.Inspection
) -> None:
    hard = replace(whole, resolved=Settings(preset="hard").resolve(whole.suite))
    for found, shown in ((whole, True), (hard, False)):
        table = inspect_html.rows_table(found, Look(), [0, 1])
        assert ("Entropy" in table) is shown
        assert table.count('scope="col"') == 9 + shown
        assert ("entropy</th>" in inspection.static_report(found)) is shown
    assert "here the merge becomes the chosen expert itself" in inspect_html.figures(hard)
    assert "becomes the chosen expert" not in inspect_html.figures(whole)


def test_the_samples_as_tiles_are_the_same_samples(
    tab: InspectTab, visitor: Inspector, whole: inspection.Inspection
) -> None:
    ids = visitor.ids()
    visitor.act(do="layout", value="gallery")
    assert visitor.ids() == ids and "<table" not in visitor[tab.page.table]
    assert "layout=gallery" in visitor.query
    visitor.act(do="open", value=ids[2])
    assert visitor[tab.page.table].count('aria-current="true"') == 1
    visitor.act(do="clear")
    assert visitor.look.layout == "gallery"
    visitor.act(do="layout", value="elsewhere")
    assert visitor.look.layout == "gallery"
    visitor.act(do="layout", value="table")
    assert "<table" in visitor[tab.page.table] and "layout" not in visitor.query


def test_a_link_without_a_head_opens_with_the_chosen_expert_s(home: Path) -> None:
    suite = read_suite(home / "text")
    assert read_look(Query({"filter": "fixed"}), suite).head == "routed"
    assert read_look(Query({"under": "oracle"}), suite).head == "oracle"
    assert Look().link() == {} and Look(head="oracle").link() == {"under": "oracle"}


# ---- views --------------------------------------------------------------------------------------


def test_buttons_show_what_the_library_selects(
    tab: InspectTab, visitor: Inspector, whole: inspection.Inspection
) -> None:
    def shows(view: View) -> None:
        want = [whole.rows[i].id for i in select(whole, view)]
        assert visitor.ids() == want[:PAGE]
        assert f"{len(want):,} of 36 samples" in visitor[tab.page.table]
        content = json.loads(visitor.export("json")["text"])
        assert [row["id"] for row in content["rows"]] == want

    for head in HEADS:
        visitor.refine(head=head)
        numbers = counts(whole, head)
        for name in FILTERS:
            assert f"<b>{numbers[name]:,}</b>" in visitor[tab.page.filters]
            visitor.act(do="filter", value=name)
            shows(View(filter=name, head=head))
            if name != "all":
                visitor.act(do="filter", value=name)  # once more: off
                shows(View(head=head))
    cell = next((row.task, row.chosen) for row in whole.rows if row.task != row.chosen)
    visitor.act(do="cell", task=cell[0], chosen=cell[1])
    shows(View(tasks=cell[:1], chosen=cell[1], head="routed"))
    assert (visitor[tab.page.task], visitor[tab.page.chosen]) == cell
    visitor.act(do="clear")
    visitor.refine(search="TASK1/test", head="oracle")
    shows(View(search="TASK1/test"))
    visitor.act(do="sort", value="margin")
    shows(View(search="TASK1/test", sort="margin"))
    visitor.act(do="sort", value="margin")
    shows(View(search="TASK1/test", sort="margin", descending=True))
    visitor.act(do="sort", value="margin")
    shows(View(search="TASK1/test"))
    visitor.act(do="sort", value="se")
    shows(View(search="TASK1/test", sort="se_oracle"))
    visitor.refine(search="nothing is like this")
    assert "No sample is like this." in visitor[tab.page.table]


def test_pages_and_steps(tab: InspectTab, visitor: Inspector, whole: inspection.Inspection) -> None:
    ids = [row.id for row in whole.rows]
    visitor.act(do="page", value=1)
    assert visitor.ids() == ids[PAGE:]
    visitor.act(do="page", value=10**5)
    assert visitor.ids() == ids[PAGE:] and visitor.look.page == 1
    visitor.act(do="open", value=ids[3])
    assert visitor.look.row == ids[3] and visitor.look.page == 0
    assert visitor[tab.page.table].count('aria-current="true"') == 1
    for value, want in (("next", 4), ("next", 5), ("previous", 4)):
        visitor.act(do="step", value=value)
        assert visitor.look.row == ids[want]
    for _ in range(PAGE):
        visitor.act(do="step", value="next")
    assert visitor.look.row == ids[29] and visitor.look.page == 1  # the page follows
    visitor.act(do="step", value="random")
    assert visitor.look.row != ids[29]
    look = Look(row="elsewhere")
    assert stepped(look, {"do": "step", "value": "next"}, ids).row == ids[0]
    assert stepped(look, {"do": "step", "value": "next"}, []) == look
    assert stepped(Look(row=ids[-1]), {"do": "step", "value": "next"}, ids).row == ids[-1]
    assert stepped(Look(row=ids[0]), {"do": "step", "value": "random"}, ids[:1]).row == ids[0]


@pytest.mark.parametrize("head", tuple(HEADS))
def test_a_row_is_opened_in_the_panel_of_every_tab(
    tab: InspectTab, visitor: Inspector, home: Path, head: str
) -> None:
    visitor.refine(head=head)
    engine = tab.context.engines.get(visitor.found.suite.name)
    for i in (0, 30):
        row = visitor.found.rows[i]
        visitor.act(do="open", value=row.id)
        view = tab.opened.view(visitor.key, row.id, visitor.look)
        assert view and view.example and (view.example.task, view.example.label) == (
            row.task, row.label,
        )  # fmt: skip
        read_by = row.task if head == "oracle" else "auto"
        want = engine.predict(CleanText(*visitor.found.text(i)[:1],
                                        visitor.found.text(i)[1] or None),
                              Settings(head=read_by)).to_dict()  # fmt: skip
        assert view.result["predictions"] == want["predictions"]
        assert view.answer("se") == getattr(row, f"se_{head}")
        assert view.right("static") == row.right(f"static_{head}")
        panel = tab.opened.panel
        assert visitor[panel.headline] == panel.show(view)[panel.headline]
        assert visitor.visible(tab.opened.column) and not visitor.visible(tab.pinned.column)
    visitor.act(do="pin")
    shown = visitor[tab.opened.panel.answers]
    visitor.act(do="step", value="previous")
    assert visitor.look.pinned == row.id != visitor.look.row
    assert visitor[tab.pinned.panel.answers] == shown and visitor.visible(tab.pinned.column)
    visitor.act(do="unpin")
    assert not visitor.visible(tab.pinned.column)


def test_nothing_is_computed_twice(
    tab: InspectTab, visitor: Inspector, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    original = tab.context.predict
    monkeypatch.setattr(
        tab.context, "predict", lambda *given: asked.append(given) or original(*given)
    )
    visitor.act(do="step", value="next")
    visitor.act(do="pin")
    assert len(asked) == 2  # the open row, and the pinned one
    visitor.act(do="step", value="next")
    assert len(asked) == 3
    visitor.refine(search="task")
    visitor.act(do="filter", value="fixed")
    assert len(asked) == 3


@pytest.mark.parametrize(
    "action",
    [
        {},
        {"do": "filter", "value": "elsewhere"},
        {"do": "filter", "value": ["fixed"]},
        {"do": "cell", "task": "task0"},
        {"do": "cell", "task": {}, "chosen": "task0"},
        {"do": "sort", "value": "__class__"},
        {"do": "page", "value": -1},
        {"do": "page", "value": True},
        {"do": "open", "value": 3},
        {"do": "step", "value": "sideways"},
    ],
)
def test_what_a_client_makes_up_changes_nothing(visitor: Inspector, action: dict[str, Any]) -> None:
    before = (visitor.look, visitor.ids())
    visitor.act(**action)
    assert (visitor.look, visitor.ids()) == before


def test_text_of_users_is_never_markup(home: Path, whole: inspection.Inspection) -> None:
    bad = replace(whole.rows[0], id=HOSTILE, label=HOSTILE, se_oracle=HOSTILE, static_oracle="x")
    found = cut(whole, [bad])
    look = Look(row=HOSTILE, pinned=HOSTILE, search=HOSTILE)
    choice = sentences(home, place=f"/tmp/{HOSTILE}")
    parts = [
        inspect_html.rows_table(found, look, [0]),
        inspect_html.open_row(found, look, [HOSTILE]),
        inspect_html.pinned_row(found, look),
        inspect_html.filters(found, look),
        inspect_html.board(found, look),
        inspect_html.figures(found),
        inspect_html.exports("key", look, choice, 1),
    ]
    for part in parts:
        assert "<script" not in part and "{{" not in part and "${" not in part
    assert "&lt;script&gt;" in parts[0]


def test_the_table_is_a_table(visitor: Inspector, tab: InspectTab) -> None:
    visitor.act(do="sort", value="entropy")
    table = visitor[tab.page.table]
    assert table.count('scope="col"') == 10
    assert table.count('scope="row"') == PAGE
    assert table.count('aria-sort="ascending"') == 1
    assert 'aria-disabled="true" data-key="back"' in table.replace('type="button" ', "")
    assert 'tabindex="0" role="region"' in table
    for part in (table, visitor[tab.page.board]):
        keys = re.findall('data-key="([^"]*)"', part)
        assert len(keys) == len(set(keys))


# ---- files --------------------------------------------------------------------------------------


def upload_of(home: Path, folder: Path, kind: str) -> Path:
    """Samples of the tiny suites as a visitor would upload them."""
    if kind == "text":
        lines = ["text,label", "A cat.,ant", "=1+1 <b>,bee", "Où ?,ant"]
        path = folder / "own.csv"
        path.write_text("\n".join(lines), encoding="utf-8")
        return path
    path = folder / "own.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for i, label in enumerate(("ant", "bee", "ant")):
            data = io.BytesIO()
            Image.new("RGB", (20, 18 + i), (40 * i, 90, 200)).save(data, "PNG")
            archive.writestr(f"own/{label}/{i}.png", data.getvalue())
    return path


@pytest.mark.parametrize("kind", ["text", "image"])
@pytest.mark.parametrize(
    "form",
    [
        {"kind": "folder"},
        {"kind": "folder", "split": "validation", "limit": 2, "preset": "literal", "layer": 1},
        {"kind": "folder", "probe": "experts", "layer": "final"},
        {"kind": "upload", "task": "task0"},
        {"kind": "folder", "task": "task0"},  # left over from an upload
        {"kind": "folder", "folder": "~", "task": "task0"},
        {"kind": "folder", "method": "ties", "density": 0.5, "merge": "mean", "preset": "literal"},
    ],
)
def test_the_csv_is_that_of_the_command_that_the_page_names(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any,
    kind: str, form: dict[str, Any],
) -> None:  # fmt: skip
    suite = read_suite(home / kind)
    tab = tab_of([suite])
    monkeypatch.chdir(tmp_path)
    if form["kind"] == "upload":
        form = {**form, "upload": str(upload_of(home, tmp_path, kind))}
    elif "folder" in form:  # a file in a home folder
        monkeypatch.setenv("HOME", str(tmp_path))
        form = {**form, "folder": f"~/{upload_of(home, tmp_path, kind).name}"}
    else:
        form = {**form, "folder": str(home / f"{kind}-data")}
    visitor = Inspector(tab, **form)
    visitor.press_run()
    command = shlex.split(tab.store.get(visitor.key).asked.command())
    assert command[:4] == ["python", "-m", "semerge", "evaluate"]
    assert main(command[3:]) == 0
    capsys.readouterr()
    saved = visitor.export("csv")
    assert saved["name"] == f"{suite.name}.csv" and saved["type"] == "text/csv"
    assert saved["text"] == Path("rows.csv").read_text(encoding="utf-8")
    assert len(list(csv.DictReader(io.StringIO(saved["text"].removeprefix(MARK))))) == len(
        visitor.found.rows
    )


def test_method_and_options_are_named_wherever_settings_are(
    tab: InspectTab, visitor: Inspector, home: Path
) -> None:
    usual = visitor.found.rows
    assert "Method Task Arithmetic, preset sharp" in visitor[tab.page.figures]
    other = Inspector(tab, kind="folder", folder=str(home / "text-data"), method="ties")
    other[tab.form.options.further["method", "density"]] = 0.7
    other.press_run()
    told = "TIES-Merging (density 0.7)"
    assert f"Method {told}, preset sharp" in other[tab.page.figures]
    assert f"Static {told}" in other[tab.page.figures]
    row = csv.DictReader(io.StringIO(other.export("csv")["text"].removeprefix(MARK))).__next__()
    assert row["method"] == json.loads(other.export("json")["text"])["method"]
    assert row["method"] == "ties:density=0.7" in other.export("html")["text"]
    assert "method=ties%3Adensity%3D0.7" in other.query
    again, asked = restored(tab, other.query)
    assert not asked.notices and again.form() == other.form()
    # another merge, the original experts
    assert [row.expert for row in other.found.rows] == [row.expert for row in usual]
    # and a row is answered by the same
    other.act(do="open", value=other.ids()[0])
    view = tab.opened.view(other.key, other.look.row, other.look)
    assert view and (view.result["method"], view.result["method_options"]["density"]) == (
        "ties", 0.7,
    )  # fmt: skip


def test_a_command_names_no_path_of_a_public_server(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, shipped = Choice(read_suite(home / "text")), Choice(read_suite("mini-text"))
    assert f"--suite {home / 'text'} " in own.command()
    assert "--suite mini-text " in shipped.command()
    monkeypatch.setenv("GRADIO_SERVER_NAME", "0.0.0.0")
    assert f"--suite {own.suite.name} " in own.command()


def test_the_files_hold_what_is_filtered(tab: InspectTab, visitor: Inspector) -> None:
    visitor.act(do="filter", value="misrouted")
    visitor.act(do="sort", value="task")
    ids = [visitor.found.rows[i].id for i in select(visitor.found, visitor.look.view())]
    saved = visitor.export("csv")
    assert [r["id"] for r in csv.DictReader(io.StringIO(saved["text"].removeprefix(MARK)))] == ids
    assert saved["name"].endswith("-misrouted.csv")
    page = visitor.export("html")["text"]
    assert page.startswith("<!doctype html>") and page.count("<tr data-row") == len(ids)
    bad: list[Any] = [None, {}, {"kind": "exe"}, {"kind": "csv"}, [1]]
    good = {"kind": "csv", "key": visitor.key}
    bad += [{**good, "look": look} for look in (None, {}, {**vars(Look()), "page": "1"})]
    bad += [{**good, "look": {**vars(Look()), "filter": "x"}}]
    bad += [{**good, "look": {**vars(Look()), "head": "x"}}]
    bad += [{**good, "kind": kind, "look": vars(Look())} for kind in ([], ["csv"], {}, True)]
    for asked in bad:
        assert set(tab.page.files.export_rows(asked)) == {"failure"}


# ---- links --------------------------------------------------------------------------------------


def restored(tab: InspectTab, query: str) -> tuple[Inspector, Query]:
    """The page that a link opens."""
    visitor = Inspector(tab)
    return visitor, opened(visitor, tab, query)


def test_a_link_to_the_examples_opens_them_as_they_were(tab: InspectTab) -> None:
    visitor = Inspector(tab, kind="examples", preset="literal")
    visitor.press_run()
    row, other = visitor.found.rows[3].id, visitor.found.rows[1].id
    visitor.refine(search="cat", head="routed")
    visitor.act(do="sort", value="margin")
    visitor.act(do="sort", value="margin")
    visitor.act(do="open", value=other)
    visitor.act(do="pin")
    visitor.act(do="open", value=row)
    again, asked = restored(tab, visitor.query)
    assert not asked.notices and again.look == visitor.look and again.query == visitor.query
    assert "6 samples, as the link names them" in again.status
    parts = [tab.page.table, tab.page.board, tab.page.figures, tab.page.search, tab.opened.head]
    panels = [panel.panel.answers for panel in (tab.opened, tab.pinned)]
    for part in (*parts, *panels):
        assert again[part] == visitor[part]
    assert again.form() == visitor.form() and again.visible(tab.results)
    assert again.visible(tab.opened.column) and again.visible(tab.pinned.column)


def test_a_link_to_a_longer_set_waits_for_run(tab: InspectTab, visitor: Inspector) -> None:
    visitor.act(do="filter", value="misrouted")
    visitor.act(do="step", value="next")
    again, _ = restored(tab, visitor.query)
    assert "press Run" in again.status and not again.visible(tab.results)
    assert again.query == visitor.query
    again.press_run()
    assert again.look == visitor.look and again.ids() == visitor.ids()
    assert again[tab.opened.panel.answers] == visitor[tab.opened.panel.answers]
    again.press_run()  # another run begins anew
    assert again.look == Look()


def test_an_upload_is_never_in_a_link(tab: InspectTab, home: Path, tmp_path: Path) -> None:
    visitor = Inspector(tab, kind="upload", upload=str(upload_of(home, tmp_path, "text")))
    visitor[tab.form.task] = "task0"
    visitor.press_run()
    assert len(visitor.found.rows) == 3
    assert str(tmp_path) not in visitor[tab.link] and "own.csv" not in visitor.query
    assert "Your upload is not in the link" in visitor[tab.link]
    again, asked = restored(tab, visitor.query)
    assert again.visible(tab.form.upload) and not asked.notices
    assert "No link holds an upload: choose the file again" in again.status


def test_what_a_link_makes_up_falls_back_and_is_told(tab: InspectTab) -> None:
    query = (
        "suite=x&set=y&filter=z&task=u&chosen=v&sort=w&order=q&under=p&table_page=0&limit=0&of=k"
    )
    again, asked = restored(tab, f"tab=inspect&{query}&row=nowhere&pinned=%3Cb%3E")
    assert len(asked.notices) == 11
    assert again.status.count("is not known here") == 2  # what only the samples can say
    assert again.visible(tab.results) and len(again.ids()) == 6  # the examples
    assert again.look == Look() and not again.visible(tab.opened.column)
    assert "nowhere" not in again.query and "pinned" not in again.query


def test_a_page_that_a_link_makes_up_is_the_first_and_is_told(tab: InspectTab) -> None:
    again, asked = restored(tab, "tab=inspect&set=examples&table_page=2")
    told = "The link&#39;s table_page &#39;2&#39; is not known here; the default is shown."
    assert not asked.notices and told in again.status
    assert again.look == Look() and "page" not in again.query


def test_what_a_link_to_a_longer_set_makes_up_is_told_after_its_run(
    tab: InspectTab, visitor: Inspector
) -> None:
    row = visitor.found.rows[2].id
    bad = visitor.query + f"&row={quote(row)}&pinned=nowhere&table_page=900"
    again, asked = restored(tab, bad)
    assert not asked.notices  # nobody knows before the samples are there
    again.press_run()
    assert again.look == Look(row=row) and again.visible(tab.opened.column)
    for told in (
        "pinned &#39;nowhere&#39; is not known",
        "table_page &#39;900&#39; is not known",
    ):
        assert told in again.status
    assert again.status.count("is not known here") == 2
    again.press_run()
    assert "is not known" not in again.status


@pytest.mark.parametrize(
    "look",
    [
        Look(),
        Look("fixed", "task1", "task0", "a b&c=d", "se", True, "routed", 3, "task1/test/3", "x y"),
        Look(filter="low margin", sort="entropy"),
    ],
)
def test_a_look_survives_a_link(home: Path, look: Look) -> None:
    suite = read_suite(home / "text")
    query = Query({name: str(value) for name, value in look.link().items()})
    assert read_look(query, suite) == look and not query.notices


def test_a_look_drops_tasks_of_another_suite(home: Path) -> None:
    suite = read_suite("mini-vision")
    look = Look(task="task0", chosen=suite.task_names[0], filter="fixed")
    assert look.fitting(suite) == replace(look, task="")
    assert (
        changed(look, {"do": "cell", "task": "task0", "chosen": "task1"}, suite.task_names, ())
        == look
    )


# ---- at full size -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def rendered() -> tuple[InspectTab, Suite]:
    suite = read_suite("mini-vision")
    return tab_of([suite], load_examples()), suite


@pytest.mark.slow
def test_two_thousand_images_run_to_the_end_as_from_the_command_line(
    rendered: tuple[InspectTab, Suite],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Any,
) -> None:
    """With an expert each and a merge an image, which is the most that a run can ask for."""
    tab, suite = rendered
    visitor = Inspector(tab, kind="generated", preset="sharp", probe="experts")
    visitor.press_run()
    assert len(visitor.found.rows) == 2000 and visitor.found.complete
    told = [str(step[tab.run.status]) for step in visitor.steps]
    steps = [re.search(r"([\d,]+) of 2,000 samples(.*)</span>", text) for text in told]
    done = [int(step[1].replace(",", "")) for step in steps if step]
    assert done == sorted(done) and len(done) > 10
    assert sum("left" in step[2] for step in steps if step) > 10
    monkeypatch.chdir(tmp_path)
    command = shlex.split(tab.store.get(visitor.key).asked.command())
    assert {"sharp", "experts", "generated", suite.name} <= set(command)
    assert main(command[3:]) == 0
    capsys.readouterr()
    assert visitor.export("csv")["text"] == Path("rows.csv").read_text(encoding="utf-8")


@pytest.mark.slow
def test_two_thousand_images_are_cancelled_within_two_seconds(
    rendered: tuple[InspectTab, Suite],
) -> None:
    tab, _ = rendered
    since: list[float] = []

    def at(step: int) -> None:
        run = tab.context.runs.get(visitor[tab.run.id])
        if run and run.done >= 256 and not since:
            since.append(time.monotonic())
            visitor.press_cancel()

    visitor = Inspector(tab, kind="generated")
    visitor.press_run(at)
    took = time.monotonic() - since[0]
    assert 256 <= len(visitor.found.rows) < 2000 and not visitor.found.complete
    kept = io.StringIO(newline="")
    write_csv(visitor.found, kept)
    assert visitor.export("csv")["text"] == kept.getvalue()
    assert took < 2.0, f"the cancel took {took:.1f} s"
