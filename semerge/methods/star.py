"""STAR: every task vector cut to its leading singular triplets, and these made larger.

"STAR: Spectral Truncation and Rescale for Model Merging", Lee et al.,
https://arxiv.org/abs/2502.10339, and its code. Of each matrix and task the first singular values σ
stay, up to the one with which their sum reaches `nuclear` of Σσ; they are multiplied by Σσ / their
own sum, so that the nuclear norm is what it was. Then the experts are averaged, all else with them:
λ is 1 / T. The results are the effective task vectors. It was made for LoRA experts.

Chosen here: null directions are left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from semerge.methods import FULL_SIZE, method
from semerge.methods.matrices import by_matrix, svd
from semerge.registry import Grid, Share

if TYPE_CHECKING:
    from torch import Tensor

    from semerge.task_vectors import TaskVectors

Nuclear = Annotated[
    Share, "share of the sum of singular values up to which they stay", Grid(0.2, 0.4, 0.6, 0.8)
]


@method(
    "star",
    title="STAR",
    paper="arXiv 2502.10339",
    scale=lambda tasks: 1 / tasks,
    dear=FULL_SIZE,
    place=29,
)
def star(vectors: TaskVectors, *, nuclear: Nuclear = 0.4) -> TaskVectors:
    """Cut each task vector to its leading singular triplets, enlarge these to the same nuclear
    norm, and average."""
    import torch

    def cut(tau: Tensor) -> Tensor:
        u, sigma, v = svd(tau)
        sums = sigma.cumsum(0)
        r = int((sums < nuclear * sigma.sum() * (1 - 1e-6)).sum()) + 1  # what rounding takes off
        first = sigma[:r] * (sigma.sum() / sigma[:r].sum())
        return (u[:, :r] * first) @ v[:, :r].mT

    return by_matrix(vectors, lambda stack: torch.stack(list(map(cut, stack))), "sum")
