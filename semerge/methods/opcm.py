"""OPCM: the experts merged one after the other, each without what the earlier ones hold.

"Merging Models on the Fly Without Retraining: A Sequential Approach to Scalable Continual Model
Merging", Tang et al., https://arxiv.org/abs/2501.09522, by FusionBench's code. Of each matrix
S̃1 = τ1, and with the SVD S̃ = U diag(σ) Vᵀ of what is merged so far, P = Uᵀ τt V loses its diagonal
and its block P[:k, :k], and U P Vᵀ is added. k counts the singular values whose cumulative share of
their sum is not above `held`; the code's index is one less than the paper's rank, and is taken. All
else is added as it is. In the end all that changed is scaled to the mean length of the τt: one
number, to which the code's scaling after each task comes down. λ is 1.

The τt so cleaned and scaled are the effective task vectors. Their order counts: it is the suite's,
where the code shuffles. Chosen here: null directions of S̃ take nothing off.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from semerge.methods import FULL_SIZE, method
from semerge.methods.matrices import by_matrix, scale, svd
from semerge.registry import Grid, Share, Within

if TYPE_CHECKING:
    from torch import Tensor

    from semerge.task_vectors import TaskVectors

Held = Annotated[
    Share,
    "share of the singular values whose directions the earlier tasks hold",
    Grid(0.2, 0.5, 0.8),
]
Shuffle = Annotated[int, Within(0, 9999), "0: the tasks in their order; else a seed of another one"]


@method("opcm", title="OPCM", paper="arXiv 2501.09522", scale=1.0, dear=FULL_SIZE, place=26)
def opcm(vectors: TaskVectors, *, held: Held = 0.5, shuffle: Shuffle = 0) -> TaskVectors:
    """Add one task vector after the other, each without its part along the leading directions of
    what was merged before."""
    import torch

    order = list(range(vectors.count))
    if shuffle:
        generator = torch.Generator().manual_seed(shuffle)
        order = torch.randperm(vectors.count, generator=generator).tolist()

    def cleaned(stack: Tensor) -> Tensor:
        terms, merged = stack.clone(), stack[order[0]]
        for t in order[1:]:
            u, sigma, v = svd(merged)
            k = int((sigma.cumsum(0) <= held * sigma.sum()).sum())
            inside = u.mT @ stack[t] @ v
            lost = torch.diag(inside.diagonal())
            lost[:k, :k] = inside[:k, :k]
            terms[t] -= u @ lost @ v.mT
            merged = merged + terms[t]
        return terms

    made = by_matrix(vectors, cleaned, "sum")
    length = float(made.gram().sum().clamp(min=0).sqrt())
    wanted = float(vectors.gram().diagonal().sqrt().mean())
    for segment in made.segments if length else ():
        scale(segment.weights, wanted / length)
    return made
