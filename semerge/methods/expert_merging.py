"""Expert Merging: coefficients by which the merged model answers as each expert does on its task.

"Expert Merging: Model Merging with Unsupervised Expert Alignment", https://arxiv.org/abs/2509.25712,
by its code. Each matrix p of each expert t has a logit, λ = sigmoid of it, λ0 = .1 at the start. On
samples of task t, without labels,

    cross-entropy of the merged model's answer to the expert's, as probabilities
    + the mean square of what the middle block's output lacks of the expert's ("middle"), or nothing
    + drift · T · mean |λ − λ0|, once in each step

All else is not learned, and averaged; the authors leave it at the base. λ lies between 0 and 1, and
that of the merge is 1. The terms λt τt are the effective task vectors.

Chosen here, for classifiers: Adam alone (rate .05) where the code has decay, restarts and clipping,
16 samples of each task in a step where it has one, and a drift of .1, which is its inner default:
the 5 of its command line outweighs such small losses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from semerge.methods import method
from semerge.methods.descent import Rows, Updates, combined, descend, scaled, tensors
from semerge.methods.matrices import Others, share_of
from semerge.methods.samples import COUNT, Count, real_tokens
from semerge.registry import Grid, Seed, Within

if TYPE_CHECKING:
    from torch import Tensor

    from semerge.backbones import Params
    from semerge.methods.samples import Samples
    from semerge.task_vectors import TaskVectors

Matching = Annotated[Literal["middle", "none"], "the block whose output is to be the expert's too"]
Drift = Annotated[
    float,
    Within(0.0, 100.0),
    "how much coefficients are kept where they started",
    Grid(0.0, 1.0, 5.0),
]
START, RATE = 0.1, 0.05


@method(
    "expert_merging",
    title="Expert Merging",
    paper="arXiv 2509.25712",
    needs="inputs",
    scale=1.0,
    place=45,
)
def expert_merging(
    vectors: TaskVectors,
    samples: Samples,
    *,
    per_task: Count = COUNT,
    matching: Matching = "middle",
    drift: Drift = 0.1,
    updates: Updates = 500,
    others: Others = "mean",
    draw: Seed = 0,
) -> TaskVectors:
    """Learn the coefficient of each matrix of each task vector so that the merge answers as each
    expert does to samples of its task."""
    import torch

    names, matrices = tensors(vectors), {name for s in vectors.segments for name in s.matrices}
    learned = torch.tensor([name in matrices for name in names], device=vectors.device)[:, None]
    rest = torch.full((len(names), vectors.count), share_of(vectors, others), device=vectors.device)
    start = torch.full_like(rest, START).logit()
    middle = (samples.backbone.depth + 1) // 2 if matching == "middle" else None

    def coefficients(logits: Tensor) -> Tensor:
        return torch.where(learned, logits.sigmoid(), rest)

    def loss(t: int, params: Params, rows: Rows) -> Tensor:
        return lacking(samples, t, params, vectors.expert(t), rows, middle)

    def penalty(logits: Tensor) -> Tensor:
        moved = (logits.sigmoid() - START).abs()[learned[:, 0]]
        return drift * vectors.count * moved.mean()

    (found,) = descend(
        samples,
        lambda logits: combined(vectors, coefficients(logits)),
        [start],
        loss,
        updates=updates,
        rate=RATE,
        per_task=per_task,
        draw=draw,
        penalty=penalty if learned.any() else None,
    )
    return scaled(vectors, coefficients(found))


def lacking(
    samples: Samples, t: int, params: Params, expert: Params, rows: Rows, middle: int | None
) -> Tensor:
    """What a model lacks of expert t's answers to samples of its task, and of a block's output."""
    import torch

    batch = samples.tasks[t].read(rows)
    with torch.no_grad():
        own = samples.states(expert, batch)
        wanted = samples.answers(expert, t, batch, own[-1]).softmax(-1)
    states = samples.states(params, batch)
    log_p = samples.answers(params, t, batch, states[-1]).log_softmax(-1)
    loss = -(wanted * log_p).sum(-1).mean()
    if middle is None:
        return loss
    pair = real_tokens(states[middle], batch), real_tokens(own[middle], batch)
    return loss + torch.nn.functional.mse_loss(*pair)
