"""DOGE-TA: Task Arithmetic of task vectors that are moved together, so that it costs them least.

"Modeling Multi-Task Model Merging as Adaptive Projective Gradient Descent", Wei et al.,
https://arxiv.org/abs/2501.01230, by FusionBench's code. Of each matrix, with λt = η / ‖τt‖ and
Λ = Σt λt, one Δ for all tasks is learned from 0 by Adam (rate 1e-4, 400 steps) on

    Σt Σrows ⟨τt, τt − Σk λk τk − Λ Δ⟩²

where ⟨ , ⟩ goes over a row. Each gradient loses what is in the subspace that the tasks share: of
the leading ⌊q/T⌋ left singular vectors of every τt, q = min(out, in), the first ⌊q/6⌋ left singular
vectors. Of τt + Δ those entries stay where |τt| is among the largest 30 % over all matrices, times
λt. All else is the base's.

Null directions of a τt are in no subspace, as no data says where they point; a τt of zeros has λ 0.
Adam's rate is absolute: the result is not that of longer task vectors, scaled.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Annotated

from semerge.methods import method
from semerge.methods.matrices import by_matrix, stacks, svd
from semerge.methods.order import threshold
from semerge.registry import Grid, Share, Within

if TYPE_CHECKING:
    from torch import Tensor

    from semerge.task_vectors import TaskVectors

Eta = Annotated[
    float,
    Within(0.0, 1.0),
    "norm of each matrix of a task vector in the merge",
    Grid(0.03, 0.07, 0.15, 0.3),
]
Largest = Annotated[Share, "share of the largest entries over all matrices that stay"]
Steps = Annotated[int, Within(0, 2000), "how many steps the common change is learned"]
RATE = 1e-4
SHARED = 6  # one of so many directions is shared


@method("doge_ta", title="DOGE-TA", paper="arXiv 2501.01230", scale=1.0, dear=0, place=17)
def doge_ta(
    vectors: TaskVectors, *, eta: Eta = 0.07, largest: Largest = 0.3, steps: Steps = 400
) -> TaskVectors:
    """Learn one change of all task vectors that keeps each as it is in the merge, outside the
    subspace that they share, and add their largest entries, each task vector at one norm."""
    import torch

    limits = torch.stack([_limit(vectors, t, largest) for t in range(vectors.count)])

    def moved(stack: Tensor) -> Tensor:  # (T, out, in) -> (T, out, in)
        weights = factors(stack, eta)
        change = learned(stack, weights, steps)
        stays = stack.abs() >= limits.to(stack)[:, None, None]
        return torch.where(stays, stack + change, 0.0) * weights[:, None, None]

    return by_matrix(vectors, moved, "base")


def _limit(vectors: TaskVectors, t: int, share: float) -> Tensor:
    """The magnitude from which on entries of τt stay, as TIES has it, over the matrices alone."""
    import torch

    blocks = [s for s in vectors.segments if s.outputs_last is not None]
    total = sum(prod(shape) for s in blocks for shape in s.shapes if len(shape) == 2)
    entries = [x[t].abs().flatten() for s in blocks for _, x in stacks(s)]
    sizes = torch.cat(entries or [torch.zeros(0)])
    return threshold(sizes, total, share)


def factors(stack: Tensor, eta: float) -> Tensor:
    """λt = η / ‖τt‖ of one matrix, (T, out, in) to (T,); 0 for a τt of zeros."""
    import torch

    norms = stack.flatten(1).norm(dim=1)
    return torch.where(norms > 0, eta / norms, 0.0)


def residuals(stack: Tensor, weights: Tensor) -> Tensor:
    """⟨τt, τt − Σk λk τk⟩ of each row, (T, out): the loss is the sum of their squares, at Δ = 0."""
    import torch

    rest = stack - torch.einsum("t,toi->oi", weights, stack)
    return torch.einsum("toi,toi->to", stack, rest)


def learned(stack: Tensor, weights: Tensor, steps: int) -> Tensor:
    """Δ, (out, in)."""
    import torch

    least, total = min(stack.shape[1:]), weights.sum()
    directions = torch.cat([svd(tau, least // len(stack))[0] for tau in stack], dim=1)
    shared = svd(directions, least // SHARED)[0]  # (out, k)
    start = residuals(stack, weights)
    change, mean, square = (torch.zeros_like(stack[0]) for _ in range(3))
    for step in range(1, steps + 1):
        errors = start - total * torch.einsum("toi,oi->to", stack, change)
        gradient = -2 * total * torch.einsum("to,toi->oi", errors, stack)
        gradient -= shared @ (shared.mT @ gradient)
        # Adam by itself: torch.optim loads torch's compiler, which takes seconds
        mean.lerp_(gradient, 0.1)
        square.lerp_(gradient.square_(), 0.001)
        size = (square / (1 - 0.999**step)).sqrt_().add_(1e-8)
        change.addcdiv_(mean, size, value=-RATE / (1 - 0.9**step))
    return change
