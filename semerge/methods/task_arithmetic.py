"""Task Arithmetic: θM = θ0 + λ Σt τt, one λ for all tasks.

"Editing Models with Task Arithmetic", Ilharco et al., https://arxiv.org/abs/2212.04089.
"""

from __future__ import annotations

import torch
from torch import Tensor

from semerge.task_vectors import TaskVectors


def effective(vectors: TaskVectors) -> TaskVectors:
    """The task vectors that SE-Merging rescales: Task Arithmetic leaves them as they are."""
    return vectors


def merge(vectors: TaskVectors, scale: float) -> dict[str, Tensor]:
    """The static merge θ0 + scale * Σt τt, by parameter name."""
    return vectors.merge(torch.full((vectors.count,), scale))
