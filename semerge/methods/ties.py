"""TIES-Merging: trim, elect signs, merge what agrees.

"TIES-Merging: Resolving Interference When Merging Models", Yadav et al.,
https://arxiv.org/abs/2306.01708. As published, the trim looks at all numbers of a task vector
together, those that no expert changes among them (they are zeros), and keeps one entry more than
the share says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from semerge.methods import method
from semerge.methods.order import threshold
from semerge.registry import Grid, Share

if TYPE_CHECKING:
    from torch import Tensor

    from semerge.task_vectors import TaskVectors

Density = Annotated[
    Share, "share of the largest entries of a task vector that stay", Grid(0.1, 0.2, 0.3, 0.5)
]
Merge = Annotated[Literal["sum", "mean"], "how entries of the elected sign are combined"]


@method("ties", title="TIES-Merging", paper="arXiv 2306.01708", scale=0.3, place=2)
def ties(vectors: TaskVectors, *, density: Density = 0.2, merge: Merge = "sum") -> TaskVectors:
    """Keep each task vector's largest entries, elect a sign for every number by their sum, and
    merge the entries that have it."""
    import torch

    sizes = (torch.cat([d.abs() for d in vectors.deltas(t)]) for t in range(vectors.count))
    thresholds = [threshold(entries, vectors.numel, density) for entries in sizes]

    def trimmed(deltas: Tensor) -> Tensor:  # (T, M) -> (T, M)
        limits = torch.stack(thresholds).to(deltas)[:, None]
        return torch.where(deltas.abs() >= limits, deltas, 0.0)

    # where the trimmed entries cancel, the sign is that of all elected signs together
    ballots = [trimmed(d).sum(0).sign().sum() for d in vectors.deltas()]
    majority = torch.stack(ballots).sum().sign()

    def elected(deltas: Tensor) -> Tensor:
        entries = trimmed(deltas)
        signs = entries.sum(0).sign()
        signs = torch.where(signs == 0, majority, signs)
        entries = torch.where(entries.sign() == signs, entries, 0.0)
        if merge == "mean":
            entries = entries / entries.count_nonzero(0).clamp(min=1)
        return entries

    return vectors.mapped(elected)
