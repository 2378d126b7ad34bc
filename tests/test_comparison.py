"""Two configurations on the same samples: the rows of each, what differs, and its CSV."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from semerge.data.labelled import Sets
from semerge.data.sets import suite_sets
from semerge.engine import Engine, load_engine
from semerge.evaluation.comparison import (
    ALL,
    COLUMNS,
    EXPERT,
    HEADER,
    KINDS,
    ONLY_A,
    ONLY_B,
    SAME,
    WRONG,
    Comparison,
    Side,
    compare,
    difference,
    differing,
    records,
    right,
    write_csv,
)
from semerge.evaluation.figures import Row
from semerge.evaluation.inspection import MARK, inspect
from semerge.settings import Settings

HARD, BASE = Settings(preset="hard"), Settings(probe="base", layer=1, preset="literal")


def row(**changes: Any) -> Row:
    answers = {f"{who}_{head}": "a" for who in ("base", "static", "se")
               for head in ("oracle", "routed")}  # fmt: skip
    values: dict[str, Any] = {"id": "t/test/0", "task": "t", "label": "a", "chosen": "t"}
    values |= {"expert": "a", "margin": 0.5, "entropy": 0.25, "confidence": 0.8}
    return Row(**(values | answers | changes))


@pytest.fixture(scope="module")
def sets(home: Path, engine: Engine) -> Sets:
    return suite_sets(engine.suite, home / "data")


@pytest.fixture(scope="module")
def found(engine: Engine, sets: Sets) -> Comparison:
    return compare(*sides(engine, sets))


def sides(engine: Engine, sets: Sets) -> tuple[Side, Side]:
    a, b = (Side(engine, sets, s.resolve(engine.suite)) for s in (HARD, BASE))
    return a, b


def test_each_sides_rows_are_those_of_an_inspection(
    engine: Engine, sets: Sets, found: Comparison
) -> None:
    assert found.complete and len(found.pairs) == sets.total == 36
    for side, settings in ((found.a, HARD), (found.b, BASE)):
        alone = inspect(engine, sets, settings)
        for mine, own in zip(side.rows, alone.rows, strict=True):
            assert replace(mine, margin=0, entropy=0) == replace(own, margin=0, entropy=0)
            assert mine.margin == pytest.approx(own.margin, rel=1e-4, abs=1e-6)
    assert all(a.id == b.id and a.label == b.label for a, b in found.rows)


@pytest.mark.parametrize(
    ("a", "b", "kind"),
    [
        ({}, {}, SAME),
        ({}, {"se_routed": "b"}, ONLY_A),
        ({"se_routed": "b"}, {}, ONLY_B),
        ({"se_routed": "b"}, {"se_routed": "c"}, WRONG),
        ({"se_routed": "b"}, {"se_routed": "b"}, SAME),
        # another expert's class of the same name is no right answer
        ({}, {"chosen": "u"}, ONLY_A),
        ({"chosen": "u", "se_routed": "b"}, {"chosen": "v", "se_routed": "b"}, EXPERT),
    ],
)
def test_a_difference_has_one_name(a: dict[str, str], b: dict[str, str], kind: str) -> None:
    assert difference(row(**a), row(**b)) == kind


def test_under_the_own_tasks_head_another_expert_may_be_right_too() -> None:
    assert difference(row(), row(chosen="u"), "oracle") == EXPERT
    assert difference(row(), row(se_oracle="b"), "oracle") == ONLY_A


def test_the_differences_are_counted_once_and_no_other_row_is_told(found: Comparison) -> None:
    for head in ("routed", "oracle"):
        every = differing(found, head)
        parts = [differing(found, head, kind) for kind in KINDS if kind != ALL]
        assert sorted(i for part in parts for i in part) == list(every)
        for i in set(range(len(found.rows))) - set(every):
            a, b = found.rows[i]
            assert a.chosen == b.chosen
            assert a.right(f"se_{head}") == b.right(f"se_{head}")
        counts = right(found, head)
        assert set(counts) == set(COLUMNS)
        a, b = counts["se"]
        assert a - b == len(differing(found, head, ONLY_A)) - len(differing(found, head, ONLY_B))
        assert a == sum(r.right(f"se_{head}") for r in found.a.rows)
    assert differing(found)  # else the tests above show nothing


def test_the_csv_has_exactly_the_rows_that_differ(found: Comparison) -> None:
    for kind in KINDS:
        file = io.StringIO(newline="")
        write_csv(found, file, "routed", kind)
        header, *lines = csv.reader(io.StringIO(file.getvalue().removeprefix(MARK), newline=""))
        assert tuple(header) == HEADER
        chosen = differing(found, "routed", kind)
        assert [line[0] for line in lines] == [found.rows[i][0].id for i in chosen]
        for line, i in zip(lines, chosen, strict=True):
            cells, (a, b) = dict(zip(header, line, strict=True)), found.rows[i]
            assert (cells["a_answer"], cells["b_answer"]) == (a.se_routed, b.se_routed)
            assert cells["a_right"] == str(a.right("se_routed")).lower()
            assert (cells["a_preset"], cells["b_preset"]) == ("hard", "literal")
            assert (cells["a_mass"], cells["b_mass"]) == ("1", "T*lambda")
            assert (cells["a_fallback"], cells["a_quantise"]) == ("route", "")
            assert cells["a_weights_sha256"] == found.a.weights_sha256


def test_cells_that_a_spreadsheet_would_run_are_quoted(found: Comparison) -> None:
    first = found.a.sets.sets[0]
    words = () if first.visual else ("=1+1", *first.texts[1:])
    changed = replace(found.a.sets, sets=(replace(first, texts=words), *found.a.sets.sets[1:]))
    b = [replace(r, se_routed="@SUM", chosen="task1") for r in found.b.rows]
    other = replace(found, a=replace(found.a, sets=changed), b=replace(found.b, rows=tuple(b)))
    file = io.StringIO(newline="")
    write_csv(other, file, "routed")
    lines = list(csv.DictReader(io.StringIO(file.getvalue().removeprefix(MARK), newline="")))
    assert lines and {line["b_answer"] for line in lines} == {"'@SUM"}
    texts = {line["id"]: line["text"] for line in lines}
    assert texts.get("task0/test/0", "'=1+1") == ("" if first.visual else "'=1+1")


def test_a_cancel_keeps_what_both_have_and_what_is_done_is_told(engine: Engine, sets: Sets) -> None:
    told: list[tuple[int, int]] = []
    seen: list[Comparison] = []
    found = compare(
        *sides(engine, sets), lambda *n: told.append(n), lambda: bool(told), seen.append
    )
    assert not found.complete and len(found.pairs) == told[0][0] == len(seen[0].pairs)
    assert told == [(len(found.pairs), 36)]


def test_two_suites_are_compared_on_what_both_have(
    engine: Engine, folder: Path, sets: Sets
) -> None:
    other = load_engine(folder)  # the same weights in another engine
    part = replace(sets, sets=sets.sets[1:], rows=sets.rows[1:])
    told: list[tuple[int, int]] = []
    a, b = sides(engine, sets)
    found = compare(a, Side(other, part, a.resolved), lambda *n: told.append(n))
    assert len(found.pairs) == 24 and told[-1] == (60, 60)
    assert [n for n, _ in told] == sorted(n for n, _ in told)
    assert not differing(found)  # the same settings of the same weights
    first = [found.a.rows[i].id for i, _ in found.pairs]
    assert first == [row.id for row in found.b.rows]
    # cancelled in the first run, nothing can be compared
    none = compare(a, Side(other, part, b.resolved), None, lambda: True)
    assert not none.pairs and not none.complete and not list(records(none))
