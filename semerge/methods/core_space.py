"""Core Space: TIES-Merging in the directions that low-rank experts write to and read from.

"Accurate and Efficient Low-Rank Model Merging in Core Space", Panariello et al.,
https://arxiv.org/abs/2509.17786, and its code. Of experts τt = Bt At, U is a basis of what all Bt
write to and V one of what all At read; τt is U Mt Vᵀ without loss, and the small Mt are merged by
any method, here by TIES, whose result U M Vᵀ is. Task Arithmetic of the Mt is that of the τt.

What is loaded are products, not factors; both bases follow from them: U is that of [τ1 .. τT] side
by side, V that of the τt below each other. Of experts that are tuned whole, both have all
directions. The code's λ is searched on validation; here it is .6, as KnOTS has it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from semerge.methods import FULL_SIZE, method
from semerge.methods.knots import directions, in_coordinates
from semerge.methods.matrices import Others
from semerge.methods.ties import Density

if TYPE_CHECKING:
    from semerge.task_vectors import TaskVectors


@method(
    "core_space",
    title="Core Space",
    paper="arXiv 2509.17786",
    scale=0.6,
    dear=FULL_SIZE,
    place=32,
)
def core_space(
    vectors: TaskVectors, *, density: Density = 0.2, others: Others = "mean"
) -> TaskVectors:
    """Write the task vectors of each matrix in the directions that all of them write to and read
    from, and merge these small coordinates by TIES."""
    return in_coordinates(
        vectors, lambda stack: (directions(stack), directions(stack.mT)), density, others
    )
