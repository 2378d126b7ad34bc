"""R-TSVM, a reading: TSV-M with weights against outliers, and ranks by how dense the experts are.

arXiv 2502.06876 (v3 calls it RESM) says that it is TSV-M with outlier-aware weights and a rank that
follows the sparsity of each layer; no formula, threshold or code of it is public. This keeps the
idea, and its figures are not the paper's. Of each matrix, with q = min(m, n):

    τ̂t = τt clipped to its mean ± outlier · its standard deviation
    wt = T · ht / Σ h, where ht = ‖τ̂t‖₁ / ‖τt‖₁ is the share that is left
    rt = ⌊q / T · Dt / mean D⌋, at least 1, where Dt = 1 − Hoyer's sparsity of τ̂t;
         the largest is lowered, the first of equals, until Σ r ≤ q

and TSV-M of the wt τ̂t with these ranks. It is TSV-M where nothing is clipped and all are equally
dense. A task vector that is zero is left out, and where T is above q the matrix is averaged.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated

from semerge.methods import FULL_SIZE, method
from semerge.methods.matrices import Others, by_matrix
from semerge.methods.tsv_m import orthogonal_triplets
from semerge.registry import Grid, Within

if TYPE_CHECKING:
    from torch import Tensor

    from semerge.task_vectors import TaskVectors

Outlier = Annotated[
    float,
    Within(0.5, 100.0),
    "standard deviations from which on one is clipped",
    Grid(2.0, 3.0, 5.0),
]


@method(
    "r_tsvm",
    title="R-TSVM (reading)",
    paper="arXiv 2502.06876",
    scale=1.0,
    dear=FULL_SIZE,
    place=28,
)
def r_tsvm(vectors: TaskVectors, *, outlier: Outlier = 3.0, others: Others = "mean") -> TaskVectors:
    """Clip outliers, weigh each expert by what is left, and give TSV-M's triplets to the experts by
    how dense they are. A reading: the paper's formula is not public."""
    import torch

    def change(stack: Tensor) -> Tensor:
        terms, live = torch.zeros_like(stack), stack.flatten(1).any(1)
        taus, q = stack[live], min(stack.shape[1:])
        if len(taus) > q:
            return stack / len(stack)
        if len(taus):
            spread = outlier * taus.std((1, 2), correction=0, keepdim=True)
            mean = taus.mean((1, 2), keepdim=True)
            clipped = taus.clamp(mean - spread, mean + spread)
            left = clipped.abs().sum((1, 2)) / taus.abs().sum((1, 2))
            weights = len(taus) * left / left.sum()
            ranks = shared_ranks(densities(clipped), q)
            terms[live] = orthogonal_triplets(weights[:, None, None] * clipped, ranks)
        return terms

    return by_matrix(vectors, change, others)


def densities(stack: Tensor) -> list[float]:
    """1 − Hoyer's sparsity of each matrix: 0 of one number among zeros, 1 of all alike."""
    rows = stack.flatten(1)
    root = math.sqrt(rows.shape[1])
    ratio = rows.abs().sum(1) / rows.square().sum(1).sqrt()
    return ((ratio - 1) / (root - 1) if root > 1 else ratio).tolist()


def shared_ranks(density: list[float], q: int) -> list[int]:
    """How many of q triplets each task gets: by its density, one or more, q in all at most."""
    total = sum(density)
    even = 1 / len(density)
    ranks = [max(1, int(q * (d / total if total else even) + 1e-9)) for d in density]
    while sum(ranks) > q:
        ranks[ranks.index(max(ranks))] -= 1
    return ranks
