"""Iso-CTS: a flat spectrum over directions of all tasks, and over some of each task's own.

"No Task Left Behind: Isotropic Model Merging with Common and Task-Specific Subspaces", Marczak et
al., https://arxiv.org/abs/2502.04959, and its code. Of each matrix, with q = min(m, n), the top c
singular triplets Uc, σc, Vc of S = Σ τt are common, and of τt − Uc Ucᵀ τt the top k = (q − c) / T
are the task's own; c is the share of q that `common` says, moved so that k is whole. The polar
factors of all left and of all right directions, times the mean of the q singular values, are the
merge. Only the left common space is taken off, so outputs and inputs are not alike here. All else
is averaged. The paper searches the strength on validation; 1.5 are published rows, 1 is its start.

It gives one merged model, as what is common is no task's. Chosen here: null directions are left
out, and k is rounded down where the published rounding would take more than q directions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from semerge.methods import FULL_SIZE, method
from semerge.methods.matrices import Others, Strength, one_model, polar, svd
from semerge.registry import Grid, Share

if TYPE_CHECKING:
    from torch import Tensor

    from semerge.task_vectors import TaskVectors

Common = Annotated[
    Share, "share of the directions that all tasks have in common", Grid(0.6, 0.8, 0.9)
]


@method("iso_cts", title="Iso-CTS", paper="arXiv 2502.04959", scale=1.0, dear=FULL_SIZE, place=22)
def iso_cts(
    vectors: TaskVectors,
    *,
    common: Common = 0.8,
    strength: Strength = 1.0,
    others: Others = "mean",
) -> dict[str, Tensor]:
    """Give the same singular value to the common directions of the summed task vectors and to the
    leading further ones of each task."""
    import torch

    def flat(stack: Tensor) -> Tensor:
        count, q = len(stack), min(stack.shape[1:])
        own = min(round((q - int(common * q)) / count), q // count)  # k
        size = torch.linalg.vector_norm(stack)
        shared = svd(stack.sum(0), q - own * count, size)
        left = shared[0]
        triplets = [svd(tau - left @ (left.mT @ tau), own, size) for tau in stack]
        u, sigma, v = zip(*triplets, shared, strict=True)
        directions = torch.cat(polar(u), dim=1) @ torch.cat(polar(v), dim=1).mT
        return torch.cat(sigma).sum() / q * directions

    return one_model(vectors, flat, others, strength)
