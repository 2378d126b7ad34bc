"""Evo-Merging: by hand, on functions whose lowest place is known, and what holds of it."""

from __future__ import annotations

import math
import sys
from itertools import product
from typing import Any

import pytest
import torch
from chain import chain, merged
from matrix_models import agree, random

from semerge.common import UserError
from semerge.methods import METHODS
from semerge.methods.evo_merging import denoised, evolve, largest, of_task

TAUS = torch.tensor([[0.9, -0.1, 0.3, -0.6], [-0.4, 0.5, 0.2, -0.7]])


def evo(vectors: Any, samples: Any, **options: Any) -> Any:
    return METHODS["evo_merging"].function(vectors, samples, **options)


def test_the_largest_entries_by_hand() -> None:
    """The worked numbers of whole task vectors, and those of LoRA's factors: a tie stays."""
    agree(largest(TAUS, [0.5, 0.25]), [[0.9, 0, 0, -0.6], [0, 0, 0, -0.7]])
    terms = largest(TAUS, [0.5, 0.25]) * torch.tensor([[1.0], [-0.5]])
    agree(terms.sum(0), [0.9, 0.0, 0.0, -0.25])
    factors = torch.tensor([[1.0, -2.0, 0.5], [0.2, 1.0, -1.0]])
    agree(largest(factors, [0.67, 0.34]), [[1, -2, 0], [0, 1, -1]])
    agree(largest(TAUS, [0.0, 1.0]), [[0, 0, 0, 0], TAUS[1].tolist()])
    agree(largest(TAUS, [0.01, 1.0])[0], [0.9, 0, 0, 0])  # one at least


def test_every_tensor_has_its_own_share() -> None:
    """The matrices of the second map are a hundred times as large: over all entries together they
    alone would stay."""
    experts = [[random(4, 4, seed=t), 100 * random(4, 4, seed=9 + t)] for t in range(2)]
    vectors, _ = chain(experts, [random(3, 4)] * 2)
    found = denoised(vectors, [0.25, 0.5])
    for t, most in ((0, 4), (1, 8)):
        own = found.expert(t)
        assert [int(own[name].count_nonzero()) for name in ("w1", "w2")] == [most, most]
    assert torch.equal(vectors.expert(0)["w1"], experts[0][0].float())  # nothing shared is written


@pytest.mark.parametrize(
    ("middle", "expected"), [([0.3, -0.7, 1.1], [0.3, -0.7, 1.1]), ([2.0, 0.5, -3.0], [1, 0.5, -1])]
)
def test_the_lowest_place_of_a_convex_function_is_found(
    middle: list[float], expected: list[float]
) -> None:
    """Inside the box, or at its edge where the function falls beyond it."""
    high = 1.5 if middle == expected else 1.0

    def cost(x: list[float]) -> float:
        return sum((i + 1) * (a - b) ** 2 for i, (a, b) in enumerate(zip(x, middle, strict=True)))

    best, lowest = evolve(cost, [0.0] * 3, (-high, high), 0.3, 12, 60, 0)
    assert best == pytest.approx(expected, abs=1e-2)
    assert lowest == pytest.approx(cost(best)) and lowest < cost([0.0] * 3)


def test_what_is_no_number_is_never_the_best() -> None:
    best, lowest = evolve(
        lambda x: math.nan if x[0] > 0 else x[0] ** 2 + x[1] ** 2,
        [-1.0, 1.0],
        (-2, 2),
        0.3,
        8,
        30,
        0,
    )
    assert best[0] <= 0 and lowest < 0.05


def two_tasks() -> tuple[Any, Any]:
    """Each expert knows the points of its own task; the loss is convex in the factors."""
    experts = [[random(3, 3, seed=t)] for t in range(2)]
    points = [random(8, 3, seed=20 + t) for t in range(2)]
    labels = [(x @ experts[t][0].mT).argmax(1).tolist() for t, x in enumerate(points)]
    return chain(experts, points, labels)


def test_it_finds_the_best_factors() -> None:
    """No place of a grid over the box costs less, where no entry was dropped."""
    vectors, samples = two_tasks()
    found = merged(evo(vectors, samples, l1=0.05, sigma=0.2, generations=90))

    def cost(params: Any) -> float:
        return sum(of_task(samples, params, t, 8, "loss") for t in range(2)) / 2

    steps = [i / 10 - 1.5 for i in range(31)]
    grid = [(c, cost(vectors.merge(torch.tensor(c)))) for c in product(steps, repeat=2)]
    lowest = min(value + 0.05 * (abs(a) + abs(b)) / 2 for (a, b), value in grid)
    # the factors' own l1 is at most 0.05 · 1.5
    assert cost(found) <= lowest + 1e-3
    equal = cost(vectors.merge(torch.tensor([0.5, 0.5])))
    assert cost(found) < equal


def test_what_harms_is_dropped_or_taken_away() -> None:
    """The second expert is the first one's opposite, and both tasks ask what the first knows: at
    equal factors all entries together are the base."""
    known = random(3, 3)
    points = random(12, 3, seed=5)
    labels = (points @ known.mT).argmax(1).tolist()
    vectors, samples = chain([[known], [-known]], [points, points], [labels, labels])
    made = evo(vectors, samples, sigma=0.2)
    first, second = (float((made.expert(t)["w1"] * known).sum()) for t in range(2))
    size = float(known.square().sum())
    assert first + second > size and second > -0.2 * size  # of −τ2, +τ1: dropped, or taken away
    base, found = (of_task(samples, x, 0, 12, "loss") for x in (vectors.base(), merged(made)))
    assert base == pytest.approx(1.0) and found < 0.5


def test_the_same_seed_gives_the_same() -> None:
    vectors, samples = two_tasks()
    options = {"generations": 6, "population": 6}
    first, again = (merged(evo(vectors, samples, **options, draw=7)) for _ in range(2))
    other = merged(evo(vectors, samples, **options, draw=8))
    assert all(torch.equal(x, again[name]) for name, x in first.items())
    assert any(not torch.equal(x, other[name]) for name, x in first.items())


def test_wrong_answers_are_a_score_too() -> None:
    vectors, samples = two_tasks()
    assert of_task(samples, vectors.expert(0), 0, 8, "accuracy") == 0.0
    wrong = of_task(samples, vectors.expert(0), 1, 8, "accuracy")
    logits = samples.logits(vectors.expert(0), 1, samples.tasks[1].read(range(8)))
    assert wrong == float((logits.argmax(1) != samples.tasks[1].labels).float().mean()) > 0
    found = merged(evo(vectors, samples, score="accuracy", generations=30, l1=0.0))
    start = vectors.merge(torch.tensor([0.5, 0.5]))

    def both(params: Any) -> float:
        return sum(of_task(samples, params, t, 8, "accuracy") for t in range(2))

    assert both(found) <= both(start)


def test_who_lacks_the_package_is_told_of_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cmaes", None)
    with pytest.raises(
        UserError, match=r"^Evo-Merging needs the package cmaes.*semerge\[evolution"
    ):
        evo(*two_tasks())
