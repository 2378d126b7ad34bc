"""PCB-Merging: the task vectors compete for each number.

"Parameter Competition Balancing for Model Merging", Du et al., https://arxiv.org/abs/2410.02396.
With ct the task vector clipped, in size, at order statistics, and mt its sizes between 0 and 1,
number by number:

    score  = exp(T mt²) · tanh(τt · Σk sign(τk) mk)      "raw": tanh(τt · Σk τk)
    weight = the largest scores of t, between 0 and 1; 0 for all others
    merged = Σt ct weightt / Σt weightt, times λ = 1.2

Defaults and the first formula are those of the published vision figures; the paper's other script
has "raw", ratio 0.1 and clip 0.0001. All numbers of a task vector are looked at together, those
that no expert changes among them. A task vector of one size everywhere, where the formula divides
by 0, has m and weight 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from semerge.common import tell
from semerge.methods import FULL_SIZE, method
from semerge.methods.order import ordered
from semerge.registry import Grid, Share, Within

if TYPE_CHECKING:
    from torch import Tensor

    from semerge.task_vectors import TaskVectors

Ratio = Annotated[
    Share,
    "share of the numbers of a task vector that are merged, by their score",
    Grid(0.05, 0.1, 0.2),
]
Clip = Annotated[
    float, Within(0.0, 0.4), "share of them that is clipped at either end of the sizes"
]
Competition = Annotated[
    Literal["normalised", "raw"], "which task vectors' sum a number's score compares it with"
]


@method("pcb", title="PCB-Merging", paper="arXiv 2410.02396", scale=1.2, dear=FULL_SIZE, place=15)
def pcb(
    vectors: TaskVectors,
    *,
    ratio: Ratio = 0.05,
    clip: Clip = 0.01,
    competition: Competition = "normalised",
) -> TaskVectors:
    """Score each number of a task vector by its size and by whether it goes the way of the others,
    and average the best by their scores."""
    import torch

    count, total = vectors.count, vectors.numel

    def statistics(values: Tensor, low: int, high: int) -> Tensor:  # of (M,), by ranks from 0 on
        zeros = total - len(values)
        return torch.stack([ordered(values, zeros, low + 1), ordered(values, zeros, high + 1)])

    def sizes(t: int) -> Tensor:
        values = torch.cat([deltas.abs() for deltas in vectors.deltas(t)])
        return statistics(values, int(total * clip), int(total * (1 - clip) - 1))

    clips = torch.stack([sizes(t) for t in range(count)])  # (T, 2)

    def trend(deltas: Tensor) -> Tensor:  # (T, M) -> (M,)
        if competition == "normalised":
            deltas = deltas.sign() * _between(deltas.abs(), clips)
        return deltas.sum(0)

    def scores(deltas: Tensor, trend: Tensor, clips: Tensor) -> Tensor:
        size = _between(deltas.abs(), clips)
        # of a constant factor nothing is left; this one keeps the power in range
        return (count * (size.square() - 1)).exp() * (deltas * trend).tanh()

    trends = [trend(deltas) for deltas in vectors.deltas()]

    def best(t: int) -> Tensor:
        tell(t, count, "task vectors scored")
        pairs = zip(vectors.deltas(t), trends, strict=True)
        values = torch.cat([scores(deltas, trend, clips[t]) for deltas, trend in pairs])
        return statistics(values, int(total * (1 - ratio)), total - 1)

    limits = torch.stack([best(t) for t in range(count)])  # (T, 2)
    tell(count, count, "task vectors scored")

    def balanced(deltas: Tensor) -> Tensor:  # (T, M) -> (T, M)
        found = scores(deltas, trend(deltas), clips)
        # the score that is the limit, but for rounding, has no weight: nothing may divide by it
        found = torch.where(found > (1 + 1e-6) * limits[:, :1], found, limits[:, :1])
        weights = _between(found, limits)
        low, high = clips.T[..., None]
        clipped = deltas.sign() * deltas.abs().clamp(low, high)
        return clipped * weights / weights.sum(0).clamp(min=1e-12)

    return vectors.mapped(balanced)


def _between(values: Tensor, limits: Tensor) -> Tensor:
    """Values (.., M), clamped to limits (.., 2) and then from 0 to 1; 0 where these are equal."""
    import torch

    low, high = limits[..., :1], limits[..., 1:]
    width = high - low
    return (values.clamp(low, high) - low) / torch.where(width > 0, width, 1.0)
