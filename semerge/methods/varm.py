"""VaRM: each tensor is merged by how much the experts change it.

θ0 + Σt wt τt, with wt = mean(τt²) / Σk mean(τk²) tensor by tensor, so that the weights of a tensor
sum to 1. "Knowledge Fusion of Chat LLMs", Wan et al., https://arxiv.org/abs/2402.16107; its code is
not public, the formula is that of summaries. A tensor whose task vectors are all 0 has equal
weights.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from semerge.methods import method

if TYPE_CHECKING:
    from torch import Tensor

    from semerge.task_vectors import TaskVectors


@method("varm", title="VaRM", paper="arXiv 2402.16107", scale=1.0, place=12)
def varm(vectors: TaskVectors) -> TaskVectors:
    """Weight the task vectors, tensor by tensor, by their mean squares; the weights sum to 1."""
    return vectors.mapped_by_tensor(lambda deltas: weights(deltas) * deltas)


def weights(deltas: Tensor) -> Tensor:
    """The share of each task vector of one tensor (T, \\*shape) in the sum of their mean squares,
    (T, 1 ..)."""
    import torch

    squares = deltas.square().mean(dim=tuple(range(1, deltas.dim())), keepdim=True)
    total = squares.sum(0)
    return torch.where(total > 0, squares / total, 1 / len(deltas))
