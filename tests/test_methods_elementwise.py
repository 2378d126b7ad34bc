"""Methods that work number by number: by hand, against their formulas entry by entry, and what they
do not depend on."""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import mean, pvariance
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from merging import effective, flat, merged, of_tensors, random_taus, vectors_of
from torch import Tensor

from semerge.common import UserError
from semerge.methods import METHODS
from semerge.methods.dare import rescaled

Rows = list[list[float]]  # T task vectors of d numbers

# ---- by hand -------------------------------------------------------------------------------------

SCE = torch.tensor([[1.0, -2, 0, 3], [3, 2, 0, -1]])
TALL = torch.tensor([[0.5, -0.1, 0.2], [0.1, 0.3, 0.2], [-0.4, 0, 0.2]])
PCB = torch.tensor([[0.5, -0.2, 0.1, 0.4, 0.3], [0.2, 0.6, -0.1, 0.3, -0.4]])
BY_HAND = [
    ("sce", {}, SCE, [2, 2, 0, 3]),
    ("sce", {"selection": 0.67}, SCE, [0, 2, 0, 3]),
    ("sce", {"selection": 0.0}, SCE, [0, 0, 0, 0]),
    ("varm", {}, SCE, [2, 0, 0, 1]),
    ("varm", {}, torch.tensor([[1.0, 2], [3, -1]]), [2.333333, 0]),
    ("varm", {}, torch.tensor([[0.0, 0], [0, 0]]), [0, 0]),
    ("consensus", {"strictness": 0.99}, TALL, [0.2, 0, 0]),  # at 1 a tie decides
    ("consensus", {}, TALL, [0.2, 0, 0.6]),
    ("consensus", {"agreement": 1}, TALL, [0.2, 0.2, 0.6]),
    ("consensus", {"agreement": 4}, TALL, [0, 0, 0]),
    ("pcb", {"ratio": 0.4, "clip": 0.0}, PCB, [0.5, 0.6, 0, 0, 0]),
    ("pcb", {"ratio": 0.4, "clip": 0.0, "competition": "raw"}, PCB, [0.5, 0.6, 0, 0, 0]),
]


@pytest.mark.parametrize(("name", "options", "taus", "expected"), BY_HAND)
def test_by_hand(name: str, options: dict[str, Any], taus: Tensor, expected: list[float]) -> None:
    assert flat(merged(name, of_tensors({"a": taus}), **options)).tolist() == (
        pytest.approx(expected, abs=1e-6)
    )


def test_dare_by_hand() -> None:
    delta, stays = torch.tensor([0.4, -0.2, 0.1, 0.8]), torch.tensor([1, 0, 1, 0]).bool()
    assert rescaled(delta, stays, 0.5, "share").tolist() == pytest.approx([0.8, 0, 0.2, 0])
    assert rescaled(delta, stays, 0.5, "norm").tolist() == pytest.approx([1.2, 0, 0.3, 0])
    assert not rescaled(delta, torch.zeros(4).bool(), 0.5, "norm").any()


def test_lines_by_hand() -> None:
    ones = torch.ones(2, 1)

    def factors(depth: int, **options: float) -> list[float]:
        names = ["embedding", *(f"block{i}" for i in range(depth)), "end"]
        vectors = of_tensors(*({name: ones} for name in names))
        made = merged("lines", vectors, **options)
        return [float(made[name]) / 2 for name in names]

    assert factors(3, floor=0.4, slope=0.6) == pytest.approx([0.2, 0.2, 0.5, 0.8, 0.2])
    assert factors(2, slope=0.0) == pytest.approx([0.5] * 4)  # the average
    assert factors(1, slope=0.25) == pytest.approx([0.5, 0.75, 0.5])
    assert factors(2) == pytest.approx([0.5, 0.5, 1.0, 0.5])


# ---- DARE's draws --------------------------------------------------------------------------------


def test_dare_s_draws() -> None:
    taus = 1 + random_taus(3, (4000,), 7).abs()  # not of the seed that the draws are of
    vectors = vectors_of(taus, frozen=7)
    dare = METHODS["dare"].function
    made = effective(dare(vectors, drop=0.75))
    assert torch.equal(made, effective(dare(vectors, drop=0.75)))
    stays = made != 0
    assert torch.allclose(made, torch.where(stays, 4 * taus, 0.0), atol=1e-4)
    assert stays.float().mean(1).tolist() == pytest.approx([0.25] * 3, abs=0.03)
    assert made.mean(1).tolist() == pytest.approx(taus.mean(1).tolist(), rel=0.1)
    both = (stays[0] & stays[1]).float().mean()  # drawn each for itself
    assert float(both) == pytest.approx(0.25**2, abs=0.02)
    # of the draw and a task's number alone
    alone = effective(dare(vectors_of(taus[:1]), drop=0.75))[0]
    assert torch.allclose(alone, made[0], atol=1e-5)
    assert not torch.equal(effective(dare(vectors, drop=0.75, draw=1)) != 0, stays)
    # a smaller share drops no number that a larger one keeps
    assert (stays <= (effective(dare(vectors, drop=0.5)) != 0)).all()


def test_dare_may_keep_each_tensor_s_norm() -> None:
    stage = {"a": random_taus(2, (30, 4), 0), "b": 3 * random_taus(2, (50,), 1)}
    vectors = of_tensors(stage)
    made = METHODS["dare"].function(vectors, drop=0.9, rescale="norm")
    for t in range(2):
        for name, x in made.expert(t).items():
            assert float(x.abs().sum()) == pytest.approx(
                float(stage[name][t].abs().sum()), rel=1e-5
            )


# ---- entry by entry ------------------------------------------------------------------------------


def sce_entries(taus: Rows, selection: float = 1.0) -> list[float]:
    columns = list(zip(*taus, strict=True))
    if selection < 1:
        spread = [pvariance(column) for column in columns]
        count = int(selection * sum(v > 0 for v in spread))
        best = sorted(range(len(columns)), key=lambda i: -spread[i])[:count]
        columns = [c if i in best else (0.0,) * len(taus) for i, c in enumerate(columns)]
    weights = [mean(x * x for x in row) for row in zip(*columns, strict=True)]
    merged = []
    for column in columns:
        positive = sum(column) >= 0
        agree = [(w, x) for w, x in zip(weights, column, strict=True) if x and (x > 0) == positive]
        total = sum(w for w, _ in agree)
        merged.append(sum(w * x for w, x in agree) / total if total else 0.0)
    return merged


def varm_entries(taus: Rows) -> list[float]:
    squares = [mean(x * x for x in row) for row in taus]
    shares = [s / sum(squares) for s in squares]
    return [sum(w * x for w, x in zip(shares, c, strict=True)) for c in zip(*taus, strict=True)]


def consensus_entries(taus: Rows, strictness: float = 0.4, agreement: int = 2) -> list[float]:
    merged = []
    for column in zip(*taus, strict=True):
        total = sum(column)
        count = sum(abs(x) > strictness * abs(total - x) for x in column)
        merged.append(total if count >= agreement else 0.0)
    return merged


def pcb_entries(
    taus: Rows, ratio: float = 0.05, clip: float = 0.01, competition: str = "normalised"
) -> list[float]:
    tasks, d = len(taus), len(taus[0])

    def clamped(row: list[float], low: int, high: int) -> list[float]:
        order = sorted(row)
        return [min(max(x, order[min(low, d - 1)]), order[high]) for x in row]

    def between(row: list[float]) -> list[float]:
        low, width = min(row), max(row) - min(row)
        return [(x - low) / width if width else 0.0 for x in row]

    sizes = [clamped([abs(x) for x in row], int(d * clip), int(d * (1 - clip) - 1)) for row in taus]
    shares = [between(row) for row in sizes]
    sign = lambda x: (x > 0) - (x < 0)  # noqa: E731
    weights = []
    for t in range(tasks):
        scores = []
        for i in range(d):
            parts = [(shares[k][i] * sign(taus[k][i])) for k in range(tasks)]
            trend = sum(parts) if competition == "normalised" else sum(row[i] for row in taus)
            scores.append(math.exp(tasks * shares[t][i] ** 2) * math.tanh(taus[t][i] * trend))
        weights.append(between(clamped(scores, int(d * (1 - ratio)), d - 1)))
    merged = []
    for i in range(d):
        parts = [sign(taus[t][i]) * sizes[t][i] * weights[t][i] for t in range(tasks)]
        merged.append(sum(parts) / max(sum(row[i] for row in weights), 1e-12))
    return merged


SHARES = st.sampled_from([0.0, 0.1, 0.3, 0.5, 0.9, 1.0])
FORMULAS: dict[str, tuple[Callable[..., list[float]], dict[str, Any], bool]] = {
    # its options, and whether it looks at all numbers of a task vector together
    "sce": (sce_entries, {"selection": SHARES}, False),
    "varm": (varm_entries, {}, False),
    "consensus": (
        consensus_entries,
        {"strictness": st.sampled_from([0.0, 0.2, 0.4, 1.5]), "agreement": st.integers(1, 4)},
        False,
    ),
    "pcb": (
        pcb_entries,
        {
            "ratio": SHARES,
            "clip": st.sampled_from([0.0, 0.01, 0.1, 0.4]),
            "competition": st.sampled_from(["normalised", "raw"]),
        },
        True,
    ),
}


@pytest.mark.parametrize("name", FORMULAS)
@settings(max_examples=40)
@given(data=st.data())
def test_entry_by_entry(name: str, data: st.DataObject) -> None:
    formula, options, whole = FORMULAS[name]
    chosen = {key: data.draw(values, key) for key, values in options.items()}
    tasks, size = data.draw(st.integers(2, 4)), data.draw(st.integers(2, 12))
    taus = random_taus(tasks, (size,), data.draw(st.integers(0, 10**6)))
    if whole:
        frozen = data.draw(st.integers(0, 4))
        made = flat(merged(name, vectors_of(taus, frozen), **chosen))
        taus = torch.cat([taus, torch.zeros(tasks, frozen)], dim=1)
    else:
        made = flat(merged(name, of_tensors({"a": taus}), **chosen))
    assert made.tolist() == pytest.approx(formula(taus.tolist(), **chosen), abs=1e-5)


# ---- what they do not depend on ------------------------------------------------------------------

ALL: dict[str, dict[str, Any]] = {
    "task_arithmetic": {},
    "average": {},
    "ties": {"density": 0.5},
    "dare": {"drop": 0.0},
    "sce": {"selection": 0.5},
    "varm": {},
    "lines": {},
    "consensus": {},
    "pcb": {"ratio": 0.3},
}


def model(tasks: int, seed: int) -> list[dict[str, Tensor]]:
    shapes = [{"e": (3, 2)}, {"v": (4, 3), "b": (4,)}, {"w": (5, 2)}, {"z": (2, 2)}]
    return [
        {name: random_taus(tasks, shape, seed + ord(name)) for name, shape in stage.items()}
        for stage in shapes
    ]


def changed(
    stages: list[dict[str, Tensor]], by: Callable[[Tensor], Tensor]
) -> list[dict[str, Any]]:
    return [{name: by(x) for name, x in stage.items()} for stage in stages]


@pytest.mark.parametrize("name", ALL)
@settings(max_examples=10)
@given(seed=st.integers(0, 10**4), tasks=st.integers(2, 4))
def test_the_order_of_tasks_the_layout_and_the_scale(name: str, seed: int, tasks: int) -> None:
    stages, options = model(tasks, seed), ALL[name]
    once = merged(name, of_tensors(*stages), **options)
    turned = merged(name, of_tensors(*changed(stages, lambda x: x.flip(0))), **options)
    across = merged(name, of_tensors(*changed(stages, lambda x: x.transpose(1, -1))), **options)
    scaled = merged(name, of_tensors(*changed(stages, lambda x: 3 * x)), **options)
    for tensor, x in once.items():
        assert torch.allclose(turned[tensor], x, atol=1e-5), tensor
        assert torch.allclose(across[tensor].transpose(0, -1), x, atol=1e-5), tensor
    equivariant = all(torch.allclose(scaled[n], 3 * x, atol=1e-5) for n, x in once.items())
    assert equivariant == (name != "pcb")


@pytest.mark.parametrize("name", [name for name in ALL if name not in ("sce", "varm")])
def test_how_numbers_are_cut_into_tensors_is_irrelevant_unless_tensors_are_weighted(
    name: str,
) -> None:
    x, (*rest, last) = random_taus(3, (6, 5), 0), model(3, 1)
    whole = merged(name, of_tensors(*rest, last | {"x": x}), **ALL[name])
    cut = merged(name, of_tensors(*rest, last | {"x1": x[:, :2], "x2": x[:, 2:]}), **ALL[name])
    assert torch.allclose(whole["x"], torch.cat([cut["x1"], cut["x2"]]), atol=1e-6)


@pytest.mark.parametrize("name", ["task_arithmetic", "average", "dare", "sce", "varm"])
def test_one_expert_alone_is_itself(name: str) -> None:
    stages = model(1, 0)
    options = {} if name == "sce" else ALL[name]
    made = merged(name, of_tensors(*stages), **options)
    for stage in stages:
        for tensor, x in stage.items():
            assert torch.allclose(made[tensor], x[0], atol=1e-6), tensor


@pytest.mark.parametrize("name", ["sce", "varm"])
def test_equal_experts_are_their_merge(name: str) -> None:
    stages = changed(model(1, 0), lambda x: x.expand(3, *x.shape[1:]))
    made = merged(name, of_tensors(*stages))
    for stage in stages:
        for tensor, x in stage.items():
            assert torch.allclose(made[tensor], x[0], atol=1e-6), tensor


def test_a_task_vector_of_zeros_is_merged_without_dividing_by_it() -> None:
    stages = changed(model(2, 0), lambda x: torch.cat([x[:1], 0 * x[:1]]))
    for name, options in ALL.items():
        made = flat(merged(name, of_tensors(*stages), **options))
        assert torch.isfinite(made).all(), name
        nothing = changed(stages, lambda x: 0 * x)
        assert not flat(merged(name, of_tensors(*nothing), **options)).any(), name


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ("dare:drop=1", "drop must be a number from 0 to 0.99, not '1'"),
        ("dare:rescale=mean", "rescale must be share, norm, not 'mean'"),
        ("dare:draw=-1", "draw must be a whole number from 0 to 9999, not '-1'"),
        ("sce:selection=1.1", "selection must be a number from 0 to 1, not '1.1'"),
        ("varm:selection=1", "method varm has no option 'selection'; it has no options"),
        ("lines:slope=2", "slope must be a number from 0 to 1, not '2'"),
        ("consensus:agreement=0", "agreement must be a whole number from 1 to 20, not '0'"),
        ("pcb:clip=0.5", "clip must be a number from 0 to 0.4, not '0.5'"),
    ],
)
def test_what_is_refused(spec: str, sentence: str) -> None:
    with pytest.raises(UserError) as refused:
        METHODS.spec(spec)
    assert str(refused.value) == f"{sentence}."
