"""OTA: the mean of the experts, each number weighed by the curvature that its training saw.

https://arxiv.org/abs/2509.11167, by its code. vt are Adam's
second moments at the end of expert t's training, P_t = vt^exponent + ε, and

    θ = θ0 + Σt P_t τt / Σt P_t

an average. With `sensitive` below 1 a task has a say only where vt τt² is among its largest over
the whole model (the authors' FFG, whose threshold they state as a number): where no task has, the
mean of all is taken. Suites hold vt as the means of the rows and columns of each matrix alone, so a
matrix of vt is their outer product. λ is 1; the terms of the sum are the effective task vectors.

Chosen here: ε is 1e-6 of the mean of vt^exponent over the tensor and the tasks. As coded it is 1e-8
or smaller, and vt is about 1e-18. Where no moment is anything, and for a tensor that a file lacks,
tasks count alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

from semerge.methods import method
from semerge.methods.order import threshold
from semerge.registry import Grid, Share, Within

if TYPE_CHECKING:
    from torch import Tensor

    from semerge.task_vectors import TaskVectors

Exponent = Annotated[
    float, Within(0.0, 2.0), "to which second moments are raised", Grid(0.25, 0.5, 1.0)
]
Kept = Annotated[Share, "share of each task's numbers that have a say, the most sensitive first"]
SMALL = 1e-6
ROWS, COLUMNS = ".rows", ".columns"


@method("ota", title="OTA", paper="arXiv 2509.11167", needs="moments", scale=1.0, place=38)
def ota(
    vectors: TaskVectors,
    moments: Sequence[Mapping[str, Tensor]],
    *,
    exponent: Exponent = 0.5,
    sensitive: Kept = 1.0,
) -> TaskVectors:
    """Average the experts, each number weighed by the second moments of its expert's training."""
    import torch

    whole = sensitive == 1
    limits = [0.0] * vectors.count if whole else _limits(vectors, moments, sensitive)
    names = iter([name for segment in vectors.segments for name in segment.own])

    def change(deltas: Tensor) -> Tensor:  # (T, *shape)
        name = next(names)
        v = torch.stack([moment(of, name, deltas.shape[1:]) for of in moments]).to(deltas)
        weights = v.pow(exponent)
        weights += SMALL * weights.mean() + torch.finfo(weights.dtype).tiny
        for t, limit in enumerate(limits):
            weights[t][v[t] * deltas[t].square() < limit] = 0
        total = weights.sum(0)
        return deltas * torch.where(total > 0, weights / total, 1 / vectors.count)

    return vectors.mapped_by_tensor(change)


def _limits(
    vectors: TaskVectors, moments: Sequence[Mapping[str, Tensor]], share: float
) -> list[float]:
    """From which vt τt² on a number of each task is among that share of the largest."""
    import torch

    limits = []
    for t, of in enumerate(moments):
        scores = []
        for segment, delta in zip(vectors.segments, vectors.deltas(t), strict=True):
            views = segment.unflatten(delta)
            for name in segment.own:
                v = moment(of, name, views[name].shape)
                scores.append((v * views[name].square()).flatten())
        limits.append(float(threshold(torch.cat(scores), vectors.numel, share)))
    return limits


def moment(stored: Mapping[str, Tensor], name: str, shape: Sequence[int]) -> Tensor:
    """vt of a tensor, from the means of its rows and columns, or as it is; 0 where it has none."""
    import torch

    if name in stored:
        return stored[name].view(*shape)
    if name + ROWS not in stored:
        return next(iter(stored.values())).new_zeros(*shape)
    rows = stored[name + ROWS]
    size = rows.mean().clamp(min=torch.finfo(rows.dtype).tiny)
    return (torch.outer(rows, stored[name + COLUMNS]) / size).view(*shape)
