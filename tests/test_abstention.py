"""The notice "no expert fits": thresholds, scores, rates, and experts left out."""

from __future__ import annotations

import json
import math
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
from semerge.routing import EITHER, OTHER_PROBE, Calibration, Reading, logarithm, scores
from semerge.settings import Settings
from semerge.suites import read_suite
from semerge.suites.abstention import TOGETHER, Beside
from semerge.task_vectors import TaskVectors


def test_thresholds_let_the_stated_share_pass() -> None:
    d = torch.rand(400, 5, generator=torch.Generator().manual_seed(0)) + 0.1
    reading = Reading(d, torch.rand(400, 5, generator=torch.Generator().manual_seed(1)))
    for rate in (0.01, 0.05, 0.25):
        found = misfits.calibrate(reading, false_alarm=rate)
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
            misfits.calibrate(wrong[0], false_alarm=wrong[1])


def test_scores_by_hand() -> None:
    d = torch.tensor([[1.0, 4.0], [6.0, 2.0], [1.0, 8.0], [5.0, 5.0]])
    found = misfits.calibrate(Reading(d), false_alarm=0.5)
    assert found.usual == (1.0, 2.0)
    values = found.scores(Reading(torch.tensor([[3.0, 4.0], [torch.inf, 1.0]])))
    assert float(values["nearest"][0]) == 3.0 and float(values["relative"][0]) == 3.0
    assert float(values["margin"][0]) == 0.75
    assert all(torch.isinf(v[1]) for v in values.values())  # failed distances never fit
    flat = found.scores(Reading(torch.tensor([[2.0, 2.0]])))
    assert float(flat["entropy"]) == pytest.approx(1.0)


def test_what_experts_leave_alone_fits_less() -> None:
    """Gauges and top scores by hand; each reading may know the nearest expert's score alone."""
    d = torch.tensor([[1.0, 4.0], [6.0, 2.0]])
    moved = {"3/mean": torch.tensor([0.5, 0.01])}
    sure = torch.tensor([[0.9, 0.2], [0.3, 0.6]])
    usual = torch.ones(2, dtype=torch.float64)
    found = scores(Reading(d, moved=moved, confidence=sure), usual)
    assert found["still at 3/mean"].tolist() == pytest.approx([math.log(2), math.log(100)])
    assert found["doubt"].tolist() == pytest.approx([0.1, 0.4])
    nearest_alone = Reading(d, moved=moved, confidence=torch.tensor([[0.9], [0.6]]))
    assert torch.equal(scores(nearest_alone, usual)["doubt"], found["doubt"])
    # without expert 0 the columns are those of experts 1 and 2
    apart = Reading(d, left_out=0)
    far = scores(apart, torch.tensor([100.0, 2.0, 4.0], dtype=torch.float64))["relative"]
    assert far.tolist() == pytest.approx([0.5, 0.5])


def readings(seed: int, far: float, sure: float) -> Reading:
    random = torch.Generator().manual_seed(seed)
    d = far * (torch.rand(300, 4, generator=random) + 0.5)
    top = (sure * torch.rand(300, 4, generator=random)).clamp(max=1.0)
    return Reading(d, moved={"1/mean": torch.rand(300, generator=random)}, confidence=top)


def test_the_weights_minimise_the_loss() -> None:
    """The same loss by gradient descent, written plainly."""
    own, kinds = readings(0, 1.0, 1.0), [readings(1, 1.6, 0.5), readings(2, 1.0, 0.2)]
    usual = torch.ones(4, dtype=torch.float64)
    found = misfits.fit(scores(own, usual), [scores(kind, usual) for kind in kinds])
    names = list(found)
    assert {"doubt", "nearest", "still at 1/mean"} <= set(names)
    columns = [
        torch.stack([logarithm(n, scores(part, usual)[n]) for n in names], 1)
        for part in (own, *kinds)
    ]
    mean, scale = columns[0].mean(0), columns[0].std(0)
    rows = [((c - mean) / scale).clamp(-6, 6) for c in columns]
    w = torch.zeros(len(names) + 1, dtype=torch.float64, requires_grad=True)
    descent = torch.optim.LBFGS([w], max_iter=500, tolerance_grad=1e-12, tolerance_change=1e-14)

    def loss() -> torch.Tensor:
        descent.zero_grad()
        value = misfits.RIDGE / 2 * w[:-1].square().sum()
        for share, part, label in ((0.5, rows[0], 0.0), (0.25, rows[1], 1.0), (0.25, rows[2], 1.0)):
            logits = part @ w[:-1] + w[-1]
            wanted = torch.full_like(logits, label)
            bce = torch.nn.functional.binary_cross_entropy_with_logits
            value = value + share * bce(logits, wanted)
        value.backward()
        return value

    descent.step(loss)
    assert [x.factor for x in found.values()] == pytest.approx(w[:-1].tolist(), abs=1e-4)
    assert [x.mean for x in found.values()] == pytest.approx(mean.tolist())


def test_together_tells_what_no_score_tells_alone() -> None:
    own, kinds = readings(0, 1.0, 1.0), [readings(1, 1.6, 0.5), readings(2, 1.0, 0.2)]
    found = misfits.calibrate(own, kinds)
    rates = misfits.alarm_rates(found, readings(5, 1.0, 1.0), {"a": readings(6, 1.6, 0.5)})
    alone = {name: row["miss"] for name, row in rates.items() if name != TOGETHER}
    assert rates[TOGETHER]["miss"] < min(alone.values())
    assert rates[TOGETHER]["false_alarm"]["share"] < 0.1
    same = Calibration.from_dict(json.loads(json.dumps(found.to_dict())))
    assert same == found
    broken = replace(own, routing=torch.full((300, 4), torch.nan))
    assert found.unfit(broken, TOGETHER).all()  # failed distances never fit
    assert TOGETHER not in misfits.calibrate(own).thresholds


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
    gauges = tuple(key_at("moved", *point, 0.1) for point in ((1, "mean"), ("final", "final")))
    for probe, layer, pool in (
        ("experts", 2, "mean"),
        ("base", 1, "all"),
        ("experts", "final", "final"),
    ):
        at = key_at(probe, layer, pool, 0.1)
        found = leave_out(engine, sets, at, Beside(gauges=gauges))
        assert found.tasks.tolist() == [0] * 12 + [1] * 12 + [2] * 12
        for t in range(3):
            kept = [k for k in range(3) if k != t]
            plan = Plan((at, *gauges))
            other = Engine(without(home, t))
            own = [s for s in sets if s.task != engine.suite.task_names[t]]
            measured = measure(other, own, plan)
            wanted = measured.distances
            mine = found.readings[t].of(found.tasks != t)
            assert mine.routing.shape == (24, len(kept)) and mine.other is None
            assert mine.experts.tolist() == kept
            assert mine.routing == pytest.approx(wanted[at], rel=1e-4, abs=1e-5)
            assert mine.confidence == pytest.approx(measured.confidence, rel=1e-4)
            for gauge in gauges:
                moved = mine.moved[f"{gauge.layer}/{gauge.pool}"]
                assert moved == pytest.approx(wanted[gauge][:, 0], rel=1e-3, abs=1e-6)
    cached = Key("cache", 2, "mean", 0.1)
    both = leave_out(engine, sets, at, Beside(cached))
    whole = measure(
        engine, sets, Plan((cached,), caches={("cache", 0.1): engine.models.statistics})
    ).distances[cached]
    assert both.readings[1].other is not None
    assert both.readings[1].other == pytest.approx(whole[:, [0, 2]], rel=1e-5)
    with pytest.raises(Interrupted):
        leave_out(engine, sets, at, cancelled=lambda: True)


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
