"""The notice "no expert fits": thresholds, scores, rates, and experts left out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from semerge.data.batches import picture
from semerge.data.labelled import LabelledSet
from semerge.data.sets import suite_sets
from semerge.engine import Engine
from semerge.evaluation import misfits
from semerge.evaluation.measure import Interrupted, Plan, measure
from semerge.evaluation.misfits import leave_out, left_out_fallback
from semerge.inputs import CleanText, clean_text
from semerge.loading import Loaded, load
from semerge.probes import key_at
from semerge.registry import Key
from semerge.routing import EITHER, OTHER_PROBE, Calibration, Reading
from semerge.settings import Settings
from semerge.suites import read_suite
from semerge.task_vectors import TaskVectors


def test_thresholds_let_the_stated_share_pass() -> None:
    d = torch.rand(400, 5, generator=torch.Generator().manual_seed(0)) + 0.1
    reading = Reading(d, torch.rand(400, 5, generator=torch.Generator().manual_seed(1)))
    for rate in (0.01, 0.05, 0.25):
        found = misfits.calibrate(reading, rate)
        assert set(found.thresholds) == {
            "entropy",
            "margin",
            "nearest",
            "relative",
            OTHER_PROBE,
            EITHER,
        }
        for name in found.thresholds:
            alarms = float(found.unfit(reading, name).double().mean())
            assert rate - 0.006 <= alarms <= rate
        same = Calibration.from_dict(json.loads(json.dumps(found.to_dict())))
        assert same == found
    alone = misfits.calibrate(Reading(d))
    assert set(alone.thresholds) == {"entropy", "margin", "nearest", "relative"}
    for wrong in ((Reading(d[:0]), 0.05), (reading, 0.0), (reading, 1.0)):
        with pytest.raises(ValueError, match="samples and a rate"):
            misfits.calibrate(*wrong)


def test_scores_by_hand() -> None:
    d = torch.tensor([[1.0, 4.0], [6.0, 2.0], [1.0, 8.0], [5.0, 5.0]])
    found = misfits.calibrate(Reading(d), 0.5)
    assert found.usual == (1.0, 2.0)
    values = found.scores(Reading(torch.tensor([[3.0, 4.0], [torch.inf, 1.0]])))
    assert float(values["nearest"][0]) == 3.0 and float(values["relative"][0]) == 3.0
    assert float(values["margin"][0]) == 0.75
    assert all(torch.isinf(v[1]) for v in values.values())  # failed distances never fit
    flat = found.scores(Reading(torch.tensor([[2.0, 2.0]])))
    assert float(flat["entropy"]) == pytest.approx(1.0)


def test_rates_and_fallback_by_hand() -> None:
    calibration = Calibration((1.0, 1.0), {"nearest": 2.0}, 0.05, 10)
    seen = Reading(torch.tensor([[1.0, 9.0], [3.0, 9.0], [1.5, 9.0], [2.0, 9.0]]))
    kinds = {"near": Reading(seen.routing[:3]), "away": Reading(seen.routing + 5)}
    found = misfits.alarm_rates(calibration, seen, kinds)["nearest"]
    assert found["false_alarm"]["share"] == 0.25 and found["false_alarm"]["n"] == 4
    assert found["kinds"]["near"]["share"] == pytest.approx(2 / 3)
    assert found["kinds"]["away"]["share"] == 0.0 and found["kinds"]["away"]["auroc"] == 1.0
    assert found["miss"] == pytest.approx(1 / 3)
    unfit = torch.tensor([True, True, False, False])
    se, static = torch.tensor([True, False, True, False]), torch.tensor([False, True, False, True])
    assert misfits.fallback(unfit, {"oracle": (se, static)}) == {
        "n": 4,
        "fell_back": 2,
        "oracle": {"se": 0.5, "static": 0.5, "with_fallback": 0.5, "fixed": 1, "broken": 1},
    }


def test_a_suite_without_an_expert_is_the_suite_without_it(home: Path, engine: Engine) -> None:
    """The distances equal those of an engine whose suite never had the expert."""
    sets = suite_sets(engine.suite, home / "data").sets
    for probe, layer, pool in (
        ("experts", 2, "mean"),
        ("base", 1, "all"),
        ("experts", "final", "final"),
    ):
        at = key_at(probe, layer, pool, 0.1)
        found = leave_out(engine, sets, at)
        assert found.tasks.tolist() == [0] * 12 + [1] * 12 + [2] * 12
        for t in range(3):
            kept = [k for k in range(3) if k != t]
            plan = Plan((at,))
            other = Engine(without(home, t))
            own = [s for s in sets if s.task != engine.suite.task_names[t]]
            wanted = measure(other, own, plan).distances[at]
            mine = found.readings[t].of(found.tasks != t)
            assert mine.routing.shape == (24, len(kept)) and mine.other is None
            assert mine.routing == pytest.approx(wanted, rel=1e-4, abs=1e-5)
    cached = Key("cache", 2, "mean", 0.1)
    both = leave_out(engine, sets, at, cached)
    whole = measure(
        engine, sets, Plan((cached,), caches={("cache", 0.1): engine.models.statistics})
    ).distances[cached]
    assert both.readings[1].other is not None
    assert both.readings[1].other == pytest.approx(whole[:, [0, 2]], rel=1e-5)
    with pytest.raises(Interrupted):
        leave_out(engine, sets, at, None, lambda: True)


@pytest.mark.parametrize("preset", ["literal", "hard"])
def test_the_fallback_without_an_expert_sample_by_sample(
    home: Path, engine: Engine, preset: str
) -> None:
    """Each sample of task t through an engine that never had expert t, one by one; what that would
    merge is merged in the whole suite, whose head of task t answers."""
    suite, settings = engine.suite, Settings(preset=preset)
    resolved = settings.resolve(suite)
    at = resolved.probing
    splits = [suite_sets(suite, home / "data", s).sets for s in ("validation", "test")]
    left = [leave_out(engine, sets, at) for sets in splits]
    found = left_out_fallback(engine, splits[1], *left, resolved, "nearest")
    fell_back, right = [], {"se": [], "static": [], "with_fallback": []}
    for t, name in enumerate(suite.task_names):
        other = Engine(without(home, t))
        seen = [s for s in splits[0] if s.task != name]
        known = measure(other, seen, Plan((at,))).distances[at]
        limit = misfits.calibrate(Reading(known)).thresholds["nearest"]
        scale = suite.defaults.static_lambda
        static = [0.0 if k == t else scale for k in range(3)]
        for sample, label in samples_of(splits[1][t]):
            result = other.predict(sample, settings)
            routed = [*result.coefficients[:t], 0.0, *result.coefficients[t:]]
            answers = [engine.answer_with(sample, c, name)[0].label for c in (routed, static)]
            fell_back.append(min(result.distances) > limit)
            right["se"].append(answers[0] == label)
            right["static"].append(answers[1] == label)
            right["with_fallback"].append(answers[fell_back[-1]] == label)
    assert found["n"] == 36 and found["fell_back"] == sum(fell_back) > 0
    for column, values in right.items():
        assert found["oracle"][column] == pytest.approx(sum(values) / 36)
    parts = found["tasks"].values()
    assert [row["n"] for row in parts] == [12] * 3
    assert sum(row["fell_back"] for row in parts) == found["fell_back"]
    assert sum(row["oracle"]["fixed"] for row in parts) == found["oracle"]["fixed"]
    with pytest.raises(Interrupted):
        left_out_fallback(engine, splits[1], *left, resolved, "nearest", lambda: True)


def samples_of(found: LabelledSet) -> Iterator[tuple[Image.Image | CleanText, str]]:
    """Each sample as `Engine.predict` takes it, and its class."""
    for i, label in enumerate(found.labels):
        if found.visual:
            yield picture(found.pixels(i)), found.classes[label]
        else:
            yield clean_text(found.texts[i], found.texts_b[i]), found.classes[label]


def without(home: Path, t: int) -> Loaded:
    """The suite as if expert t had never been."""
    whole = load(read_suite(home / "suite"))
    kept = [k for k in range(3) if k != t]
    suite = replace(whole.suite, tasks=tuple(whole.suite.tasks[k] for k in kept), statistics=None)
    rows = [0, *(1 + k for k in kept)]
    segments = [replace(s, weights=s.weights[rows]) for s in whole.vectors.segments]
    return replace(whole, suite=suite, vectors=TaskVectors.of(segments, len(kept)), statistics={})
