"""What is usual for a suite's samples, from its report: distances, and how clear a choice is."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from concurrency import sample_of
from fakes import FakeEngine, fake_suite

from semerge.engine import Engine, load_engine
from semerge.loading import load
from semerge.result import of_100
from semerge.routing import clearer_than
from semerge.settings import Settings
from semerge.suites import read_suite
from semerge.suites.abstention import Usual, read_usual, usual_of
from semerge.ui import words
from semerge.ui.words import View, macro

AT = {"probe": "experts", "layer": 2, "pool": "mean", "probe_lambda": 0.3, "weights_sha256": "ab"}
COUNTED = {
    "n": 10, "bins": 4, "right": [0, 2, 4, 2], "misrouted": [2, 0, 0, 0],
    "quantiles": {"0.5": 0.6},
}  # fmt: skip


def diagnosis(**parts: Any) -> dict[str, Any]:
    found = {"at": AT, "abstention": {"usual": [1.0, 2.0]}, "hypothesis": {"margins": COUNTED}}
    return found | parts


def view_of(**changes: Any) -> View:
    suite = fake_suite()
    return View({**FakeEngine(suite).predict("a").to_dict(), **changes}, suite)


def part(name: str, view: View, *more: str) -> str:
    return macro(name, view, *more, template="panel.html")


@pytest.mark.parametrize(
    ("margin", "clearer"),
    [(0.0, 1.0), (0.125, 0.9), (0.25, 0.8), (0.5, 0.6), (0.55, 0.55), (0.6, 0.5), (1.0, 0.0)],
)
def test_the_share_that_is_clearer_by_hand(margin: float, clearer: float) -> None:
    assert clearer_than(margin, usual_of(diagnosis(), 2).margins) == pytest.approx(clearer)


def test_parts_that_a_report_lacks_are_missing_and_no_error() -> None:
    found = usual_of({"at": AT}, 2)
    assert (found.distances, found.margins, clearer_than(0.5, found.margins)) == ((), (), None)
    with pytest.raises(ValueError, match="not this suite's"):
        usual_of(diagnosis(), 3)


@pytest.mark.parametrize(
    "report", ["{", "[]", '{"diagnosis": {"at": 3}}', '{"diagnosis": {"hypothesis": {}}}', "{}"]
)
def test_a_report_that_tells_nothing_leaves_the_suite_as_it_is(tmp_path: Path, report: str) -> None:
    (tmp_path / "report.json").write_text(report, encoding="utf-8")
    assert read_usual(replace(fake_suite(), folder=tmp_path)) is None


@pytest.fixture
def measured(folder: Path, engine: Engine) -> Iterator[dict[str, Any]]:
    """A report of the tiny suite, which is gone afterwards."""
    defaults, tasks = engine.suite.defaults, len(engine.suite.tasks)
    at = {name: getattr(defaults, name) for name in ("probe", "layer", "pool", "probe_lambda")}
    at |= {"weights_sha256": engine.weights_sha256()}
    found = diagnosis(at=at, abstention={"usual": [float(i + 1) for i in range(tasks)]})
    write(folder, found)
    yield found
    (folder / "report.json").unlink()


def write(folder: Path, found: Mapping[str, Any]) -> None:
    (folder / "report.json").write_text(json.dumps({"diagnosis": found}), encoding="utf-8")


def test_an_answer_tells_what_is_usual_where_it_was_measured(
    folder: Path, measured: dict[str, Any]
) -> None:
    engine = load_engine(folder)
    sample = sample_of(engine, 0)
    result = engine.predict(sample)
    assert list(result.usual_distances or ()) == measured["abstention"]["usual"]
    usual = read_usual(read_suite(folder))
    assert isinstance(usual, Usual) and result.clearer == clearer_than(result.margin, usual.margins)
    # of another layer, nobody knows; nor of the fast mode's estimates
    other = next(layer for layer in engine.layers if layer != usual.at.layer)
    for settings in (Settings(layer=other), Settings(fast=True)):
        elsewhere = engine.predict(sample, settings)
        assert elsewhere.usual_distances is None and elsewhere.clearer is None


def test_other_weights_make_the_report_say_nothing(folder: Path, measured: dict[str, Any]) -> None:
    write(folder, measured | {"at": measured["at"] | {"weights_sha256": "0" * 64}})
    engine = load_engine(folder)
    result = engine.predict(sample_of(engine, 0))
    assert result.clearer is None and result.usual_distances is None


def test_closer_than_usual_tells_how_many_are_clearer(
    folder: Path, measured: dict[str, Any]
) -> None:
    loaded = load(read_suite(folder))
    loud = replace(loaded.suite, thresholds={"near_tie": 1.0, "flat": None, "far": None})
    engine = Engine(replace(loaded, suite=loud))
    result = engine.predict(sample_of(engine, 0))
    (notice,) = result.notices
    assert result.clearer is not None
    assert notice.endswith(
        f" are almost equally near; {of_100(result.clearer)} of 100 test samples are clearer."
    )
    assert notice.startswith("Closer than usual: Task ")


# ---- on the page ---------------------------------------------------------------------------------


def test_what_was_measured_stands_beside_the_answer() -> None:
    view = view_of(expert_accuracy=0.98, clearer=0.612)
    shown = part("headline", view)
    assert "Right in <b>98 of 100</b> such inputs" in shown
    assert "clearer for <b>61 of 100</b> test samples" in shown
    # a share that is not exact is neither all nor none
    assert "<b>99 of 100</b> test samples" in part("headline", view_of(clearer=0.9999))
    assert "of 100" not in part("headline", view_of())


def test_distances_come_first_with_the_usual_one_of_each_task() -> None:
    usual = [2.0 + i for i in range(8)]
    view = view_of(usual_distances=usual)
    shown = part("reach", view)
    most = max(*view.result["distances"], *usual)
    assert words.longest(view) == most
    for own, far in zip(usual, view.result["distances"], strict=True):
        assert f'<b style="left:{100 * own / most:.2f}%"></b>' in shown
        assert f'<i style="width:{100 * far / most:.2f}%"></i>' in shown
        assert f", usually {words.distance(own)}</small>" in shown
    assert f"its own samples usually are at {words.distance(usual[view.chosen])}" in shown
    bare = part("reach", view_of())
    assert "usual" not in bare and "<b style" not in bare
    assert 'data-measure="distance" aria-pressed="true"' in shown
    relative = part("similarity", view, "vision")
    assert "Relative similarity at block 4" in relative
    assert 'data-measure="similarity" aria-pressed="true"' in relative


def test_a_distance_that_is_missing_breaks_nothing() -> None:
    assert "–" in part("reach", view_of(distances=[None] * 8))
