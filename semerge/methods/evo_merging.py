"""Evo-Merging: which entries of each task vector stay, and its factor, by an evolution strategy.

"Evo-Merging" of https://arxiv.org/abs/2509.12951, by its code and its appendix, after "Evolutionary
Optimization of Model Merging Recipes", Akiba et al., https://arxiv.org/abs/2403.13187. With S_α(τ)
the round(α n) largest of the n entries of each tensor, CMA-ES lowers the loss of the merge on
labelled samples in two stages, of which it needs to know no gradient:

    denoising   βt = 1/T;  α in [0, 1]^T from 1          loss + l1 · mean |α|
    scaling     α stays;   β in [−1.5, 1.5]^T from 1/T   loss + l1 · mean |β|

A third of the generations denoises, 400 of 1,200 scores as published. β stays 1/T unless it gets
below what the first stage ended at.

Published, that is of LoRA's factors: A = Σ βt S_αt(At), B = Σ βt Bt, where the sign of a βt acts on
the cross terms alone. The reading here is of whole task vectors,

    θ = θ0 + Σ βt S_αt(τt),

tensor by tensor, where a negative βt does take a task away. The loss is the cross-entropy over
log C, each task alike, or the share of wrong answers, which is all that a black box tells. λ is 1;
the terms are the effective task vectors.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from semerge.common import UserError, tell
from semerge.methods import method
from semerge.methods.samples import COUNT, Count
from semerge.registry import Seed, Within

if TYPE_CHECKING:
    from torch import Tensor

    from semerge.backbones import Params
    from semerge.methods.samples import Samples
    from semerge.task_vectors import TaskVectors

Population = Annotated[int, Within(4, 200), "merges that are scored in each generation"]
Generations = Annotated[int, Within(3, 2000), "generations, of which the first third denoises"]
Sigma = Annotated[float, Within(1e-4, 1.0), "how far the first generation is spread"]
Weight = Annotated[float, Within(0.0, 1.0), "what large shares and factors cost"]
Score = Annotated[
    Literal["loss", "accuracy"],
    "what is lowered: the loss, or the share of wrong answers as of a black box",
]

REACH = 1.5  # of a factor, either way


@method(
    "evo_merging",
    title="Evo-Merging (reading)",
    paper="arXiv 2509.12951",
    needs="labels",
    scale=1.0,
    place=51,
)
def evo_merging(
    vectors: TaskVectors,
    samples: Samples,
    *,
    per_task: Count = COUNT,
    population: Population = 20,
    generations: Generations = 60,
    sigma: Sigma = 0.05,
    l1: Weight = 0.05,
    score: Score = "loss",
    draw: Seed = 0,
) -> TaskVectors:
    """Find by CMA-ES which share of each task vector's entries stays, then its factor, so that
    labelled samples are answered well. A reading: the paper merges LoRA's factors."""
    import torch

    count, total = vectors.count, population * generations
    scored = iter(range(total + 2))  # either stage scores its start too

    def lowered(
        merge: Callable[[list[float]], Params],
        start: list[float],
        low: float,
        high: float,
        turns: int,
    ) -> tuple[list[float], float]:
        """What one stage ends at, and what that costs."""

        def cost(numbers: list[float]) -> float:
            tell(min(next(scored), total), total, "merges scored")
            params = merge(numbers)
            values = [of_task(samples, params, t, per_task, score) for t in range(count)]
            return (sum(values) + l1 * sum(map(abs, numbers))) / count

        return evolve(cost, start, (low, high), sigma, population, turns, draw)

    equal, first = [1 / count] * count, generations // 3
    shares, least = lowered(
        lambda shares: denoised(vectors, shares).merge(torch.tensor(equal)),
        [1.0] * count,
        0.0,
        1.0,
        first,
    )
    clean = denoised(vectors, shares)
    factors, value = lowered(
        lambda factors: clean.merge(torch.tensor(factors)),
        equal,
        -REACH,
        REACH,
        generations - first,
    )
    tell(total, total, "merges scored")
    best = torch.tensor(factors if value < least else equal)
    return clean.mapped(lambda deltas: deltas * best.to(deltas)[:, None])


def denoised(vectors: TaskVectors, shares: Sequence[float]) -> TaskVectors:
    """Task vectors of which in each tensor a share of the largest entries stays."""
    return vectors.mapped_by_tensor(lambda deltas: largest(deltas, shares))


def largest(deltas: Tensor, shares: Sequence[float]) -> Tensor:
    """Of each of (T, \\*shape) the round(α n) largest entries, one at least, and what is as large
    as the last of them; none where α is 0."""
    import torch

    found = torch.zeros_like(deltas)
    for out, own, share in zip(found, deltas, shares, strict=True):
        sizes = own.abs()
        n = sizes.numel()
        if share > 0 and n:
            most = max(1, math.floor(share * n + 0.5))
            least = sizes.flatten().kthvalue(n - most + 1).values
            out.copy_(torch.where(sizes >= least, own, 0.0))
    return found


def of_task(samples: Samples, params: Params, t: int, most: int, score: str) -> float:
    """What a model has to lower on task t: its loss, or the share of its wrong answers."""
    if score == "loss":
        return samples.mean_loss(params, t, most)
    task = samples.tasks[t]
    assert task.labels is not None  # this method needs them
    wrong = parts = 0
    for rows in task.parts(most):
        answers = samples.logits(params, t, task.read(rows)).argmax(-1)
        wrong += int((answers != task.labels[list(rows)]).sum())
        parts += len(rows)
    return wrong / parts


def evolve(
    cost: Callable[[list[float]], float],
    start: list[float],
    within: tuple[float, float],
    sigma: float,
    population: int,
    generations: int,
    seed: int,
) -> tuple[list[float], float]:
    """Where CMA-ES finds the least cost in a box, and that cost; never above that of the start.
    "The CMA Evolution Strategy: A Tutorial", Hansen, https://arxiv.org/abs/1604.00772, by the
    package cmaes. Raises UserError where it is not installed."""
    import numpy as np

    search = _strategy()(
        mean=np.array(start, dtype=float),
        sigma=sigma,
        bounds=np.array([within] * len(start)),
        seed=seed,
        population_size=population,
    )
    best, lowest = list(start), cost(start)
    for _ in range(generations):
        scored = []
        for _ in range(population):
            place = search.ask()
            value = cost(place.tolist())
            value = value if math.isfinite(value) else math.inf
            scored.append((place, value))
            if value < lowest:
                best, lowest = place.tolist(), value
        search.tell(scored)
        if search.should_stop():  # it has come to rest
            break
    return best, lowest


def _strategy() -> Any:
    """CMA-ES of an optional package. Raises UserError where it is not installed."""
    try:
        from cmaes import CMA
    except ImportError:
        raise UserError(
            "Evo-Merging needs the package cmaes, which is not installed; it comes with the extra "
            'evolution: pip install "semerge[evolution]".'
        ) from None
    return CMA
