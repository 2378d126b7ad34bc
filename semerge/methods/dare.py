"""DARE: drop numbers of the task vectors at random and rescale the others.

Each number of each task vector is dropped with probability p, and what stays is divided by 1 − p,
so that its expectation stays; then Task Arithmetic. "Language Models are Super Mario", Yu et al.,
https://arxiv.org/abs/2311.03099. By "norm" a tensor is rescaled to its own l1 norm instead, as
mergekit does. A task's draws depend on `draw` and its number alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from semerge.methods import method
from semerge.registry import Grid, Seed, Within

if TYPE_CHECKING:
    from torch import Tensor

    from semerge.task_vectors import TaskVectors

Drop = Annotated[
    float,
    Within(0.0, 0.99),
    "how likely each number of a task vector is dropped",
    Grid(0.3, 0.5, 0.7, 0.9),
]
Rescale = Annotated[
    Literal["share", "norm"], "by what the others are rescaled: their share, or a tensor's l1 norm"
]


@method("dare", title="DARE", paper="arXiv 2311.03099", scale=0.3, place=10)
def dare(
    vectors: TaskVectors, *, drop: Drop = 0.5, rescale: Rescale = "share", draw: Seed = 0
) -> TaskVectors:
    """Drop numbers of each task vector at random, rescale the others, and add."""
    import torch

    generators = [torch.Generator().manual_seed(draw * 2**16 + t) for t in range(vectors.count)]

    def thinned(deltas: Tensor) -> Tensor:
        for row, generator in zip(deltas, generators, strict=True):
            stays = (torch.rand(row.shape, generator=generator) >= drop).to(row.device)
            row.copy_(rescaled(row, stays, drop, rescale))
        return deltas

    return vectors.mapped_by_tensor(thinned)


def rescaled(delta: Tensor, stays: Tensor, drop: float, rescale: str) -> Tensor:
    """One task vector's numbers in one tensor without those dropped, at the mean or norm of all."""
    import torch

    rest = torch.where(stays, delta, 0.0)
    if rescale == "share":
        return rest / (1 - drop)
    norm = rest.abs().sum()
    return rest * (delta.abs().sum() / torch.where(norm > 0, norm, 1.0))
