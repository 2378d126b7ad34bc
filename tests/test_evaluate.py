"""evaluate: figures worked out by hand, and rows equal to single requests."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from labelled import plane_engine, plane_sets

from semerge.common import UserError
from semerge.data.batches import batches, picture
from semerge.data.labelled import Sets, read_set
from semerge.engine import Engine
from semerge.evaluation.collect import make_rows, second_pass
from semerge.evaluation.evaluate import Request, evaluate
from semerge.evaluation.figures import COLUMNS, Row, average, changes, recovery, summary
from semerge.evaluation.measure import BASE, Interrupted, Plan, measure
from semerge.evaluation.selection import every_key
from semerge.inputs import CleanText
from semerge.methods import METHODS, method
from semerge.settings import PRESETS, Settings
from semerge.task_vectors import TaskVectors


def row(**changes: Any) -> Row:
    same = dict.fromkeys([c for c in COLUMNS if c != "routing"], "a")
    values: dict[str, Any] = {
        "id": "t/test/0",
        "task": "t",
        "label": "a",
        "chosen": "t",
        "margin": 0.5,
        "entropy": 0.25,
        "confidence": 0.8,
        **same,
    }
    return Row(**(values | changes))


def figures_of(engine: Engine) -> dict[str, Any]:
    samples = plane_sets()
    resolved = Settings().resolve(engine.suite)
    scale = engine.suite.defaults.static_lambda
    measured = measure(engine, samples, Plan((resolved.probing,), (BASE, scale)))
    run = second_pass(engine, samples, measured, measured.distances[resolved.probing], resolved)
    sets = Sets("plane", "test", tuple(samples), (range(3), range(2)), True)  # type: ignore[arg-type]
    return summary(tuple(make_rows(engine.suite, sets, measured, run)), {"wide"})


# ---- worked out by hand ------------------------------------------------------------------------


def test_figures_of_the_plane() -> None:
    """wide: (10, 1), (10, 3), (3, 10) with labels 0, 1, 1. The base and the static merge, which
    stretches both axes alike, say 0, 0, 1; the expert says 0, 1, 1; the third point is taken for
    `tall`. tall: (1, 10), (3, 10), both 0. Base and static say 0, 0; its expert says 0, 1."""
    found = figures_of(plane_engine("hard"))
    third, half = pytest.approx(2 / 3), pytest.approx(0.5)
    assert found["tasks"]["wide"] == {
        "n": 3,
        "base_oracle": third,
        "base_routed": pytest.approx(1 / 3),
        "static_oracle": third,
        "static_routed": pytest.approx(1 / 3),
        "se_oracle": 1.0,
        "se_routed": third,
        "expert": 1.0,
        "routing": third,
        "calibration_error": pytest.approx(0.0, abs=1e-3),  # sure, and right
    }
    assert found["tasks"]["tall"] == {
        "n": 2,
        "base_oracle": 1.0,
        "base_routed": 1.0,
        "static_oracle": 1.0,
        "static_routed": 1.0,
        "se_oracle": half,
        "se_routed": half,
        "expert": half,
        "routing": 1.0,
        "calibration_error": pytest.approx(0.5, abs=1e-3),  # sure, and right for half
    }
    assert found["fixed"] == {"oracle": 1, "routed": 1}
    assert found["broken"] == {"oracle": 1, "routed": 1}
    assert found["average"]["static_oracle"] == pytest.approx(5 / 6)
    assert found["average"] == found["average_all"]
    assert found["average_real"]["expert"] == 1.0
    assert found["recovery"]["all"] == {"gap": pytest.approx(0.75 - 5 / 6)}
    assert found["recovery"]["real"] == {
        "gap": pytest.approx(1 / 3),
        "recovery_oracle": pytest.approx(1.0),
        "recovery_routed": pytest.approx(0.0),
    }


def test_equal_coefficients_give_the_static_merge() -> None:
    """Temperature and mass so that nothing is rescaled: SE and static agree everywhere."""
    engine = plane_engine("literal")
    settings = Settings(temperature=1e9).resolve(engine.suite)
    samples = plane_sets()
    measured = measure(engine, samples, Plan((settings.probing,), (0.5,)))
    run = second_pass(engine, samples, measured, measured.distances[settings.probing], settings)
    assert run.answers.equal(measured.answers[0.5])


def test_a_wrong_expert_is_wrong_even_with_the_right_word() -> None:
    lucky = row(chosen="u")
    assert lucky.right("se_oracle") and not lucky.right("se_routed") and not lucky.right("routing")


def test_average_recovery_and_changes() -> None:
    tasks = {"a": dict.fromkeys(COLUMNS, 0.2), "b": dict.fromkeys(COLUMNS, 0.6)}
    assert average(tasks)["expert"] == pytest.approx(0.4)
    assert average(tasks, {"b"})["expert"] == 0.6
    assert average(tasks, set()) == {} and recovery({}) == {}
    figures = {"expert": 0.9, "static_oracle": 0.7, "se_oracle": 0.88, "se_routed": 0.8}
    assert recovery(figures) == {
        "gap": pytest.approx(0.2),
        "recovery_oracle": pytest.approx(0.9),
        "recovery_routed": pytest.approx(0.5),
    }
    rows = [row(static_oracle="b"), row(se_routed="b"), row(se_routed="b", chosen="u"), row()]
    assert changes(rows) == {
        "fixed": {"oracle": 1, "routed": 0},
        "broken": {"oracle": 0, "routed": 1},
    }


# ---- equal to single requests ------------------------------------------------------------------


@pytest.fixture
def whole() -> Iterator[str]:
    """The name of a method that gives one merged model, which is no sum of task vectors."""

    @method("whole", title="Expert 0, twice as far", scale=0.5)
    def made(vectors: TaskVectors) -> dict[str, torch.Tensor]:
        return vectors.merge(torch.tensor([2.0, *[0.0] * (vectors.count - 1)]))

    yield "whole"
    METHODS.remove("whole")


@pytest.mark.usefixtures("whole")
@pytest.mark.parametrize(
    "settings",
    [
        *(Settings(preset=preset) for preset in PRESETS),
        Settings(preset="literal", method="ties", method_options={"density": 0.4}, probe="experts"),
        Settings(preset="hard", method="ties", probe="experts"),
        Settings(preset="sharp", method="average", probe="base"),
        Settings(preset="literal", method="whole", probe="experts"),
    ],
    ids=lambda settings: f"{settings.method}, {settings.preset}",
)
def test_rows_equal_single_requests(home: Path, engine: Engine, settings: Settings) -> None:
    suite = engine.suite
    found = evaluate(engine, Request(home / "data", settings=settings))
    assert len(found.rows) == 36
    for one in found.rows[::5]:
        task, split, number = one.id.split("/")
        samples = read_set(home / "data", task, split)
        i = int(number)
        if samples.images is None:
            sample: object = CleanText(samples.texts[i], samples.texts_b[i])
        else:
            sample = picture(samples.images[i])
        routed = engine.predict(sample, settings)
        oracle = engine.predict(sample, replace(settings, head=task))
        assert one.label == suite.task(task).classes[samples.labels[i]]
        assert one.chosen == routed.chosen
        assert one.margin == pytest.approx(routed.margin, rel=1e-4, abs=1e-6)
        assert one.entropy == pytest.approx(routed.entropy, rel=1e-4, abs=1e-6)
        for kind in ("base", "static", "se"):
            assert getattr(one, f"{kind}_routed") == routed.predictions[kind][0].label
            assert getattr(one, f"{kind}_oracle") == oracle.predictions[kind][0].label
        own = engine.expert_embedding(
            engine.backbone.preprocess(*unpacked(sample)), suite.index(task)
        )
        assert one.expert == suite.task(task).classes[int(engine.logits(own, task).argmax())]


def unpacked(sample: Any) -> tuple[Any, ...]:
    return (sample.text, sample.text_b) if isinstance(sample, CleanText) else (sample,)


def test_distances_equal_the_engines(home: Path, engine: Engine) -> None:
    suite = engine.suite
    samples = read_set(home / "data", "task1", "test")
    scale = suite.defaults.probe_lambda
    keys = tuple(k for k in every_key(suite, [scale]) if k.probe != "cache_own")
    caches = {("cache", scale): engine.models.statistics}
    measured = measure(engine, [samples], Plan(keys, caches=caches))
    ((rows, batch),) = batches(engine.backbone, samples)
    every = {"probes": ("experts", "base", "cache"), "layers": (1, 2, "final")}
    pools = [p for p in engine.backbone.pools if p != "final"]
    found = engine.distances(batch, Settings().resolve(suite), pools=pools, **every)  # type: ignore[arg-type]
    assert set(found) == set(keys)
    for key, d in found.items():
        mine = measured.distances[key][rows]
        assert mine == pytest.approx(d, rel=1e-5)


def test_cut_short_experts_change_nothing(home: Path, engine: Engine) -> None:
    """The main figures are the same alone and beside a table, for which all experts run on."""
    for preset in ("hard", "sharp"):
        alone = evaluate(engine, Request(home / "data", settings=Settings(preset=preset)))
        beside = evaluate(
            engine, Request(home / "data", settings=Settings(preset=preset), every=("layer",))
        )
        assert alone.rows == beside.rows and len(beside.table) == 3


def test_what_is_kept_of_a_sample_is_what_is_promised(home: Path, engine: Engine) -> None:
    """The bytes that the docstring of Measurement derives: no representation stays."""
    samples = read_set(home / "data", "task1", "test")
    scale, t = engine.suite.defaults.probe_lambda, 3
    keys = tuple(k for k in every_key(engine.suite, [scale]) if k.probe in ("experts", "base"))
    for k in (1, len(keys)):
        found = measure(engine, [samples], Plan(keys[:k], (BASE, 0.3)))
        kept = [found.tasks, found.labels, found.experts, *found.distances.values()]
        held = sum(x.untyped_storage().nbytes() for x in (*kept, *found.answers.values()))
        assert held == len(samples) * (16 + 4 * k * t + 2 * 2 * t + 2 * t * t)


def test_the_fast_mode_is_refused_not_run_exactly(home: Path, engine: Engine) -> None:
    with pytest.raises(UserError, match="An evaluation has no fast mode"):
        evaluate(engine, Request(home / "data", settings=Settings(fast=True)))


def test_progress_counts_to_the_end_and_cancel_stops(home: Path, engine: Engine) -> None:
    seen: list[tuple[int, int]] = []
    evaluate(engine, Request(home / "data"), progress=lambda *step: seen.append(step))
    assert seen == sorted(seen) and seen[-1] == (36, 36)
    with pytest.raises(Interrupted):
        evaluate(engine, Request(home / "data"), cancelled=lambda: True)
