"""Merging methods: by hand, against the formula on flat vectors, and through the engine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from concurrency import sample_of
from equivalence import close
from hypothesis import given
from hypothesis import strategies as st
from merging import effective, of_tensors, random_taus, vectors_of
from tiny import tiny_text_suite, tiny_vision_suite
from torch import Tensor

from semerge.common import UserError
from semerge.engine import Engine, load_engine, unpack
from semerge.methods import METHODS, method
from semerge.methods.order import ordered
from semerge.settings import Settings
from semerge.task_vectors import TaskVectors


def flat_ties(taus: Tensor, density: float, merge: str, frozen: int = 0) -> Tensor:
    """Method B4 on whole flat vectors, entry by entry: what the task vectors are merged into."""
    taus = torch.cat([taus, torch.zeros(len(taus), frozen)], dim=1)
    d = taus.shape[1]
    trimmed = []
    for tau in taus.tolist():
        smallest = sorted(map(abs, tau))
        rank = d - int(density * d)
        limit = smallest[rank - 1] if rank >= 1 else 0.0
        trimmed.append([x if abs(x) >= limit else 0.0 for x in tau])
    sums = [sum(column) for column in zip(*trimmed, strict=True)]
    signs = [(s > 0) - (s < 0) for s in sums]
    majority = (sum(signs) > 0) - (sum(signs) < 0)
    signs = [s or majority for s in signs]
    merged = []
    for column, sign in zip(zip(*trimmed, strict=True), signs, strict=True):
        agree = [x for x in column if x * sign > 0]
        total = sum(agree)
        merged.append(total / len(agree) if agree and merge == "mean" else total)
    return torch.tensor(merged)[: d - frozen]


HAND = torch.tensor([[0.9, -0.1, 0.3, -0.6], [-0.4, 0.5, 0.2, -0.7]])


@pytest.mark.parametrize(
    ("merge", "merged"), [("sum", [0.9, 0.5, 0.3, -1.3]), ("mean", [0.9, 0.5, 0.3, -0.65])]
)
def test_ties_by_hand(merge: str, merged: list[float]) -> None:
    made = METHODS["ties"].function(vectors_of(HAND), density=0.5, merge=merge)
    assert effective(made).sum(0).tolist() == pytest.approx(merged)
    if merge == "sum":  # three of each task vector are left, and those of the other sign go
        assert effective(made)[0].tolist() == pytest.approx([0.9, 0, 0.3, -0.6])
        assert effective(made)[1].tolist() == pytest.approx([0, 0.5, 0, -0.7])


@given(
    st.integers(2, 4),
    st.integers(2, 12),
    st.integers(0, 5),
    st.sampled_from([0.0, 0.1, 0.2, 0.5, 0.9, 1.0]),
    st.sampled_from(["sum", "mean"]),
    st.integers(0, 10**6),
)
def test_ties_equals_the_formula(
    tasks: int, size: int, frozen: int, density: float, merge: str, seed: int
) -> None:
    random = torch.Generator().manual_seed(seed)
    taus = torch.randint(-4, 5, (tasks, size), generator=random) / 8  # with ties and zeros
    made = METHODS["ties"].function(vectors_of(taus, frozen), density=density, merge=merge)
    expected = flat_ties(taus, density, merge, frozen)
    model = made.merge(torch.ones(tasks))
    merged = torch.cat([model["a"], model["b"] - 1])
    assert merged.tolist() == pytest.approx(expected.tolist(), abs=1e-5)


@given(st.floats(0.1, 8.0), st.integers(0, 10**6))
def test_ties_scales_with_the_task_vectors_and_knows_no_order(scale: float, seed: int) -> None:
    random = torch.Generator().manual_seed(seed)
    taus = torch.randn(3, 20, generator=random)
    ties = METHODS["ties"].function
    once = effective(ties(vectors_of(taus)))
    assert torch.allclose(effective(ties(vectors_of(scale * taus))), scale * once, atol=1e-5)
    turned = effective(ties(vectors_of(taus.flip(0)))).flip(0)
    assert torch.allclose(turned, once, atol=1e-6)


def test_a_change_by_tensor_sees_each_that_an_expert_changes() -> None:
    stages = (
        {"e": torch.zeros(2, 3)},
        {"a": random_taus(2, (2, 3), 0), "b": random_taus(2, (2,), 1)},
    )
    vectors = of_tensors(*stages, {"f": random_taus(2, (1,), 2), "g": torch.zeros(2, 5)})
    assert [s.own for s in vectors.segments] == [(), ("a", "b"), ("f", "g")]
    seen: list[Tensor] = []

    def change(deltas: Tensor) -> Tensor:
        seen.append(deltas.clone())
        return deltas / deltas.abs().sum()

    made = vectors.mapped_by_tensor(change)
    every = {
        name: x
        for stage in (*stages[1:], {"f": random_taus(2, (1,), 2)})
        for name, x in stage.items()
    }
    assert [x.tolist() for x in seen[:3]] == [every[name].tolist() for name in "abf"]
    for name in "abf":
        assert torch.equal(
            torch.stack([made.expert(t)[name] for t in range(2)]),
            every[name] / every[name].abs().sum(),
        )
    assert torch.equal(vectors.expert(1)["a"], every["a"][1])  # the original is as it was


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=9), st.integers(0, 9), st.integers(-1, 20))
def test_order_statistics_count_zeros_that_are_not_there(
    values: list[int], zeros: int, rank: int
) -> None:
    every = sorted(values + [0] * zeros)
    expected = every[min(max(rank, 1), len(every)) - 1]
    assert ordered(torch.tensor(values).float(), zeros, rank) == expected


def test_the_average_by_hand(folder: Path) -> None:
    engine = load_engine(folder)
    assert METHODS["average"].scale_of(engine.suite) == pytest.approx(1 / 3)
    static = engine.models.probed(1 / 3, "average")
    vectors = engine.models.vectors
    for stage in range(len(vectors.segments)):
        for name, mean in static(stage).items():
            own = torch.stack([vectors.expert(t, stage)[name] for t in range(3)])
            close(mean, own.mean(0), name)


@pytest.fixture(scope="module", params=["image", "text"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    make = tiny_vision_suite if request.param == "image" else tiny_text_suite
    return make(tmp_path_factory.mktemp(request.param) / "suite")


@pytest.fixture(scope="module")
def engine(folder: Path) -> Engine:
    return load_engine(folder)


TIES = Settings(method="ties", method_options={"density": 0.4, "merge": "mean"}, probe="experts")


def test_the_engine_merges_by_the_method(engine: Engine) -> None:
    """Static column, probed model and second pass are made of the effective task vectors, the
    expert's column of the expert's own weights."""
    resolved = TIES.resolve(engine.suite)
    assert resolved.method == "ties:density=0.4,merge=mean"
    assert (resolved.static_lambda, resolved.probe_lambda) == (0.3, 0.3)
    made = METHODS["ties"].function(engine.models.vectors, density=0.4, merge="mean")
    sample = sample_of(engine, 0)
    found = engine.predict(sample, replace(TIES, preset="literal"))
    plain = engine.predict(sample, Settings(probe="experts", preset="literal"))
    assert found.method == "ties" and plain.method == "task_arithmetic"
    assert found.method_options == {"density": 0.4, "merge": "mean"}
    assert found.distances != plain.distances and found.predictions["se"] != plain.predictions["se"]
    batch = engine.probe(sample, TIES).batch

    def scores(params: dict[str, Tensor]) -> list[float]:
        z = engine.models.embedding(lambda stage: params, batch)
        return sorted(engine.logits(z, found.head)[0].softmax(0).tolist(), reverse=True)

    for kind, coefficients, vectors in (
        ("static", torch.full((3,), 0.3), made),
        ("se", torch.tensor(found.coefficients), made),
        ("expert", torch.eye(3)[engine.suite.index(found.chosen)], engine.models.vectors),
    ):
        expected = scores(vectors.merge(coefficients))
        assert [p.score for p in found.predictions[kind]] == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("preset", ["hard", "sharp"])
@pytest.mark.parametrize("fast", [False, True])
def test_a_mass_of_one_is_the_effective_task_vector_alone(
    engine: Engine, preset: str, fast: bool
) -> None:
    sample, settings = sample_of(engine, 1), replace(TIES, preset=preset, fast=fast)
    found = engine.predict(sample, settings)
    made = engine.models.variant(TIES.resolve(engine.suite).method).vectors
    params = made.merge(torch.tensor(found.coefficients))
    z = engine.models.embedding(lambda stage: params, engine.probe(sample, TIES).batch)
    expected = engine.logits(z, found.head)[0].softmax(0).max().item()
    assert found.predictions["se"][0].score == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("name", [entry.name for entry in METHODS if not entry.needs])
def test_every_method_answers(engine: Engine, name: str) -> None:
    """The static column is what the method merged, and SE-Merging's answer is finite."""
    sample = sample_of(engine, 0)
    found = engine.predict(sample, Settings(method=name, probe="experts", preset="literal"))
    variant = engine.models.variant(name)
    if variant.whole is None:
        params = variant.vectors.merge(torch.full((3,), METHODS[name].scale_of(engine.suite)))
    else:
        params = {name: x for stage in variant.whole for name, x in stage.items()}
    assert all(x.isfinite().all() for x in params.values())
    batch = engine.models.place(engine.backbone.preprocess(*unpack(sample, engine.suite)[0]))
    z = engine.models.embedding(lambda stage: params, batch)
    scores = engine.logits(z, found.head)[0].softmax(0).sort(descending=True).values
    assert [p.score for p in found.predictions["static"]] == (
        pytest.approx(scores.tolist(), rel=1e-3)
    )
    assert sum(p.score for p in found.predictions["se"]) == pytest.approx(1.0)


def test_a_variant_is_made_once_and_nothing_is_written(engine: Engine) -> None:
    first = engine.models.variant("ties")
    assert engine.models.variant("ties:density=0.2") is first
    assert engine.models.variant("ties:density=0.3") is not first
    for i in range(6):  # more than are held
        engine.models.variant(f"ties:density=0.{i + 4}")
    assert engine.models.variant("task_arithmetic").vectors is engine.models.vectors
    assert engine.verify_weights()
    with pytest.raises(UserError, match="method 'none' is unknown"):
        engine.models.variant("none")


def test_what_is_held_gives_way_where_memory_is_short(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = load_engine(folder).models
    first, usual = models.variant("ties"), models.variant("task_arithmetic")
    free = iter([0, 10**12])  # enough, once the first one is gone
    with monkeypatch.context() as patch:
        patch.setattr("semerge.models.available", lambda: next(free))
        models.variant("average")
    assert models.variant("task_arithmetic") is usual
    again = models.variant("ties")
    assert again is not first and first.unchanged()
    monkeypatch.setattr("semerge.models.available", lambda: 1000)
    with pytest.raises(UserError, match=r"TIES-Merging needs .* but 0\.0 MB are free"):
        models.variant("ties:density=0.3")


def test_coefficients_of_ones_own_combine_the_methods_task_vectors(engine: Engine) -> None:
    sample, head = sample_of(engine, 0), engine.suite.task_names[0]
    variant = engine.variant("ties", {"merge": "mean"})
    own = engine.answer_with(sample, (0.3, 0.3, 0.3), head, "ties:merge=mean")
    static = engine.predict(
        sample, Settings(method="ties:merge=mean", probe="experts", head=head)
    ).predictions["static"]
    assert [p.score for p in own] == pytest.approx([p.score for p in static], rel=1e-4)
    assert own != engine.answer_with(sample, (0.3, 0.3, 0.3), head)
    squares = [sum(float(d[t].square().sum()) for d in variant.vectors.deltas()) for t in range(3)]
    assert [row[t] for t, row in enumerate(engine.inner_products("ties:merge=mean"))] == (
        pytest.approx(squares, rel=1e-5)
    )


def test_a_method_may_give_one_whole_model(engine: Engine) -> None:
    @method("first", title="the first expert", scale=1.0)
    def first(vectors: TaskVectors) -> dict[str, Tensor]:
        """Take the first expert for the merge."""
        return vectors.expert(0)

    try:
        found = engine.predict(sample_of(engine, 0), Settings(method="first", probe="experts"))
        assert found.distances[0] == pytest.approx(0.0, abs=1e-4)
        assert found.chosen == engine.suite.task_names[0]
        assert found.predictions["static"] == found.predictions["expert"]
    finally:
        METHODS.remove("first")
