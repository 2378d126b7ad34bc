"""Self Positioning: a direction among the task vectors and a length, learned from a few labels.

Self Positioning, of https://arxiv.org/abs/2410.15035, finds the position of the merge in the space
that the task vectors span by gradient descent on a small balanced set. Its formula is not public;
the reading here separates direction from length. With the lengths nt = ‖τt‖ over the whole model,
w = softmax(a) and d = Σ wt τt / nt,

    θ = θ0 + length · (Σ wt nt) · d / ‖d‖

a from 0 and the length from 1 descend by Adam along the cross-entropy of the merged model with the
head of each sample's task over log C, the sum over the tasks. T + 1 numbers are learned, and the
order of the tasks is nothing. λ is 1; the summands are the effective task vectors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from semerge.methods import method
from semerge.methods.descent import Updates, combined, descend, scaled
from semerge.methods.samples import COUNT, Count
from semerge.registry import Seed

if TYPE_CHECKING:
    from torch import Tensor

    from semerge.backbones import Params
    from semerge.methods.samples import Samples
    from semerge.task_vectors import TaskVectors

RATE = 1e-2
NOUGHT = 1e-12  # of ‖d‖²; w adds up to 1


@method(
    "self_positioning",
    title="Self Positioning",
    paper="arXiv 2410.15035",
    needs="labels",
    scale=1.0,
    place=46,
)
def self_positioning(
    vectors: TaskVectors,
    samples: Samples,
    *,
    per_task: Count = COUNT,
    updates: Updates = 500,
    draw: Seed = 0,
) -> TaskVectors:
    """Learn from labelled samples in which direction among the task vectors to go, and how far. A
    reading: the paper's formula is not public."""
    import torch

    gram = vectors.gram()
    start = [
        torch.zeros(vectors.count, device=vectors.device),
        torch.ones((), device=vectors.device),
    ]

    def merge(a: Tensor, length: Tensor) -> Params:
        return combined(vectors, position(gram, a, length)[None])

    found = descend(
        samples,
        merge,
        start,
        lambda t, params, rows: samples.loss(params, t, rows),
        updates=updates,
        rate=RATE,
        per_task=per_task,
        draw=draw,
    )
    return scaled(vectors, position(gram, *found)[None])


def position(gram: Tensor, a: Tensor, length: Tensor) -> Tensor:
    """The coefficients of the τt, (T,). gram: τi · τj, (T, T). All are 0 where the task vectors
    make no direction."""
    import torch

    gram = gram.to(a)
    sizes = gram.diagonal().clamp(min=0).sqrt()
    u = a.softmax(0) / torch.where(sizes > 0, sizes, 1.0)
    square = u @ gram @ u
    return (
        length * (a.softmax(0) @ sizes) * u * (square.clamp(min=NOUGHT).rsqrt() * (square > NOUGHT))
    )
