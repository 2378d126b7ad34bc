"""WIDEN: what belongs to one input of a layer is weighted by how much its experts change it.

The weights that read one input (a column of a matrix (out, in), a token's or position's embedding)
have a length and a direction. Within each expert the inputs are ranked by how much the length
changes, and by 1 − cos of the change of direction: s = rank / n from 0 to (n − 1)/n. An input's
weight in expert t is the mean over both of softmax_t(s), or of 1 where s is above the expert's
mean. Of vectors, norms and biases, every number has a weight of its own, by s = |τt|.
"Extend Model Merging from Fine-Tuned to Pre-Trained Large Language Models via Weight
Disentanglement", Yu et al., https://arxiv.org/abs/2408.03092, and its code.

The weights do not sum to 1. Chosen here: convolutions, positions and the final projection, which
that code has not, are matrices too, each by its inputs.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

from semerge.methods import method
from semerge.methods.matrices import turned
from semerge.registry import Grid, Within

if TYPE_CHECKING:
    from torch import Tensor

    from semerge.task_vectors import Segment, TaskVectors

Above = Annotated[
    float, Within(0.0, 2.0), "how often its mean is what counts as important", Grid(0.5, 1.0, 1.5)
]
Important = Annotated[float, Within(0.0, 2.0), "the weight of what is important"]


@method("widen", title="WIDEN", paper="arXiv 2408.03092", scale=1.0, place=16)
def widen(vectors: TaskVectors, *, above: Above = 1.0, important: Important = 1.0) -> TaskVectors:
    """Weight each task vector, input by input of every layer, by how much length and direction of
    its weights change against those of other inputs and experts."""
    import torch

    from semerge.task_vectors import TaskVectors

    made = []
    for segment in vectors.segments:
        weights = segment.weights.clone()
        room = segment.unflatten(weights)
        for name in segment.own:
            rows = _by_input(segment, room[name])  # (1 + T, n) or (1 + T, out, in)
            shares = [scores(x, above, important) for x in significance(rows)]
            share = torch.stack(shares).mean(0)
            taus = rows[1:] - rows[:1]
            rows[1:] = rows[:1] + taus * (share if rows.dim() == 2 else share[:, None])
        made.append(replace(segment, weights=weights))
    return TaskVectors.of(made, vectors.count)


def _by_input(segment: Segment, x: Tensor) -> Tensor:
    """Views (1 + T, out, in) of what is no vector."""
    if x.dim() == 2:
        return x
    if x.dim() > 3:
        return x.view(*x.shape[:2], -1)
    # an embedding has a row for each input, and so has the final projection
    return x.mT if segment.outputs_last is None else turned(segment, x)


def significance(rows: Tensor) -> list[Tensor]:
    """Of θ0, θ1 .. θT: |τt| of vectors, (1 + T, n) to (T, n); of matrices (1 + T, out, in) the
    inputs' ranks, from 0 to below 1, by the change of length and of direction, (T, in) each."""
    import torch

    if rows.dim() == 2:
        return [(rows[1:] - rows[:1]).abs()]
    base = rows[0].double()
    length = base.norm(dim=0)
    changes = []
    for row in rows[1:]:
        expert = row.double()
        cosine = torch.cosine_similarity(expert, base, dim=0)
        changes.append(torch.stack([(expert.norm(dim=0) - length).abs(), 1 - cosine]))
    order = torch.stack(changes, dim=1).argsort(dim=-1, stable=True)
    return list(order.argsort(dim=-1) / order.shape[-1])


def scores(significance: Tensor, above: float, important: float) -> Tensor:
    """The weights (T, n) of significances (T, n)."""
    import torch

    # what is the mean, but for rounding, is not above it
    limit = above * (1 + 1e-6) * significance.mean(1, keepdim=True)
    return torch.where(significance > limit, important, significance.softmax(0))
