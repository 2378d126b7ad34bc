"""OptMerge: WUDI with cleaned targets, read by the leading inputs of each task vector alone.

"OptMerge", https://arxiv.org/abs/2505.19892, by its code, which descends from S = Σ τt by 300 steps
of Adam. Here it is in closed form, with WUDI's filters in the place of so few steps: its optimum
itself is ill-posed, and some times as long as S. Of each matrix, K = ⌊min(m, n) / T⌋, and with τ̄
the mean of the τt

    τ̃t = τ̄ + (τt − τ̄) cut to its first K singular triplets
    Pt = diag(σ) Vᵀ of the first K triplets of τt

M minimises Σt ‖(M − τ̃t) Ptᵀ‖² / ‖τt‖². It is the regression merge of the τ̃t with the Gram matrices
PtᵀPt / ‖τt‖²; where none of them reads, M stays at S, as the descent does. λ is 1; its authors also
use .1 and .2 for language models. All else is averaged.

The default filter is WUDI's. The terms, with τt where none reads, are the effective task vectors.
Chosen here: a task vector that is zero has no say, and where T is above min(m, n), K would be 0,
and the matrix is averaged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from semerge.methods import FULL_SIZE, method
from semerge.methods.matrices import Others, by_matrix, cut, regression_merge, svd
from semerge.methods.wudi import Filter, Time, response

if TYPE_CHECKING:
    from torch import Tensor

    from semerge.task_vectors import TaskVectors


@method("optmerge", title="OptMerge", paper="arXiv 2505.19892", scale=1.0, dear=FULL_SIZE, place=30)
def optmerge(
    vectors: TaskVectors, *, filter: Filter = "aswudi", time: Time = 0.0, others: Others = "mean"
) -> TaskVectors:
    """WUDI-Merging with targets whose differences from the mean, and inputs, are cut to their
    leading singular triplets."""
    import torch

    def change(stack: Tensor) -> Tensor:
        if filter == "exact":  # as in WUDI
            stack = stack.double()
        rank = min(stack.shape[1:]) // len(stack)
        if not rank:
            return stack / len(stack)
        mean = stack.mean(0)
        targets = mean + cut(stack - mean, rank)
        lengths = torch.linalg.matrix_norm(stack)
        inputs = [
            (v * sigma).mT / length  # (K, in), none of a zero
            for (_, sigma, v), length in zip(
                (svd(tau, rank) for tau in stack), lengths, strict=True
            )
        ]

        def gram(t: int) -> Tensor:
            return inputs[t].mT @ inputs[t]

        return regression_merge(targets, gram, response(filter, time), rest=stack)

    return by_matrix(vectors, change, others)
