"""WUDI-Merging in closed form: the merge whose distance to no task vector is read by its inputs.

"Whoever Started the Interference Should End It: Guiding Data-Free Model Merging via Task Vectors",
Cheng et al., https://arxiv.org/abs/2503.08099; its closed form and the filters are of
arXiv 2606.07289 and its code. Of each matrix M minimises Σt ‖(M − τt) τtᵀ‖² / ‖τt‖², so it is the
regression merge with Gt = τtᵀτt / ‖τt‖². With Σ Gt = Q Λ Qᵀ, S = Σ τt and the optimum M*, a filter
0 ≤ f(λ) ≤ 1 goes only so far from the start of the descent that it replaces:

    M = S + (M* − S) Q diag(f) Qᵀ

    exact         f = 1: the pseudo-inverse, without what float32 can't tell from zero
    exponential   f = 1 − exp(−time · λ), time 300: as many steps of descent
    swudi         the same with time 1300 (1800 for ViT-B/16), in the top 65 % of the directions
    aswudi        f = 1 in the top K = ⌈(Σ √λ)² / Σ λ⌉ directions, 0 in the others

The default is the last, which has nothing to tune. The paper descends by Adam with an absolute rate
from S, so that its result depends on the size of τ; this does not. λ is 1. All else is averaged,
where the authors' vision code leaves it at the base.

The terms τt Gt (..) + τt (I − Q diag(f) Qᵀ) of that sum are the effective task vectors. A task
vector that is zero has no say.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Annotated, Literal

from semerge.methods import FULL_SIZE, method
from semerge.methods.matrices import Others, by_matrix, regression_merge, solvable
from semerge.registry import Grid, Within

if TYPE_CHECKING:
    from torch import Tensor

    from semerge.task_vectors import TaskVectors

Filter = Annotated[
    Literal["aswudi", "swudi", "exponential", "exact"],
    "how far each direction goes to the optimum",
    Grid("aswudi", "swudi", "exponential"),
]
Time = Annotated[
    float,
    Within(0.0, 10_000.0),
    "of the filters exponential and swudi; at 0 the published 300 and 1300",
]
TIMES = {"exponential": 300.0, "swudi": 1300.0}
TOP = 0.65  # share of the directions that SWUDI moves


@method("wudi", title="WUDI-Merging", paper="arXiv 2503.08099", scale=1.0, dear=FULL_SIZE, place=23)
def wudi(
    vectors: TaskVectors, *, filter: Filter = "aswudi", time: Time = 0.0, others: Others = "mean"
) -> TaskVectors:
    """Merge so that what differs from each task vector lies where that one reads nothing: least
    squares in closed form, with a filter."""

    def change(stack: Tensor) -> Tensor:
        if filter == "exact":  # which divides by the smallest eigenvalues too
            stack = stack.double()
        return regression_merge(stack, own_grams(stack), response(filter, time), rest=stack)

    return by_matrix(vectors, change, others)


def own_grams(stack: Tensor) -> Callable[[int], Tensor]:
    """t -> τtᵀτt / ‖τt‖², or 0 where τt is: (in, in)."""
    import torch

    squares = stack.square().sum((1, 2))
    units = stack / torch.where(squares > 0, squares, 1.0).sqrt()[:, None, None]
    return lambda t: units[t].mT @ units[t]


def response(filter: str, time: float) -> Callable[[Tensor], Tensor]:
    """The f(λ) of a filter."""
    if filter in TIMES:
        return partial(descent, time=time or TIMES[filter], top=filter == "swudi")
    return solvable if filter == "exact" else effective


def descent(values: Tensor, time: float, top: bool) -> Tensor:
    """Eigenvalues, ascending -> how far gradient descent is after a time; of the top ones alone."""
    far = 1 - (-values * time).exp()
    if top:
        far[: len(far) - math.ceil(TOP * len(far))] = 0
    return far


def effective(values: Tensor) -> Tensor:
    """Eigenvalues, ascending -> 1 for the top ones, as many as effectively count, 0 for others."""
    import torch

    total, far = values.sum(), torch.zeros_like(values)
    if total > 0:
        count = math.ceil(float(values.sqrt().sum() ** 2 / total) - 1e-6)  # what rounding adds
        far[len(far) - count :] = 1
    return far
