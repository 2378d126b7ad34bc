"""KnOTS: TIES-Merging in directions that all experts share.

"Model Merging with SVD to Tie the Knots", Stoica et al., https://arxiv.org/abs/2410.19735, and its
code. Of each matrix [τ1 .. τT], side by side along the inputs, is U diag(σ) [V1 .. VT]ᵀ; where σ is
above 1e-5, the coordinates diag(σ) Vtᵀ = Uᵀτt take the place of τt. They go through TIES, which
looks at those of all matrices together and takes the mean of those that agree; U brings the result
back. λ is .6, as for its rank-16 experts of ViT-B/32 on eight tasks; it is searched on validation.

It was made for LoRA experts and needs their products alone. Experts that are tuned whole have all
directions, and more to compute. Their norms, biases and embeddings, which LoRA has none of, are
averaged. What TIES leaves of each task, brought back, are the effective task vectors.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from semerge.methods import FULL_SIZE, method
from semerge.methods.matrices import Others, by_matrix, stacks
from semerge.methods.ties import Density, ties

if TYPE_CHECKING:
    from torch import Tensor

    from semerge.task_vectors import TaskVectors

NULL = 1e-5  # a singular value of all experts side by side that is none, as published


@method("knots", title="KnOTS-TIES", paper="arXiv 2410.19735", scale=0.6, dear=FULL_SIZE, place=31)
def knots(vectors: TaskVectors, *, density: Density = 0.2, others: Others = "mean") -> TaskVectors:
    """Write the task vectors of each matrix in the directions of all of them together, and merge
    these coordinates by TIES."""
    return in_coordinates(vectors, lambda stack: (directions(stack), None), density, others)


def in_coordinates(
    vectors: TaskVectors,
    bases: Callable[[Tensor], tuple[Tensor, Tensor | None]],
    density: float,
    others: str,
) -> TaskVectors:
    """Write each matrix of the task vectors in bases of its outputs (out, r) and, if one is given,
    of its inputs (in, s), merge the coordinates of all matrices together by TIES, the mean of what
    agrees, and bring them back. bases: τ1 .. τT (T, out, in) -> the two."""
    import torch

    from semerge.task_vectors import Segment, TaskVectors

    both, coordinates = [], []
    for segment in vectors.segments:
        for name, stack in stacks(segment):
            left, right = bases(stack)
            own = left.mT @ stack if right is None else left.mT @ stack @ right
            rows = own.flatten(1)  # (T, r · s)
            weights = torch.cat([torch.zeros_like(rows[:1]), rows]).to(segment.weights)
            both.append((left, right))
            coordinates.append(Segment((name,), (tuple(own.shape[1:]),), weights, weights[0, :0]))
    merged = TaskVectors.of(coordinates, vectors.count)
    if merged.numel:
        merged = ties(merged, density=density, merge="mean")
    parts = zip(both, merged.deltas(), coordinates, strict=True)

    def back(stack: Tensor) -> Tensor:
        (left, right), rows, segment = next(parts)
        own = left @ rows.to(left).view(len(stack), *segment.shapes[0])
        return own if right is None else own @ right.mT

    return by_matrix(vectors, back, others)


def directions(stack: Tensor) -> Tensor:
    """U of the SVD of τ1 .. τT side by side, where σ > 1e-5: (T, out, in) to (out, r)."""
    import torch

    exact = stack.double()
    squares, u = torch.linalg.eigh((exact @ exact.mT).sum(0))
    return u[:, squares > NULL**2].to(stack)
