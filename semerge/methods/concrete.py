"""Concrete: one mask for all task vectors, learned so that the merge is sure of its answers.

"Concrete Subspace Learning based Interference Elimination for Multi-task Model Fusion", Tang et
al., https://arxiv.org/abs/2312.06173, by its code. Each number of the model has a logit x, 0 at the
start. A mask is drawn in every step, with u uniform in (0, 1):

    m = sigmoid((x + log u − log(1 − u)) / 0.5), over its mean in each tensor

x descends by Adam along the entropy of the answers of θ0 + λ Σt m τt to samples of each task, as
AdaMerging has it; after that a mask is drawn once more. λ is .3; m τt are the effective task
vectors. As published it takes 2000 steps. Its variant that learns coefficients too is left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from semerge.methods import method
from semerge.methods.adamerging import unsureness
from semerge.methods.descent import Rate, Updates, descend
from semerge.methods.samples import COUNT, Count
from semerge.registry import Seed

if TYPE_CHECKING:
    from torch import Tensor

    from semerge.backbones import Params
    from semerge.methods.samples import Samples
    from semerge.task_vectors import Segment, TaskVectors

SCALE, TEMPERATURE = 0.3, 0.5
LEAST = 1e-6  # of u, so that its logarithm is finite


@method(
    "concrete", title="Concrete", paper="arXiv 2312.06173", needs="inputs", scale=SCALE, place=44
)
def concrete(
    vectors: TaskVectors,
    samples: Samples,
    *,
    per_task: Count = COUNT,
    updates: Updates = 500,
    rate: Rate = 1e-3,
    draw: Seed = 0,
) -> TaskVectors:
    """Learn how likely each number of the task vectors stays, so that the merge is sure of its
    answers to some samples of each task."""
    import torch

    segments = vectors.segments
    sums = [deltas.sum(0) for deltas in vectors.deltas()]
    generator = torch.Generator().manual_seed(draw * 2**16 + 2**15)  # no task has this number

    def masks(logits: tuple[Tensor, ...]) -> list[Tensor]:
        return [
            mask(segment, x, torch.rand(x.shape, generator=generator).to(x))
            for segment, x in zip(segments, logits, strict=True)
        ]

    def merge(*logits: Tensor) -> Params:
        params: dict[str, Tensor] = {}
        for segment, total, m in zip(segments, sums, masks(logits), strict=True):
            params |= segment.unflatten(segment.weights[0] + SCALE * m * total)
        return params

    start = [torch.zeros_like(total) for total in sums]
    found = descend(
        samples,
        merge,
        start,
        unsureness(samples),
        updates=updates,
        rate=rate,
        per_task=per_task,
        draw=draw,
    )
    last = iter(masks(tuple(found)))
    return vectors.mapped(lambda deltas: deltas * next(last))


def mask(segment: Segment, logits: Tensor, u: Tensor) -> Tensor:
    """m of a stage's changing numbers, from logits and draws (M,) each."""
    import torch

    u = u.clamp(LEAST, 1 - LEAST)
    m = ((logits + u.logit()) / TEMPERATURE).sigmoid()
    views = segment.unflatten(m)
    parts = [(views[name] / views[name].mean()).flatten() for name in segment.own]
    return torch.cat(parts) if parts else m
