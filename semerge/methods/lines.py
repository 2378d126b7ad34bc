"""LiNeS: task vectors count more from block to block.

The task vectors are scaled by α + β · l / (L − 1) in block l = 0 .. L − 1 and by α in all that is
in no block; α = 1/T. "LiNeS: Post-training Layer Scaling Prevents Forgetting and Enhances Model
Merging", Wang et al., https://arxiv.org/abs/2410.17146. Published, α is 1/T times the quotient of
the l1 norms of Σ τt and of what is merged, which for Task Arithmetic is 1, and β is searched in
(0, 1] on validation: its default here is the middle of that. The block of a model with a single
one, where the formula divides by 0, has α + β.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from semerge.methods import method
from semerge.registry import Grid, Within

if TYPE_CHECKING:
    from semerge.task_vectors import TaskVectors

Floor = Annotated[float, Within(0.0, 10.0), "T times the factor of the first block"]
Slope = Annotated[
    float,
    Within(0.0, 1.0),
    "how much larger the last block's factor is",
    Grid(0.25, 0.5, 0.75, 1.0),
]


@method("lines", title="LiNeS", paper="arXiv 2410.17146", scale=1.0, place=13)
def lines(vectors: TaskVectors, *, floor: Floor = 1.0, slope: Slope = 0.5) -> TaskVectors:
    """Scale the task vectors by a factor that rises from the first block to the last."""
    depth = len(vectors.segments) - 2  # between the embedding and the end
    least = floor / vectors.count
    rise = [slope * (block / (depth - 1) if depth > 1 else 1.0) for block in range(depth)]
    factors = iter([least, *(least + each for each in rise), least])
    return vectors.mapped(lambda deltas: deltas.mul_(next(factors)))
