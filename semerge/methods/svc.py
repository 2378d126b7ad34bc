"""SVC: Task Arithmetic with what the tasks share counted once.

"Singular Value Calibration", https://arxiv.org/abs/2602.05536, by FusionBench's code. Of each
matrix ΔM = Σ τt = U diag(σ) Vᵀ. Along the left direction ur, a_r = urᵀΔM is the merge and
a_r^t = urᵀτt a task: s_r^t = ⟨a_r, a_r^t⟩ / ‖a_r^t‖² tells how often the merge has what the task
has, and σr is multiplied by

    gr = T / Σt max(least, s_r^t)

It is at least .1 as published (.2 after Iso-CTS). It only looks at left directions, so outputs and
inputs are not alike here. All else is averaged.

Chosen here: the merge that it follows is the sum, and λ is 1; any other λ before it cancels but in
that bound. With ΔM = Σ τt the calibrated merge is Σt U diag(g) Uᵀτt, whose terms are the effective
task vectors. A task that is zero along ur counts as the least.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from semerge.methods import FULL_SIZE, method
from semerge.methods.matrices import Others, by_matrix, svd
from semerge.registry import Grid, Within

if TYPE_CHECKING:
    from torch import Tensor

    from semerge.task_vectors import TaskVectors

Least = Annotated[
    float,
    Within(0.01, 1.0),
    "least share of a task that a direction counts as",
    Grid(0.05, 0.1, 0.2, 0.4),
]


@method(
    "svc",
    title="Task Arithmetic with SVC",
    paper="arXiv 2602.05536",
    scale=1.0,
    dear=FULL_SIZE,
    place=24,
)
def svc(vectors: TaskVectors, *, least: Least = 0.1, others: Others = "mean") -> TaskVectors:
    """Add the task vectors, and shrink the directions that several of them have in common."""

    def calibrated(stack: Tensor) -> Tensor:
        u, _, _ = svd(stack.sum(0))
        parts = u.mT @ stack  # (T, r, in)
        products = (parts.sum(0) * parts).sum(-1)  # (T, r)
        shares = (products / parts.square().sum(-1)).nan_to_num(0.0, 0.0, 0.0)
        gamma = len(stack) / shares.clamp(min=least).sum(0)
        return (u * gamma) @ parts

    return by_matrix(vectors, calibrated, others)
