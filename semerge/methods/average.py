"""The simple average of the experts: θM = (1/T) Σt θt, which is Task Arithmetic at λ = 1/T.

"Model soups", Wortsman et al., https://arxiv.org/abs/2203.05482.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from semerge.methods import method

if TYPE_CHECKING:
    from semerge.task_vectors import TaskVectors


@method(
    "average",
    title="simple average",
    paper="arXiv 2203.05482",
    scale=lambda tasks: 1 / tasks,
    place=1,
)
def average(vectors: TaskVectors) -> TaskVectors:
    """Average the experts' weights."""
    return vectors
