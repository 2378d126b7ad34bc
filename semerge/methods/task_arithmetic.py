"""Task Arithmetic: θM = θ0 + λ Σt τt, one λ for all tasks.

"Editing Models with Task Arithmetic", Ilharco et al., https://arxiv.org/abs/2212.04089.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from semerge.methods import method

if TYPE_CHECKING:
    from semerge.task_vectors import TaskVectors


@method("task_arithmetic", title="Task Arithmetic", paper="arXiv 2212.04089", place=0)
def task_arithmetic(vectors: TaskVectors) -> TaskVectors:
    """Add the task vectors, each times λ. They stay as they are, and λ is the suite's own."""
    return vectors
