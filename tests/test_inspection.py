"""Inspection: rows as evaluate has them, views of them, and what is exported."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import semerge
from semerge.cli import main
from semerge.common import UserError
from semerge.data.labelled import Sets
from semerge.data.sets import suite_sets
from semerge.engine import Engine
from semerge.evaluation import collect as collect_module
from semerge.evaluation.collect import parts
from semerge.evaluation.figures import Row, changes
from semerge.evaluation.inspection import (
    CONFIGURATION,
    FILTERS,
    HEADER,
    MARK,
    SORTS,
    Inspection,
    View,
    cell,
    counts,
    disagrees,
    figures,
    inspect,
    matrix,
    misrouted,
    select,
    static_report,
    status,
    to_json,
    write_csv,
)
from semerge.result import today
from semerge.settings import Resolved, Settings


@pytest.fixture(scope="module")
def sets(home: Path, engine: Engine) -> Sets:
    return suite_sets(engine.suite, home / "data")


@pytest.fixture(scope="module")
def found(engine: Engine, sets: Sets) -> Inspection:
    return inspect(engine, sets, Settings())


def row(**changes: Any) -> Row:
    answers = ("base", "static", "se")
    same = {f"{who}_{head}": "a" for who in answers for head in ("oracle", "routed")}
    values = {"id": "t/test/0", "task": "t", "label": "a", "chosen": "t", "expert": "a"}
    return Row(**(values | {"margin": 0.5, "entropy": 0.25, "confidence": 0.8} | same | changes))  # type: ignore[arg-type]


# ---- the run ------------------------------------------------------------------------------------


def test_every_sample_has_its_row_and_can_be_opened(engine: Engine, found: Inspection) -> None:
    assert found.complete and len(found.rows) == 36
    assert [r.id for r in found.rows] == [f"task{t}/test/{i}" for t in range(3) for i in range(12)]
    for i in (0, 17, 35):
        result = engine.predict(found.sample(i))
        assert result.chosen == found.rows[i].chosen
        assert result.margin == pytest.approx(found.rows[i].margin, rel=1e-4)
        assert found.rows[i].se_routed == result.predictions["se"][0].label
        assert bool(found.text(i)[0]) == (engine.suite.modality == "text")


def test_each_row_is_built_once_and_put_in_order_when_it_is_read(
    engine: Engine, sets: Sets, found: Inspection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often a run tells what is done by then."""
    made, told = [], []
    build = collect_module.Row
    monkeypatch.setattr(
        collect_module, "Row", lambda **values: (made.append(values["id"]), build(**values))[1]
    )
    monkeypatch.setattr(
        collect_module,
        "parts",
        lambda *_: [(w, np.arange(k, k + 4)) for k in (0, 4, 8) for w in range(3)],
    )
    last = inspect(engine, sets, Settings(), so_far=told.append)
    assert sorted(made) == sorted(row.id for row in found.rows)
    assert [len(some.rows) for some in told] == list(range(4, 37, 4))
    assert not any("_ordered" in vars(part) for some in told for part in (some.rows, some.places))
    assert [row.id for row in told[3].rows] == [
        *(f"task0/test/{i}" for i in range(8)),
        *(f"task{t}/test/{i}" for t in (1, 2) for i in range(4)),
    ]
    assert list(told[-1].rows) == list(last.rows) and not told[-2].complete and last.complete


def test_a_cancel_keeps_what_is_done(
    engine: Engine, sets: Sets, found: Inspection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        collect_module,
        "parts",
        lambda *_: [(w, np.arange(k, k + 4)) for k in (0, 4, 8) for w in range(3)],
    )
    seen: list[tuple[int, int]] = []

    def cancelled() -> bool:
        return len(seen) == 4

    half = inspect(engine, sets, Settings(), lambda *step: seen.append(step), cancelled)
    assert seen == [(4, 36), (8, 36), (12, 36), (16, 36)] and not half.complete
    # the first parts of all tasks, and the second one of the first; in the order of the sets
    wanted = [(0, i) for i in range(8)] + [(w, i) for w in (1, 2) for i in range(4)]
    assert list(half.places) == wanted
    whole = {r.id: r for r in found.rows}
    for one in half.rows:
        assert (one.chosen, one.se_oracle) == (whole[one.id].chosen, whole[one.id].se_oracle)
    assert half.about()["done"] == 16 and half.about()["samples"] == 36
    nothing = inspect(engine, sets, Settings(), None, lambda: True)
    assert nothing.rows == () and not nothing.complete
    assert figures(nothing)["tasks"] == {} and sum(counts(nothing).values()) == 0
    assert select(nothing, View()) == ()


def test_parts_are_the_batches_of_all_tasks_in_turn(
    engine: Engine, sets: Sets, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collect_module, "BATCH_SIZE", 5)
    original = collect_module.batches
    monkeypatch.setattr(collect_module, "batches", lambda b, s: original(b, s, 5))
    found = list(parts(engine, sets.sets))
    assert [w for w, _ in found] == [0, 1, 2] * 3
    for which in range(3):
        rows = [r for w, r in found if w == which]
        assert [len(r) for r in rows] == [5, 5, 2]
        assert sorted(np.concatenate(rows)) == list(range(12))


def test_the_command_gives_the_same_rows(
    home: Path, found: Inspection, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = io.StringIO()
    write_csv(found, mine)
    path = tmp_path / "rows.csv"
    command = ["evaluate", "--suite", str(home / "suite"), "--data", str(home / "data")]
    assert main([*command, "--csv", str(path)]) == 0
    capsys.readouterr()
    assert path.read_text(encoding="utf-8") == mine.getvalue()


# ---- what a row tells ---------------------------------------------------------------------------


def test_status_by_head() -> None:
    assert status(row()) == "both right" and not disagrees(row())
    fixed = row(static_oracle="b", se_routed="c")
    assert status(fixed) == "fixed" and status(fixed, "routed") == "broken"
    wrong = row(se_oracle="b", static_oracle="c")
    assert status(wrong) == "both wrong" and disagrees(wrong) and not disagrees(wrong, "routed")
    away = row(chosen="u")
    assert misrouted(away) and status(away) == "both right"
    assert status(away, "routed") == "both wrong"  # though its head has a class of that name


# ---- views --------------------------------------------------------------------------------------


def test_counts_and_matrix_agree_with_the_rows(found: Inspection) -> None:
    of = changes(found.rows)
    for head in ("oracle", "routed"):
        numbers = counts(found, head)
        for name in FILTERS:
            assert numbers[name] == len(select(found, View(filter=name, head=head)))
        assert (numbers["fixed"], numbers["broken"]) == (of["fixed"][head], of["broken"][head])
        four = ("fixed", "broken", "both wrong", "both right")
        assert sum(numbers[name] for name in four) == numbers["all"] == 36
    table = matrix(found)
    names = found.suite.task_names
    assert [sum(line) for line in table] == [12, 12, 12]
    assert sum(table[t][t] for t in range(3)) == 36 - counts(found)["misrouted"]
    for i, task in enumerate(names):
        for j, chosen in enumerate(names):
            cell = select(found, View(tasks=(task,), chosen=chosen))
            assert len(cell) == table[i][j]
            assert {(found.rows[k].task, found.rows[k].chosen) for k in cell} <= {(task, chosen)}
    assert figures(found)["average"]["routing"] == pytest.approx(
        sum(table[t][t] for t in range(3)) / 36
    )


def test_filters_combine(found: Inspection) -> None:
    view = View(filter="misrouted", tasks=("task1", "task2"))
    shown = select(found, view)
    assert list(shown) == [
        i for i, r in enumerate(found.rows) if misrouted(r) and r.task in ("task1", "task2")
    ]
    names = select(found, replace(view, search="TASK1/test"))
    assert list(names) == [i for i in shown if found.rows[i].task == "task1"]
    assert select(found, View(search="task1/test/3 task1")) == (15,)
    assert select(found, View(search="nothing like it")) == ()
    if found.suite.modality == "text":
        word = found.text(5)[0].split(":")[0]  # "test 0 5"
        assert 5 in select(found, View(search=word.upper()))


def test_low_margin_is_the_suites_own_threshold(found: Inspection) -> None:
    assert found.low_margin == 0.0  # tiny suites state 0, so none is below
    assert counts(found)["low margin"] == 0
    elsewhere = replace(found, resolved=replace(found.resolved, layer=1))
    assert elsewhere.low_margin == 0.05
    low = select(elsewhere, View(filter="low margin"))
    assert list(low) == [i for i, r in enumerate(found.rows) if r.margin < 0.05]


def test_sorting_is_stable_both_ways(found: Inspection) -> None:
    for sort in SORTS:
        up, down = (select(found, View(sort=sort, descending=d)) for d in (False, True))
        assert sorted(up) == sorted(down) == list(range(36))
    up = select(found, View(sort="margin"))
    assert [found.rows[i].margin for i in up] == sorted(r.margin for r in found.rows)
    down = select(found, View(sort="task", descending=True))
    assert list(down) == [*range(24, 36), *range(12, 24), *range(12)]
    assert select(found, View(sort="id")) == tuple(range(36))  # 10 after 9
    assert select(found, View(descending=True)) == tuple(reversed(range(36)))
    first = select(found, View(sort="misrouted"))[0]
    assert misrouted(found.rows[first]) or not counts(found)["misrouted"]


@pytest.mark.parametrize("wrong", [{"filter": "x"}, {"sort": "x"}, {"head": "x"}])
def test_unknown_views_are_refused(found: Inspection, wrong: dict[str, str]) -> None:
    with pytest.raises(UserError, match="'x' is unknown; valid are"):
        select(found, View(**wrong))  # type: ignore[arg-type]


# ---- exports ------------------------------------------------------------------------------------


def test_exports_hold_exactly_the_view(found: Inspection) -> None:
    view = View(tasks=("task2",), sort="margin", descending=True)
    chosen = [found.rows[i] for i in select(found, view)]
    file = io.StringIO()
    write_csv(found, file, view)
    lines = list(csv.DictReader(io.StringIO(file.getvalue().removeprefix(MARK))))
    content = json.loads(to_json(found, view))
    assert [r["id"] for r in lines] == [r["id"] for r in content["rows"]] == [r.id for r in chosen]
    assert content["n"] == 12 and content["view"]["tasks"] == ["task2"]
    about = {
        "suite": found.suite.name,
        "preset": "sharp",
        "layer": "2",
        "version": semerge.__version__,
        "date": today(),
    }
    for line, one in zip(lines, content["rows"], strict=True):
        assert tuple(line) == HEADER
        assert {k: line[k] for k in about} == about
        assert line["weights_sha256"] == content["weights_sha256"] == found.weights_sha256
        assert one["status"] == line["status"] and one["margin"] == pytest.approx(
            float(line["margin"]), rel=1e-5
        )
        assert line["misrouted"] == str(one["misrouted"]).lower()
        assert line["text"] == one["text"] and (found.suite.modality == "text") == bool(one["text"])


def test_exports_tell_every_setting_that_changes_a_row(found: Inspection) -> None:
    # the head is the reader's choice, hard is a preset's, evaluate has no fast mode, and `changed`
    # repeats the others
    rest = {"head", "hard", "fast", "changed"}
    assert {*CONFIGURATION, *rest} == {field.name for field in fields(Resolved) if field.init}
    asked: list[dict[str, Any]] = [
        {"temperature": 0.5},
        {"mass": "T*lambda"},
        {"similarity": "negative"},
        {"normalise": "zscore"},
        {"quantise": 9},
        {"fallback": "static"},
    ]
    usual = Settings(preset="sharp")
    for change in asked:
        resolved = replace(usual, **change).resolve(found.suite)
        other = replace(found, resolved=resolved)
        ((name, value),) = change.items()
        file = io.StringIO()
        write_csv(other, file)
        for line in csv.DictReader(io.StringIO(file.getvalue().removeprefix(MARK))):
            assert {k: line[k] for k in CONFIGURATION} == {
                k: cell(getattr(resolved, k)) for k in CONFIGURATION
            }
            assert line[name] == str(value)
        assert json.loads(to_json(other))[name] == value
        assert f"<td>{name}</td><td>{value}</td>" in static_report(other, limit=1)
    assert "quantise" not in static_report(found, limit=1)  # coefficients are as they come


def test_no_cell_is_run_as_a_formula(found: Inspection) -> None:
    rows = [row(id=f"{c}1+1", label="a,b", se_oracle=f"{c}x") for c in "=+-@\t\r"]
    bad = replace(found, rows=tuple(rows), places=found.places[: len(rows)])
    file = io.StringIO()
    write_csv(bad, file)
    lines = list(csv.DictReader(io.StringIO(file.getvalue().removeprefix(MARK), newline="")))
    assert [line["id"] for line in lines] == [f"'{c}1+1" for c in "=+-@\t\r"]
    assert [line["se_oracle"][0] for line in lines] == ["'"] * 6
    assert {line["label"] for line in lines} == {"a,b"}
    assert {line["margin"] for line in lines} == {"0.5"}


def test_the_static_page_needs_nothing_and_escapes_everything(found: Inspection) -> None:
    bad = replace(found, rows=(row(id="<script>alert(1)</script>", task="task1", chosen="task0"),))
    bad = replace(bad, places=found.places[:1])
    page = static_report(bad)
    assert "<script" not in page and "&lt;script&gt;" in page
    page = static_report(found, View(filter="misrouted"), limit=5)
    assert page.startswith("<!doctype html>") and page.endswith("</html>\n")
    for outside in ("http://", "https://", 'src="/', "url(", "<link"):
        assert outside not in page
    shown = min(5, counts(found)["misrouted"])
    assert page.count("<tr data-row") == shown
    titles = [task.title for task in found.suite.tasks]
    assert all(f'<th scope="col">{title}</th>' in page for title in titles)
    assert f"<td>{titles[0]}</td>" in page and f"<td>{found.suite.task_names[0]}</td>" not in page
    assert found.weights_sha256 in page and semerge.__version__ in page
    average = figures(found)["average"]
    columns = ("se_routed", "static_routed", "se_oracle", "static_oracle", "routing")
    told = [f"<b>{100 * average[c]:.1f}\u00a0%</b>" for c in columns]
    assert re.findall("<b>.*?</b>", page) == told  # what came out, above all tables
    tasks = len(found.suite.tasks)
    assert page.count("<td class=own>") == tasks
    assert page.count("data:image/png;base64,") == (shown if found.suite.modality == "image" else 0)
