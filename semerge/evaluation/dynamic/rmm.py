"""RMM: the experts in less room. A few directions that all share, and each expert's place in them.

"Towards Reversible Model Merging For Low-rank Weights", https://arxiv.org/abs/2510.14163. There the
experts are of low rank, and what is kept is of the numbers at one place of their factors: their
mean and p directions. Here, a reading of this project, it is of each tensor as a whole: the p
directions u of τ1 .. τT that hold most of them, so that Σ u uᵀ τt is the expert that is rebuilt
when it is needed. From p = T on that is τt itself. It merges nothing: told the task, it shows what
accuracy so many numbers keep.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from semerge.evaluation.dynamic import Made, dynamic, told

if TYPE_CHECKING:
    from torch import Tensor

    from semerge.engine import Engine
    from semerge.task_vectors import TaskVectors

NOTE = "told the task; its expert is rebuilt from {} of each tensor that all experts share"


def rebuilt(vectors: TaskVectors, directions: int) -> TaskVectors:
    """Σ u uᵀ τt in place of τt, tensor by tensor."""
    import torch

    def nearest(deltas: Tensor) -> Tensor:  # (T, *shape) -> (T, *shape)
        rows = deltas.flatten(1).double()
        # in the space of the T experts: the rows' u uᵀ is v vᵀ of the leading eigenvectors of G
        v = torch.linalg.eigh(rows @ rows.mT).eigenvectors[:, -directions:]
        return (v @ (v.mT @ rows)).to(deltas.dtype).view_as(deltas)

    return vectors.mapped_by_tensor(nearest)


def store(engine: Engine, directions: int) -> Made:
    """The experts as they are rebuilt from so many directions. Held are the base, the directions of
    what changes, and a number for each tensor, expert and direction."""
    vectors = engine.models.vectors
    kept = min(directions, vectors.count)
    experts = rebuilt(vectors, kept)
    changing = sum(segment.changing for segment in vectors.segments)
    tensors = sum(len(segment.own) for segment in vectors.segments)
    numbers = vectors.numel + kept * changing + kept * vectors.count * tensors
    return told(engine, experts, 4 * numbers)


def _row(directions: int, words: str) -> None:
    @dynamic(
        f"rmm_{directions}",
        title=f"RMM, {words}",
        paper="arXiv 2510.14163",
        model=True,
        head="told",
        note=NOTE.format(words),
    )
    def rmm(engine: Engine, method: str) -> Made:
        return store(engine, directions)


_row(1, "1 direction")
_row(2, "2 directions")
_row(4, "4 directions")
