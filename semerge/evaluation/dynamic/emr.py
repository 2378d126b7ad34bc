"""EMR-Merging: one unified task vector, and of each task a mask and a rescaler. Told the task.

"EMR-Merging: Tuning-Free High-Performance Model Merging", Huang et al.,
https://arxiv.org/abs/2405.17461, and its code. By tensor, σ is the sign of the mean of
τt, where a sum of zero counts as negative; m_t = τt σ > 0; the unified vector is σ max_t |m_t τt|.
The rescaler s_t is the ratio of two sums of means over the tensors, of |τt| and of m_t times the
unified vector's size. The model of task t is θ0 + s_t m_t times the unified vector.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from semerge.evaluation.dynamic import Made, dynamic
from semerge.evaluation.dynamic.tall import models_of

if TYPE_CHECKING:
    from torch import Tensor

    from semerge.engine import Engine
    from semerge.task_vectors import TaskVectors


@dynamic(
    "emr",
    title="EMR-Merging",
    paper="arXiv 2405.17461",
    model=True,
    head="told",
    note="told the task; one mask and one factor a task over a unified task vector",
)
def emr(engine: Engine, method: str) -> Made:
    """Of each task, the base plus its mask of the unified task vector, rescaled."""
    vectors = engine.models.vectors
    return models_of(engine, unified(vectors), vectors.count)


def unified(vectors: TaskVectors) -> TaskVectors:
    """s_t m_t ⊙ τuni in place of τt."""
    import torch

    own = torch.zeros(vectors.count, dtype=torch.float64, device=vectors.device)
    left = torch.zeros_like(own)

    def masked(deltas: Tensor) -> Tensor:  # (T, *shape) -> (T, *shape)
        direction = torch.where(deltas.mean(0) > 0, 1.0, -1.0)
        kept = torch.where(deltas * direction > 0, deltas.abs(), 0.0)
        found = torch.where(kept > 0, direction * kept.amax(0), 0.0)
        nonlocal own, left
        own = own + deltas.abs().flatten(1).double().mean(1)
        left = left + found.abs().flatten(1).double().mean(1)
        return found

    parts = vectors.mapped_by_tensor(masked)
    factors = torch.where(left > 0, own / left.clamp(min=1e-30), 0.0).to(torch.float32)
    return parts.mapped(lambda deltas: deltas * factors[:, None])
