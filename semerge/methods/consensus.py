"""Consensus Task Arithmetic: a number stays where several tasks need it.

By its TALL mask, task t needs the numbers with |τt| > λ |S − τt|, S = Σt τt; those that fewer than
k tasks need are the base's, the others are merged by Task Arithmetic. "Localizing Task Information
for Improved Model Merging and Compression", Wang et al., https://arxiv.org/abs/2405.07813.
Published, λ is chosen for each task of .2 to .6, and the scale of the merge too, by validation
accuracy. This variant needs no data: one λ for all tasks, and the suite's own scale.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from semerge.methods import method
from semerge.registry import Grid, Within

if TYPE_CHECKING:
    from torch import Tensor

    from semerge.task_vectors import TaskVectors

Strictness = Annotated[
    float,
    Within(0.0, 2.0),
    "λ of the masks: the larger, the less a task needs",
    Grid(0.2, 0.3, 0.4, 0.5, 0.6),
]
Agreement = Annotated[int, Within(1, 20), "how many tasks need a number that stays"]


@method("consensus", title="Consensus Task Arithmetic", paper="arXiv 2405.07813", place=14)
def consensus(
    vectors: TaskVectors, *, strictness: Strictness = 0.4, agreement: Agreement = 2
) -> TaskVectors:
    """Leave those numbers at the base that too few tasks need, by one λ for all tasks and without
    data, and add the task vectors in the others."""
    import torch

    def agreed(deltas: Tensor) -> Tensor:  # (T, M) -> (T, M)
        needs = deltas.abs() > strictness * (deltas.sum(0) - deltas).abs()
        return torch.where(needs.sum(0) >= agreement, deltas, 0.0)

    return vectors.mapped(agreed)
