"""MWA: experts weighed by their validation loss.

Metrics-weighted averaging, https://arxiv.org/abs/2504.18580, merges checkpoints of one run, weighed
by their loss. The paper's formula is not public; the reading here is

    θ = θ0 + Σt wt τt,  wt = Lt^(−penalty) / Σ L^(−penalty)

with 0 the average. Across tasks, which is our use and not the paper's, losses are not of one scale,
so Lt is expert t's mean cross-entropy on labelled samples of its own task over that of guessing,
log C, and 1e-6 at least. λ is 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from semerge.common import tell
from semerge.methods import method
from semerge.methods.samples import COUNT, Count
from semerge.registry import Grid, Within

if TYPE_CHECKING:
    from torch import Tensor

    from semerge.methods.samples import Samples
    from semerge.task_vectors import TaskVectors

Penalty = Annotated[
    float,
    Within(0.0, 10.0),
    "how much less an expert counts that has more loss",
    Grid(0.5, 1.0, 2.0),
]
LEAST = 1e-6


@method(
    "mwa",
    title="Metrics-weighted averaging",
    paper="arXiv 2504.18580",
    needs="labels",
    scale=1.0,
    place=48,
)
def mwa(
    vectors: TaskVectors, samples: Samples, *, per_task: Count = COUNT, penalty: Penalty = 1.0
) -> TaskVectors:
    """Average the experts, weighed by their loss on labelled samples of their own tasks. A reading:
    the paper's formula is not public."""
    losses = []
    for t in range(vectors.count):
        tell(t, vectors.count, "experts measured")
        losses.append(samples.mean_loss(vectors.expert(t), t, per_task))
    tell(vectors.count, vectors.count, "experts measured")
    shares = weights(losses, penalty)
    return vectors.mapped(lambda deltas: deltas * shares.to(deltas)[:, None])


def weights(losses: list[float], penalty: float) -> Tensor:
    """Losses of T experts -> their weights (T,), which add up to 1."""
    import torch

    return (-penalty * torch.tensor(losses).clamp(min=LEAST).double().log()).softmax(0)
