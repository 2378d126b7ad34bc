"""Iso-C: the summed task vectors with a flat spectrum.

"No Task Left Behind: Isotropic Model Merging with Common and Task-Specific Subspaces", Marczak et
al., https://arxiv.org/abs/2502.04959, and its code. Of each matrix S = Σ τt = U diag(σ) Vᵀ becomes
mean(σ) · U Vᵀ; the mean is over all min(m, n) singular values, zeros among them. All else is
averaged. The paper searches the strength on validation; 1.5 are published rows, 1 is its start.

It acts on S alone, so it gives one merged model. Chosen here: directions with no singular value are
left out, as no data says where they point, so S = 0 stays 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from semerge.methods import FULL_SIZE, method
from semerge.methods.matrices import Others, Strength, one_model, svd

if TYPE_CHECKING:
    from torch import Tensor

    from semerge.task_vectors import TaskVectors


@method("iso_c", title="Iso-C", paper="arXiv 2502.04959", scale=1.0, dear=FULL_SIZE, place=21)
def iso_c(
    vectors: TaskVectors, *, strength: Strength = 1.0, others: Others = "mean"
) -> dict[str, Tensor]:
    """Give the sum of the task vectors the same singular value in all directions of a matrix."""

    def flat(stack: Tensor) -> Tensor:
        u, sigma, v = svd(stack.sum(0))
        return sigma.sum() / min(stack.shape[1:]) * (u @ v.mT)

    return one_model(vectors, flat, others, strength)
