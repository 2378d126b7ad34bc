"""AdaMerging: coefficients that make the merged model's answers sure, learned without labels.

"AdaMerging: Adaptive Model Merging for Multi-Task Learning", Yang et al.,
https://arxiv.org/abs/2310.02575. From .3 the coefficients of each tensor ("layer-wise" in the
paper), or one a task ("task-wise"), descend by Adam along the entropy of softmax of the merged
model's logits, each sample with the head of its task, the mean over a batch and the sum over the
tasks. `clamp` keeps them in [0, 1] in every step, as the authors do and FusionBench does not.
`trimmed` starts from TIES's trimmed task vectors (K = 20 %), which agree in sign: AdaMerging++.

As published it descends on the very samples that are then evaluated, for 500 rounds of two batches
of 16 a task. Here they are others, as for all methods from samples. λ is 1: the terms λt τt are the
effective task vectors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from semerge.methods import method
from semerge.methods.descent import Loss, Rate, Rows, Updates, combined, descend, scaled, tensors
from semerge.methods.samples import COUNT, Count
from semerge.methods.ties import ties
from semerge.registry import Seed

if TYPE_CHECKING:
    from torch import Tensor

    from semerge.backbones import Params
    from semerge.methods.samples import Samples
    from semerge.task_vectors import TaskVectors

Learned = Annotated[
    Literal["tensor", "task"], "of what each has a coefficient of its own: every tensor, or a task"
]
Clamp = Annotated[bool, "whether coefficients stay between 0 and 1"]
Trimmed = Annotated[bool, "whether TIES trims the task vectors first"]
START = 0.3


@method(
    "adamerging", title="AdaMerging", paper="arXiv 2310.02575", needs="inputs", scale=1.0, place=43
)
def adamerging(
    vectors: TaskVectors,
    samples: Samples,
    *,
    per_task: Count = COUNT,
    learned: Learned = "tensor",
    clamp: Clamp = True,
    trimmed: Trimmed = False,
    updates: Updates = 500,
    rate: Rate = 1e-3,
    draw: Seed = 0,
) -> TaskVectors:
    """Learn the coefficient of each tensor of each task vector so that the merge is sure of its
    answers to some samples of each task."""
    import torch

    if trimmed:
        vectors = ties(vectors, density=0.2, merge="sum")
    rows = len(tensors(vectors)) if learned == "tensor" else 1
    start = torch.full((rows, vectors.count), START, device=vectors.device)

    def bounded(coefficients: Tensor) -> Tensor:
        return coefficients.clamp(0, 1) if clamp else coefficients

    (found,) = descend(
        samples,
        lambda coefficients: combined(vectors, bounded(coefficients)),
        [start],
        unsureness(samples),
        updates=updates,
        rate=rate,
        per_task=per_task,
        draw=draw,
    )
    return scaled(vectors, bounded(found))


def unsureness(samples: Samples) -> Loss:
    """The entropy of a model's answers to samples of a task, as a loss to descend."""

    def loss(t: int, params: Params, rows: Rows) -> Tensor:
        return entropy(samples.logits(params, t, samples.tasks[t].read(rows)))

    return loss


def entropy(logits: Tensor) -> Tensor:
    """Of softmax of logits (B, C), in nats; the mean over the batch."""
    log_p = logits.log_softmax(-1)
    return -(log_p.exp() * log_p).sum(-1).mean()
