"""SCE: select what differs, calculate weights, erase what has the minority's sign.

Tensor by tensor: the numbers whose variance over the tasks is largest stay, each task vector is
weighted by its mean square as in VaRM, and of each number those entries are averaged, by these
weights, that have the sign of the sum over the tasks (plus where it is 0).

"FuseChat", Wan et al., https://arxiv.org/abs/2408.07990. As in public code all numbers stay by
default. Its floors of 1e-6 under sums of squares and of weights are left out, a reading: they
would take short task vectors for zeros.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from semerge.methods import method
from semerge.methods.varm import weights
from semerge.registry import Grid, Share

if TYPE_CHECKING:
    from torch import Tensor

    from semerge.task_vectors import TaskVectors

Selection = Annotated[
    Share, "share of the numbers that stay, by their variance over the tasks", Grid(0.1, 0.5, 1.0)
]


@method("sce", title="SCE", paper="arXiv 2408.07990", scale=1.0, place=11)
def sce(vectors: TaskVectors, *, selection: Selection = 1.0) -> TaskVectors:
    """Keep the numbers in which the experts differ most, weight the task vectors by their mean
    squares, and average of each number the entries of its majority's sign."""
    import torch

    def merged(deltas: Tensor) -> Tensor:  # (T, *shape) -> (T, *shape)
        deltas = _selected(deltas, selection)
        signs = torch.where(deltas.sum(0) >= 0, 1.0, -1.0)
        shares = weights(deltas) * (deltas.sign() == signs)
        total = shares.sum(0)
        return shares * deltas / torch.where(total > 0, total, 1.0)

    return vectors.mapped_by_tensor(merged)


def _selected(deltas: Tensor, share: float) -> Tensor:
    """The entries (T, \\*shape) of that share of the numbers that have a variance; else 0."""
    import torch

    if share == 1:
        return deltas
    spread = deltas.var(0, correction=0)
    count = int(share * int(spread.count_nonzero()))
    stays = torch.zeros_like(spread, dtype=torch.bool).flatten()
    stays[spread.flatten().topk(count).indices] = True
    return torch.where(stays.view_as(spread), deltas, 0.0)
