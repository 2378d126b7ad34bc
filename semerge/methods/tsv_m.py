"""TSV-M: the leading singular triplets of every expert, their directions made orthogonal.

"Task Singular Vectors", Gargiulo et al., https://arxiv.org/abs/2412.00081, and its code. Of each
matrix (m, n), τt is cut to its first r = ⌊min(m, n) / T⌋ triplets Ut Σt Vtᵀ. [U1 .. UT] and
[V1 .. VT] are replaced by their polar factors Û and V̂, and Σt Ût Σt V̂tᵀ is the merge. λ is 1, as
the paper has it without tuning; it also searches (0, 3] on validation. All else is averaged.

Chosen here: the terms Ût Σt V̂tᵀ are the effective task vectors; null directions are dropped before
the polar factors, as no data says where they point. Where T is above min(m, n), r would be 0, and
the matrix is averaged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from semerge.methods import FULL_SIZE, method
from semerge.methods.matrices import Others, by_matrix, polar, svd

if TYPE_CHECKING:
    from torch import Tensor

    from semerge.task_vectors import TaskVectors


@method("tsv_m", title="TSV-M", paper="arXiv 2412.00081", scale=1.0, dear=FULL_SIZE, place=20)
def tsv_m(vectors: TaskVectors, *, others: Others = "mean") -> TaskVectors:
    """Keep each expert's leading singular triplets of every matrix, an equal number of each, and
    make their directions orthogonal."""
    return by_matrix(vectors, orthogonal_triplets, others)


def orthogonal_triplets(stack: Tensor, ranks: list[int] | None = None) -> Tensor:
    """The terms Ût Σt V̂tᵀ of τt, (T, m, n) to (T, m, n). ranks: how many triplets of each, by
    default ⌊min(m, n) / T⌋."""
    import torch

    count, least = len(stack), min(stack.shape[1:])
    if count > least:
        return stack / count
    ranks = ranks or [least // count] * count
    u, sigma, v = zip(*map(svd, stack, ranks), strict=True)
    terms = zip(polar(u), sigma, polar(v), strict=True)
    return torch.stack([(left * s) @ right.mT for left, s, right in terms])
