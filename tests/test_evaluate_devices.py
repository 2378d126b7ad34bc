"""Sweeps where the weights are on another device than the CPU, or less precise."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from elsewhere import DEVICE, Elsewhere
from labelled import DATA

from recipes import statistics
from semerge.data.labelled import read_set
from semerge.data.sets import suite_sets
from semerge.engine import Engine
from semerge.evaluation.collect import second_pass
from semerge.evaluation.diagnosis import diagnose
from semerge.evaluation.evaluate import Request, evaluate
from semerge.evaluation.measure import BASE, Plan, measure
from semerge.evaluation.selection import every_key
from semerge.loading import load
from semerge.settings import Settings
from semerge.suites import read_suite

AXES = ("probe", "layer")


def test_the_device_of_these_tests_has_rules() -> None:
    """Else the tests below would show nothing."""
    here = torch.ones(3)
    with Elsewhere() as device:
        there = here.to(DEVICE)
        assert there.device.type == DEVICE and here.device.type == "cpu"
        with pytest.raises(RuntimeError, match="two devices"):
            there + here
        with pytest.raises(RuntimeError, match="two devices"):
            here[torch.arange(3)] = there * 2
        with pytest.raises(TypeError, match="numpy"):
            there.sum().numpy()
        assert there[torch.arange(2)].device.type == DEVICE and device.waits == 0
        assert (there * 2).cpu().device.type == "cpu" and device.waits == 1


@pytest.mark.parametrize("preset", ["hard", "literal"])
def test_a_sweep_on_a_device_equals_the_cpus(home: Path, engine: Engine, preset: str) -> None:
    request = Request(home / "data", settings=Settings(preset=preset), every=AXES)
    expected = evaluate(engine, request)
    with Elsewhere():
        found = evaluate(Engine(load(read_suite(home / "suite")), DEVICE), request)
    assert found.rows == expected.rows
    here, there = map(without_times, (expected.table, found.table))
    assert here == there and len(here) > 10


def without_times(table: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{k: x for k, x in row.items() if k not in ("ms", "merge")} for row in table]


def test_a_batch_is_waited_for_once(home: Path, engine: Engine) -> None:
    """However many probes, layers and poolings are measured, results are copied a batch."""
    samples = [read_set(home / "data", "task1", "test")]  # one batch
    scale = engine.suite.defaults.probe_lambda
    every = tuple(k for k in every_key(engine.suite, [scale]) if k.probe != "cache_own")
    waits = []
    with Elsewhere() as device:
        there = Engine(load(read_suite(home / "suite")), DEVICE)
        caches = {("cache", scale): there.models.statistics}
        for keys in (every[:1], every):
            before = device.waits
            measured = measure(there, samples, Plan(keys, (BASE, 0.3), caches=caches))
            waits.append(device.waits - before)
    # distances, answers of merges, answers of experts, and how sure these are
    assert waits == [4, 4]
    assert {x.device.type for x in measured.distances.values()} == {"cpu"}


def test_activations_that_are_not_finite_fall_back_on_a_device_too(
    home: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = [read_set(home / "data", "task1", "test")]
    resolved = Settings(preset="literal").resolve(engine.suite)
    far = torch.rand(len(samples[0]), 3, generator=torch.Generator().manual_seed(0))
    empty = measure(engine, samples, Plan(answers=(BASE, resolved.static_lambda)))
    make = Engine.merged_embedding

    def broken(self: Engine, *args: object, **more: object) -> torch.Tensor:
        z = make(self, *args, **more)  # type: ignore[arg-type]
        return torch.cat([z[:1] * torch.inf, z[1:]])

    monkeypatch.setattr(Engine, "merged_embedding", broken)
    expected = second_pass(engine, samples, empty, far, resolved)
    with Elsewhere():
        there = Engine(load(read_suite(home / "suite")), DEVICE)
        found = second_pass(there, samples, empty, far, resolved)
    assert found.answers.equal(expected.answers)


def test_statistics_and_a_diagnosis_of_a_device(home: Path, engine: Engine) -> None:
    train = [read_set(home / "data", name, "train") for name in engine.suite.task_names]
    data = DATA[engine.suite.modality](home / "four", tasks=4)
    cuts = [suite_sets(engine.suite, data, split) for split in ("validation", "test")]
    expected = statistics.build(engine, train, [0.1], own=True)
    why = diagnose(engine, *cuts, data, samples=6)
    with Elsewhere():
        there = Engine(load(read_suite(home / "suite")), DEVICE)
        found = statistics.build(there, train, [0.1], own=True)
        assert diagnose(there, *cuts, data, samples=6) == why
    for key, points in expected.items():
        for point, s in points.items():
            assert found[key][point].mean.device.type == "cpu"
            assert torch.equal(found[key][point].mean, s.mean)
