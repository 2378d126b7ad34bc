"""TALL models: of the sum of all task vectors, the part that a task needs. Told the task.

"Localizing Task Information for Improved Model Merging and Compression", Wang et al.,
https://arxiv.org/abs/2405.07813: m_t = |τt| > λ |S − τt|, S = Σ τt, and the model of task t is
θ0 + m_t ⊙ S. Published, λ is chosen for each task of .2 to .6 by validation accuracy; here it is .4
for all, as no label is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from semerge.evaluation.dynamic import Made, dynamic, told

if TYPE_CHECKING:
    from torch import Tensor

    from semerge.engine import Engine
    from semerge.task_vectors import TaskVectors

STRICTNESS = 0.4


@dynamic(
    "tall",
    title="TALL models",
    paper="arXiv 2405.07813",
    model=True,
    head="told",
    note="told the task; one mask a task over the sum of all task vectors",
)
def tall(engine: Engine, method: str) -> Made:
    """Of each task, the base plus what its mask leaves of the sum of all task vectors."""
    return models_of(engine, localised(engine.models.vectors))


def localised(vectors: TaskVectors, strictness: float = STRICTNESS) -> TaskVectors:
    """m_t ⊙ S in place of τt."""
    import torch

    def masked(deltas: Tensor) -> Tensor:  # (T, M) -> (T, M)
        total = deltas.sum(0)
        return torch.where(deltas.abs() > strictness * (total - deltas).abs(), total, 0.0)

    return vectors.mapped(masked)


def models_of(engine: Engine, vectors: TaskVectors, floats: int = 0) -> Made:
    """One model a task, from one vector that all share and a mask of bits for each: the base, the
    vector, the masks and so many numbers are held."""
    changing = sum(segment.changing for segment in vectors.segments)
    size = 4 * (vectors.numel + changing + floats) + vectors.count * -(-changing // 8)
    return told(engine, vectors, size)
