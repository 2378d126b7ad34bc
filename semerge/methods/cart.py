"""CART: the average, and the leading directions in which each expert differs from it.

"Revisiting Weight Averaging for Model Merging", Choi et al., https://arxiv.org/abs/2412.12153, and
its code. Of each matrix, with τ̄ the mean of the τt,

    τ̄ + gain · Σt (τt − τ̄) cut to its first k = ⌊low_rank · min(m, n)⌋ singular triplets, at least 1

The defaults are those of its eight tasks with ViT-B/32; it searches the gain on validation. All
else is averaged. With two tasks the two differences are opposite, and it is the average.

The terms τt / T + gain · (..) are the effective task vectors; λ is 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from semerge.methods import FULL_SIZE, method
from semerge.methods.matrices import Others, by_matrix, cut
from semerge.registry import Grid, Share, Within

if TYPE_CHECKING:
    from torch import Tensor

    from semerge.task_vectors import TaskVectors

LowRank = Annotated[
    Share, "share of the singular triplets of each difference that stay", Grid(0.04, 0.12, 0.25)
]
Gain = Annotated[float, Within(0.0, 5.0), "factor on what differs from the average"]


@method("cart", title="CART", paper="arXiv 2412.12153", scale=1.0, dear=FULL_SIZE, place=25)
def cart(
    vectors: TaskVectors, *, low_rank: LowRank = 0.12, gain: Gain = 2.0, others: Others = "mean"
) -> TaskVectors:
    """Average the experts and add, to a low rank, what makes each differ from the average."""

    def change(stack: Tensor) -> Tensor:
        rank = max(1, int(low_rank * min(stack.shape[1:])))
        return stack / len(stack) + gain * cut(stack - stack.mean(0), rank)

    return by_matrix(vectors, change, others)
