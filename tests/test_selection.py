"""Defaults are chosen by the rules that selection states, on validation alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from labelled import DATA, plane_engine, plane_sets
from tiny import SUITES

from recipes import lines, selection
from recipes.finish import UNDECIDED, cached_samples
from recipes.statistics import build
from semerge.data.sets import suite_sets
from semerge.evaluation.measure import BASE, Measurement, Plan, measure
from semerge.loading import load
from semerge.probes import PROBES
from semerge.registry import Key
from semerge.settings import PRESETS
from semerge.suites import read_suite


def graded(best: float, scales: tuple[float, ...]) -> Measurement:
    """1000 samples of one task; the merge at λ gets the more right the nearer λ is to `best`."""
    answers = {BASE: torch.zeros(1000, 1, dtype=torch.int16)}
    for scale in scales:
        right = round(100 - 10 * abs(scale - best), 6)
        answers[scale] = (torch.arange(1000) < 10 * right).to(torch.int16)[:, None]
    ones, none = torch.ones(1000, dtype=torch.int64), torch.zeros(1000, dtype=torch.int64)
    return Measurement(none, ones, {}, answers, torch.zeros(1, 1000, 1, dtype=torch.int16))


@pytest.mark.parametrize(
    ("best", "expected"), [(0.4, 0.4), (1.0, 1.0), (1.7, 1.7), (0.02, 0.02), (9.0, 3.0)]
)
def test_static_lambda_and_a_grid_that_widens(
    monkeypatch: pytest.MonkeyPatch, best: float, expected: float
) -> None:
    asked: list[float] = []

    def wider(engine: Any, sets: Any, plan: Plan) -> Measurement:
        asked.extend(plan.answers)
        return graded(best, plan.answers)

    monkeypatch.setattr(selection, "measure", wider)
    measured = graded(best, selection.STATIC_GRID)
    found, rows = selection.static_table(None, [], measured)  # type: ignore[arg-type]
    assert found == pytest.approx(expected, abs=0.05)
    assert [r["lambda"] for r in rows] == sorted(r["lambda"] for r in rows)
    assert found in measured.answers
    assert bool(asked) == (best != 0.4)
    assert min(r["lambda"] for r in rows) < found or found <= 0.01
    assert max(r["lambda"] for r in rows) > found or found >= 3


def test_of_equal_lambdas_the_smallest() -> None:
    measured = graded(0.5, (0.3, 0.4, 0.6, 0.7))
    assert selection.static_table(None, [], measured)[0] == 0.4  # type: ignore[arg-type]


def test_routing_row_of_the_plane() -> None:
    """See test_evaluate: `wide` is found for two of three points, `tall` for both; the expert that
    is chosen is right with the given head on 3 of 3 and 1 of 2."""
    engine, key = plane_engine(), Key("base", 1, "mean", BASE)
    measured = measure(engine, plane_sets(), Plan((key,), (BASE,)))
    assert selection.routing_row(engine.suite, measured, key) == {
        "probe": "base",
        "method": "task_arithmetic",
        "probe_lambda": 0.0,
        "layer": 1,
        "pool": "mean",
        "routing_all": pytest.approx(5 / 6),
        "routing_real": pytest.approx(2 / 3),
        "hard_oracle_all": pytest.approx(0.75),
        "hard_oracle_real": 1.0,
        "hard_routed_all": pytest.approx((2 / 3 + 1 / 2) / 2),
        "hard_routed_real": pytest.approx(2 / 3),
    }


def test_best_row() -> None:
    rows = [
        {"probe": "experts", "routing_all": 0.8, "hard_routed_all": 0.9, "n": 0},
        {"probe": "experts", "routing_all": 0.9, "hard_routed_all": 0.5, "n": 1},
        {"probe": "experts", "routing_all": 0.9, "hard_routed_all": 0.6, "n": 2},
        {"probe": "experts", "routing_all": 0.9, "hard_routed_all": 0.6, "n": 3},
        {"probe": "base", "routing_all": 1.0, "hard_routed_all": 1.0, "n": 4},
    ]
    assert selection.best_row(rows, "experts")["n"] == 2


def preset_row(probe: str, preset: str, met: int, score: float) -> dict[str, Any]:
    return {"probe": probe, "preset": preset, "met": met, "score": score, "lines": [{}] * 4}


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        # experts meets every line: it is the default though another probe scores more
        ([("experts", "sharp", 4, 0.8), ("cache", "hard", 4, 0.9)], ("experts", "sharp")),
        # it does not: the one that meets most
        ([("experts", "sharp", 3, 0.9), ("cache", "hard", 4, 0.8)], ("cache", "hard")),
        # as many: the better score
        ([("experts", "hard", 2, 0.7), ("base", "hard", 2, 0.8)], ("base", "hard")),
        # within a probe: lines before score
        ([("experts", "literal", 4, 0.7), ("experts", "hard", 3, 0.9)], ("experts", "literal")),
    ],
)
def test_choice_of_probe_and_preset(
    rows: list[tuple[str, str, int, float]], expected: tuple[str, str]
) -> None:
    assert selection.choose([preset_row(*r) for r in rows]) == expected


def test_thresholds_are_quantiles() -> None:
    first = torch.linspace(0.0, 1.0, 101)
    distances = torch.stack(
        [torch.full((101,), 2.0), 2.0 * (1 - first), torch.full((101,), 4.0)], 1
    )
    found = selection.thresholds(distances)
    assert found["near_tie"] == pytest.approx(0.05)  # the margin is `first` itself
    assert found["far"] == pytest.approx(1.98)
    assert found["flat"] == pytest.approx(2.02 / (7.98 / 3))  # the second smallest spread
    broken = torch.full((3, 2), torch.nan)
    assert set(selection.thresholds(broken).values()) == {None}


def test_lines_by_hand() -> None:
    figures = {"expert": 0.9, "static_oracle": 0.7, "base_oracle": 0.85}
    figures |= {"se_oracle": 0.89, "se_routed": 0.87}
    found = {x["line"]: x for x in lines.recovery_lines({"all": figures}, "image")}
    assert found["recovery_oracle"]["value"] == pytest.approx(0.95)
    assert found["recovery_routed"]["value"] == pytest.approx(0.85)
    assert not found["recovery_routed"]["met"]
    on_text = lines.recovery_lines({"all": figures}, "text")
    assert [x["target"] for x in on_text] == [0.95, 0.80] and on_text[1]["met"]
    gaps = {x["line"]: x["met"] for x in lines.gap_lines({"all": figures})}
    assert gaps == {"experts_above_static": True, "experts_above_base": False}
    floors = lines.expert_lines({"mnist": {"expert": 0.97}, "cifar10": {"expert": 0.56}})
    assert [x["met"] for x in floors] == [True, False, True, True]
    assert [x["met"] for x in lines.trivial_lines({"charts": 0.7, "textures": 0.9})] == [
        True,
        False,
    ]


def test_a_missed_line_has_its_cause() -> None:
    figures = {"expert": 0.9, "static_oracle": 0.7, "base_oracle": 0.85}
    sharp = figures | {"se_oracle": 0.88, "se_routed": 0.81}
    hard = figures | {"se_oracle": 0.895, "se_routed": 0.82}
    missed = [
        *lines.recovery_lines({"all": sharp}, "image"),
        *lines.gap_lines({"all": sharp}),
        *lines.expert_lines({"mnist": {"expert": 0.9}}),
        *lines.trivial_lines({"charts": 0.95}),
    ]
    told = [(x["line"], x.get("cause")) for x in lines.with_causes(missed, {"all": hard}, "image")]
    assert told == [
        ("recovery_oracle", "merge"),  # the nearest expert as it is would have reached it
        ("recovery_routed", "routing"),
        ("experts_above_static", None),  # met
        ("experts_above_base", "gap"),
        ("expert_floor", "expert"),
        ("expert_above_sanity", "expert"),
        ("trivial_below", "task"),
    ]


@pytest.mark.parametrize("modality", ["image", "text"])
def test_select_on_a_tiny_suite(modality: str, tmp_path: Path) -> None:
    loaded = load(read_suite(SUITES[modality](tmp_path / "suite")))
    data = DATA[modality](tmp_path / "data", test=2)
    for file in data.glob("*/test.*"):
        file.unlink()  # whatever reads the test split fails
    suite = loaded.suite
    engine = selection.with_defaults(loaded, UNDECIDED)
    validation = suite_sets(suite, data, "validation")
    if modality == "image":
        caches = build(engine, cached_samples(suite, data, 8), selection.PROBE_LAMBDAS, own=True)
    else:  # `cached_samples` of text reads the test split, to leave its sentences out
        train = suite_sets(suite, data, "train").sets
        caches = build(engine, train, selection.PROBE_LAMBDAS, own=True)
    found = selection.select(loaded, validation.sets, caches)
    points = 7 + (5 if modality == "text" else 7)
    assert len(found.routing) == 7 * (1 + 6) + 2 * 6 * (points - 7)
    assert [(r["probe"], r["preset"]) for r in found.presets] == [
        (probe, preset) for probe in PROBES.names for preset in PRESETS
    ]
    default = found.defaults
    assert (default.probe, default.preset) == selection.choose(found.presets)
    assert (default.layer, default.pool) == tuple(
        found.best[default.probe][k] for k in ("layer", "pool")
    )
    assert default.static_lambda == max(found.static, key=lambda r: r["accuracy"])["lambda"]
    hard = [r for r in found.presets if r["preset"] == "hard"]
    for r in hard:  # two ways to the same figures
        best = found.best[r["probe"]]
        assert r["average_all"]["routing"] == pytest.approx(best["routing_all"])
        assert r["average_all"]["se_oracle"] == pytest.approx(best["hard_oracle_all"])
        assert r["average_real"]["se_routed"] == pytest.approx(best["hard_routed_real"])
    assert found.thresholds["near_tie"] is not None
