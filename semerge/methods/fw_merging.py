"""FW-Merging: Frank-Wolfe among the base and the experts, down the loss on a few labels.

"FW-Merging: Scaling Model Merging with Frank-Wolfe Optimization",
https://arxiv.org/abs/2503.12649. In the hull of θ0, θ1 .. θT the merge starts at θ0. In each round
g is the gradient of the mean task loss, s the vertex with the least ⟨g, s⟩, and θ goes a share of
the way to s: 2 / (k + 2) in round k from 0 on, or what a line search finds, by the secant of the
slope along the way, which is exact for a parabola. With `learned` "tensor" each tensor takes a
vertex of its own.

This is the paper's algorithm; its two public codes do otherwise: both start at a merge of all and
compare cosines with whole weights, and FusionBench's steps stay near that start. The loss is the
cross-entropy over log C, each task alike. λ is 1; θ − θ0 is a sum of ct τt, with ct ≥ 0 that add up
to 1 at most, which are the effective task vectors.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Literal

from semerge.common import tell
from semerge.methods import method
from semerge.methods.adamerging import Learned
from semerge.methods.descent import Rows, combined, gradient, scaled, tensors
from semerge.methods.samples import COUNT, Count
from semerge.registry import Within

if TYPE_CHECKING:
    from torch import Tensor

    from semerge.backbones import Params
    from semerge.methods.samples import Samples
    from semerge.task_vectors import TaskVectors

Rounds = Annotated[int, Within(1, 200), "how often a vertex is chosen and gone to"]
Way = Annotated[
    Literal["schedule", "search"], "how far each time: 2 / (k + 2), or what a line search finds"
]


@method(
    "fw_merging",
    title="FW-Merging",
    paper="arXiv 2503.12649",
    needs="labels",
    scale=1.0,
    place=47,
)
def fw_merging(
    vectors: TaskVectors,
    samples: Samples,
    *,
    per_task: Count = COUNT,
    learned: Learned = "tensor",
    rounds: Rounds = 10,
    way: Way = "search",
) -> TaskVectors:
    """Go from the base towards one expert after the other, whichever lowers the loss on labelled
    samples most."""
    import torch

    counts = [min(per_task, task.count) for task in samples.tasks]
    parts = [(t, rows) for t, task in enumerate(samples.tasks) for rows in task.parts(per_task)]

    def loss(t: int, params: Params, rows: Rows) -> Tensor:
        return samples.loss(params, t, rows) * (len(rows) / counts[t] / vectors.count)

    def slope(coefficients: Tensor) -> Tensor:
        (found,) = gradient(lambda c: combined(vectors, c), [coefficients], loss, parts)
        return found

    rows = len(tensors(vectors)) if learned == "tensor" else 1
    start = torch.zeros(rows, vectors.count, device=vectors.device)
    return scaled(vectors, frank_wolfe(slope, start, rounds, way == "search"))


def frank_wolfe(
    slope: Callable[[Tensor], Tensor], start: Tensor, rounds: int, search: bool
) -> Tensor:
    """Minimise in the hull of 0 and the unit vectors, each row of (P, T) in its own. slope: of the
    loss at such coefficients, (P, T); ⟨g, τt⟩ of each tensor."""
    import torch

    c = start
    for k in range(rounds):
        tell(k, rounds, "rounds")
        g = slope(c)
        least, which = g.min(1, keepdim=True)
        vertex = torch.zeros_like(c).scatter_(1, which, (least < 0).to(c))  # or the base
        along = vertex - c
        share = 2 / (k + 2)
        if search:
            ahead, behind = float((g * along).sum()), float((slope(vertex) * along).sum())
            share = min(1.0, ahead / (ahead - behind)) if ahead < behind else 1.0
        c = c + share * along
    tell(rounds, rounds, "rounds")
    return c
