"""Defaults are chosen by the rules that selection states, on validation alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from labelled import DATA, plane_engine, plane_sets
from tiny import SUITES

from recipes import lines, selection
from recipes.finish import cached_samples
from semerge.data.sets import suite_sets
from semerge.evaluation.measure import BASE, Plan, measure
from semerge.loading import load
from semerge.probes import PROBES
from semerge.registry import Key
from semerge.settings import PRESETS
from semerge.suites import read_suite


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        # all five lines beat four, though static merge and answers are worth more at .6
        ([(0.6, 0.84, 0.95, 0.85, 0.84), (0.9, 0.81, 0.97, 0.90, 0.86)], 0.9),
        # of as many lines, static merge and routed answers together
        ([(0.9, 0.82, 0.97, 0.91, 0.87), (1.0, 0.81, 0.97, 0.91, 0.89)], 1.0),
        # of equals the smallest
        ([(0.9, 0.82, 0.97, 0.91, 0.87), (0.8, 0.82, 0.98, 0.91, 0.87)], 0.8),
    ],
)
def test_one_lambda_by_its_rule(rows: list[tuple[float, ...]], expected: float) -> None:
    names = ("lambda", "static", "nearest", "hard_given", "hard_routed")
    table = [dict(zip(names, row, strict=True)) for row in rows]
    curve = {"base": 0.70, "expert": 0.90, "rows": table}
    assert selection.one_lambda(curve, "text") == expected


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


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([("experts", "sharp", 4, 0.8), ("cache", "hard", 4, 0.9)], "sharp"),
        ([("experts", "sharp", 3, 0.9), ("experts", "hard", 3, 0.8)], "sharp"),
        # lines before score
        ([("experts", "literal", 4, 0.7), ("experts", "hard", 3, 0.9)], "literal"),
    ],
)
def test_choice_of_the_preset(rows: list[tuple[str, str, int, float]], expected: str) -> None:
    table = [dict(zip(("probe", "preset", "met", "score"), row, strict=True)) for row in rows]
    assert selection.best_preset(table, "experts") == expected


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
    figures = {"expert": 0.9, "static_oracle": 0.7, "base_oracle": 0.66, "routing": 0.965}
    figures |= {"se_oracle": 0.892, "se_routed": 0.86}
    found = {x["line"]: x for x in lines.recovery_lines({"all": figures}, "image")}
    assert found["recovery_oracle"]["value"] == pytest.approx(0.96)
    assert found["recovery_routed"]["value"] == pytest.approx(0.80)
    assert not found["recovery_oracle"]["met"] and not found["recovery_routed"]["met"]
    on_text = lines.recovery_lines({"all": figures}, "text")
    assert [(x["target"], x["met"]) for x in on_text] == [(0.95, True), (0.55, True)]
    for modality, met in (("image", [False, True, False]), ("text", [False, True, True])):
        regime = lines.regime_lines({"all": figures}, modality)
        assert [x["line"] for x in regime[:3]] == [
            "static_above_base",
            "experts_above_static",
            "own_nearest",
        ]
        assert [x["met"] for x in regime[:3]] == met
    assert regime[3] == {
        "line": "expert_floor",
        "on": "all",
        "value": 0.9,
        "target": 0.9207,
        "met": False,
    }
    floors = lines.expert_lines({"mnist": {"expert": 0.975}, "cifar10": {"expert": 0.71}})
    assert [x["met"] for x in floors] == [True, True, False, True]
    assert [x["met"] for x in lines.trivial_lines({"charts": 0.7, "textures": 0.9})] == [
        True,
        False,
    ]


def test_a_missed_line_has_its_cause() -> None:
    figures = {"expert": 0.78, "static_oracle": 0.7, "base_oracle": 0.68, "routing": 0.9}
    sharp = figures | {"se_oracle": 0.77, "se_routed": 0.72}
    hard = figures | {"se_oracle": 0.779, "se_routed": 0.73}
    missed = [
        *lines.recovery_lines({"all": sharp}, "image"),
        *lines.regime_lines({"all": sharp}, "image"),
        *lines.expert_lines({"mnist": {"expert": 0.9}}),
        *lines.trivial_lines({"charts": 0.95}),
    ]
    told = [(x["line"], x.get("cause")) for x in lines.with_causes(missed, {"all": hard}, "image")]
    assert told == [
        ("recovery_oracle", "merge"),  # the nearest expert as it is would have reached it
        ("recovery_routed", "routing"),
        ("static_above_base", "merge"),
        ("experts_above_static", "gap"),
        ("own_nearest", "routing"),
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
    validation = suite_sets(suite, data, "validation")
    if modality == "image":
        samples = cached_samples(suite, data, 8)
    else:  # `cached_samples` of text reads the test split, to leave its sentences out
        samples = list(suite_sets(suite, data, "train").sets)
    found = selection.select(loaded, validation.sets, samples)
    assert [(r["probe"], r["preset"]) for r in found.presets] == [
        (probe, preset) for probe in PROBES.names for preset in PRESETS
    ]
    default = found.defaults
    assert default.probe == "experts"
    assert default.static_lambda == default.probe_lambda
    assert default.static_lambda == selection.one_lambda(found.curve, modality)
    assert default.preset == selection.best_preset(found.presets, "experts")
    assert (default.layer, default.pool) == tuple(
        found.best["experts"][k] for k in ("layer", "pool")
    )
    at = next(r for r in found.curve["rows"] if r["lambda"] == default.probe_lambda)
    assert at["nearest"] == pytest.approx(found.best["experts"]["routing_all"])
    assert at["hard_given"] == pytest.approx(found.best["experts"]["hard_oracle_all"])
    hard = [r for r in found.presets if r["preset"] == "hard"]
    for r in hard:  # two ways to the same figures
        best = found.best[r["probe"]]
        assert r["average_all"]["routing"] == pytest.approx(best["routing_all"])
        assert r["average_all"]["se_oracle"] == pytest.approx(best["hard_oracle_all"])
        assert r["average_real"]["se_routed"] == pytest.approx(best["hard_routed_real"])
    assert found.thresholds["near_tie"] is not None
