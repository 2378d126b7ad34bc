"""Answers with coefficients that somebody sets: equal to the reference, checked, and timed."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from concurrency import sample_of
from equivalence import close, pair
from reference import Reference
from tiny import tiny_text_suite, tiny_vision_suite

from semerge.bench import figures
from semerge.bench.subject import Subject
from semerge.common import FIGURES, UserError
from semerge.engine import Engine, unpack
from semerge.settings import PRESETS, Settings, checked_coefficients

MAKERS = {"image": tiny_vision_suite, "text": tiny_text_suite}


@pytest.fixture(scope="module", params=["image", "text"])
def both(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Engine, Reference]:
    return pair(MAKERS[request.param](tmp_path_factory.mktemp(request.param) / "suite"))


def coefficients() -> Iterator[list[float]]:
    """Base, static, experts alone, what no method gives, and numbers at random."""
    yield [0.0, 0.0, 0.0]
    yield [0.3, 0.3, 0.3]
    yield from ([float(t == i) for t in range(3)] for i in range(3))
    yield [-0.5, 1.5, 0.25]
    rng = random.Random(0)
    yield from ([rng.uniform(-0.5, 1.5) for _ in range(3)] for _ in range(3))


def test_answers_equal_the_reference(both: tuple[Engine, Reference]) -> None:
    engine, reference = both
    for seed, own in enumerate(coefficients()):
        sample = sample_of(engine, seed)
        data = engine.backbone.preprocess(*unpack(sample, engine.suite)[0]).data
        model = reference.model(reference.merged(own))
        for task in engine.suite.tasks:
            expected = reference.logits(model, data, task.name).softmax(0)
            found = {p.label: p.score for p in engine.answer_with(sample, own, task.name)}
            scores = torch.tensor([found[label] for label in task.classes])
            close(scores, expected, f"{own} {task.name}")
    assert engine.verify_weights()


def test_predictions_are_sorted_and_are_those_of_predict(both: tuple[Engine, Reference]) -> None:
    engine, _ = both
    sample = sample_of(engine, 1)
    for preset in PRESETS:
        result = engine.predict(sample, Settings(preset=preset))
        found = engine.answer_with(sample, result.coefficients, result.head)
        assert [p.label for p in found] == [p.label for p in result.predictions["se"]]
        assert [p.score for p in found] == sorted((p.score for p in found), reverse=True)
        for a, b in zip(found, result.predictions["se"], strict=True):
            assert a.score == pytest.approx(b.score, rel=1e-5)


def test_the_inner_products_give_the_length_of_a_merged_task_vector(
    both: tuple[Engine, Reference],
) -> None:
    engine, reference = both
    products = engine.inner_products()
    for own in coefficients():
        merged = reference.merged(own)
        moved = [merged[key].double() - reference.base[key].double() for key in merged]
        expected = math.sqrt(sum(float(x.square().sum()) for x in moved))
        square = sum(a * b * products[i][j] for i, a in enumerate(own) for j, b in enumerate(own))
        assert math.sqrt(max(0.0, square)) == pytest.approx(expected, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("method", ["ties", "ties:density=0.5,merge=mean"])
def test_a_methods_own_task_vectors_are_combined(
    both: tuple[Engine, Reference], method: str
) -> None:
    engine, _ = both
    sample = sample_of(engine, 2)
    static = engine.predict(sample, Settings(method=method, head="task1"))
    own = engine.answer_with(sample, static.static_coefficients, "task1", method)
    for a, b in zip(own, static.predictions["static"], strict=True):
        assert a.label == b.label and a.score == pytest.approx(b.score, rel=1e-4)
    assert own != engine.answer_with(sample, static.static_coefficients, "task1")
    # what was trimmed is shorter
    plain, trimmed = engine.inner_products(), engine.inner_products(method)
    assert all(0 < trimmed[t][t] < plain[t][t] for t in range(len(plain)))
    assert engine.verify_weights()


def test_a_picture_is_what_the_models_see(both: tuple[Engine, Reference]) -> None:
    engine, _ = both
    seen = engine.picture(sample_of(engine, 0))
    if engine.suite.modality == "text":
        assert seen is None
    else:
        side = engine.suite.architecture["vision_cfg"]["image_size"]
        assert seen.size == (side, side)
    with pytest.raises(UserError, match="reads"):
        engine.picture(object())


@pytest.mark.parametrize(
    "bad",
    [math.nan, math.inf, -math.inf, 10.5, -1e300, 10**400, None, "0.3", [0.3]],
    ids=lambda bad: str(bad)[:8],
)
def test_what_is_no_coefficient_is_refused_in_one_sentence(
    both: tuple[Engine, Reference], bad: object
) -> None:
    engine, _ = both
    title = engine.suite.tasks[1].title
    with pytest.raises(UserError) as error:
        engine.answer_with(sample_of(engine, 0), [0.3, bad, 0.3], "task0")  # type: ignore[list-item]
    text = str(error.value)
    assert text.startswith(f"The coefficient of {title} must be a number from -10 to 10, not ")
    assert text.endswith(".") and "\n" not in text and len(text) < 160


def test_too_few_an_unknown_head_and_the_wrong_kind_of_input_are_refused(
    both: tuple[Engine, Reference],
) -> None:
    engine, _ = both
    sample = sample_of(engine, 0)
    with pytest.raises(UserError, match="needs 3 coefficients, not 2"):
        engine.answer_with(sample, [0.3, 0.3], "task0")
    with pytest.raises(UserError, match="'nothing' is unknown"):
        engine.answer_with(sample, [0.3] * 3, "nothing")
    with pytest.raises(UserError, match="reads"):
        engine.answer_with(object(), [0.3] * 3, "task0")


def test_the_limits_themselves_are_taken(both: tuple[Engine, Reference]) -> None:
    suite = both[0].suite
    assert checked_coefficients([10, -10.0, 0], suite) == (10.0, -10.0, 0.0)


def test_the_bench_times_such_an_answer_where_there_are_inputs(
    both: tuple[Engine, Reference],
) -> None:
    engine, _ = both
    inputs = tuple(sample_of(engine, seed) for seed in range(2))
    samples = tuple(engine.backbone.preprocess(*unpack(x, engine.suite)[0]) for x in inputs)
    settings = Settings(probe="experts", preset="sharp")
    subject = Subject(engine.suite, engine, samples, "trained", settings, inputs)
    found = figures.figures(subject, rounds=1)
    median = found["figures"]["sandbox_ms"]
    assert 0 < median < 60_000 and found["cases_ms"]["sandbox"] > 0
    rows = {r["figure"]: r for r in figures.acceptance({"figures": {"sandbox_ms": 301.0}}, False)}
    assert rows["sandbox_ms"]["limit"] == "<= 300" and rows["sandbox_ms"]["met"] is False
    assert "milliseconds" in FIGURES["sandbox_ms"]["about"]
    assert "sandbox_ms" not in figures.figures(replace(subject, inputs=()), 1)["figures"]


def test_the_task_vectors_are_compared_in_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, _ = pair(tiny_vision_suite(tmp_path / "suite"))
    whole = engine.inner_products()
    monkeypatch.setattr("semerge.task_vectors.PART", 7)
    parts = engine.inner_products()
    for row, same in zip(whole, parts, strict=True):
        assert row == pytest.approx(same, rel=1e-9)
