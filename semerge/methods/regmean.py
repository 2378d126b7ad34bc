"""RegMean: each matrix by least squares on what it is to make of its experts' inputs.

"Dataless Knowledge Fusion by Merging Weights of Language Models", Jin et al.,
https://arxiv.org/abs/2212.09849. Xt (n, tokens) is what a matrix of expert t sees where the expert
runs on samples of its own task, padding left out. M minimises Σt ‖(M − Wt) Xt‖² / tokens: it is the
regression merge with Gt = Xt Xtᵀ / tokens, whose entries off the diagonal are first multiplied by
`offdiagonal`, as published .95 for CLIP, .6 for GPT-2 and .1 for others. λ is 1. All else is
averaged.

Chosen here: 1e-6 of its mean is added to the diagonal of each Gt, so that inputs which no sample
has are averaged. As published, Σt Gt is inverted as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated

from semerge.methods import method
from semerge.methods.matrices import (
    SMALL,
    Others,
    each_stage,
    one_stage,
    regression_merge,
    share_of,
)
from semerge.methods.samples import COUNT, Count, real_tokens, watching
from semerge.registry import Grid, Share

if TYPE_CHECKING:
    from torch import Tensor

    from semerge.backbones import Batch, Params
    from semerge.methods.samples import Samples
    from semerge.task_vectors import Segment, TaskVectors

Offdiagonal = Annotated[
    Share, "factor on what inputs have in common with one another", Grid(0.1, 0.6, 0.9, 0.95, 1.0)
]
RIDGE = 1e-6  # of the mean of the diagonal


@method("regmean", title="RegMean", paper="arXiv 2212.09849", needs="inputs", scale=1.0, place=41)
def regmean(
    vectors: TaskVectors,
    samples: Samples,
    *,
    per_task: Count = COUNT,
    offdiagonal: Offdiagonal = 0.95,
    others: Others = "mean",
) -> TaskVectors:
    """Merge each matrix so that it answers its experts' inputs as they do: least squares on some
    samples of each task, without labels."""
    return regress(vectors, samples, per_task, offdiagonal, others)


def regress(
    vectors: TaskVectors,
    samples: Samples,
    per_task: int,
    offdiagonal: float,
    others: str,
    on_merged: bool = False,
) -> TaskVectors:
    """RegMean, stage by stage. on_merged: whether each block of the experts sees what the merge
    makes of the samples up to there, as in RegMean++, or what the expert itself does."""
    backbone, share = samples.backbone, share_of(vectors, others)
    batches = [list(task.first(per_task)) for task in samples.tasks]
    made: list[Segment] = []

    def run(stage: int, params: Params, h: Tensor | None, batch: Batch) -> Tensor:
        if h is None:
            return backbone.embed(params, batch)
        return backbone.block(params, stage, h, batch)

    before: list[list[Tensor | None]] = [[None] * len(of) for of in batches]
    for stage, segment in enumerate(each_stage(vectors)):
        grams = [Grams() for _ in batches]
        if stage <= backbone.depth:
            for t, of in enumerate(batches):
                expert = vectors.expert(t, stage)
                weights = {name: expert[name] for name in segment.matrices}
                for i, batch in enumerate(of):
                    with watching(weights, partial(grams[t].add, batch)):
                        after = run(stage, expert, before[t][i], batch)
                    if not on_merged:
                        before[t][i] = after
        made.append(one_stage(segment, partial(_solved, grams, offdiagonal), share))
        if on_merged and stage <= backbone.depth:
            first, rows = made[-1].weights[0], made[-1].weights[1:]
            merged = segment.unflatten(first + (rows - first).sum(0))
            for t, of in enumerate(batches):
                before[t] = [run(stage, merged, before[t][i], x) for i, x in enumerate(of)]
    return type(vectors).of(made, vectors.count)


class Grams:
    """Sums of x xᵀ over the real tokens of one task, by the name of the matrix that sees them."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._tokens: dict[str, int] = {}

    def add(self, batch: Batch, name: str, x: Tensor) -> None:
        """What the matrix sees of a batch, (B, N, n)."""
        x = real_tokens(x, batch)
        x = x.double() if x.shape[1] < SMALL else x
        self._sums[name] = x.mT @ x + self._sums.get(name, 0.0)
        self._tokens[name] = self._tokens.get(name, 0) + len(x)

    def mean(self, name: str) -> Tensor:
        """Gt of a matrix, (n, n) in float64."""
        return self._sums[name].double() / self._tokens[name]


def _solved(grams: Sequence[Grams], offdiagonal: float, name: str, stack: Tensor) -> Tensor:
    nothing = stack.new_zeros(()).double()  # more is to be added: each Gt is regular
    terms = regression_merge(
        stack.double(), lambda t: damped(grams[t].mean(name), offdiagonal), prior=nothing
    )
    return terms.to(stack)


def damped(gram: Tensor, offdiagonal: float) -> Tensor:
    """A Gram matrix with its entries off the diagonal multiplied, and made regular."""
    diagonal = gram.diagonal()
    ridge = (RIDGE * diagonal.mean()).clamp(min=RIDGE**2)
    return offdiagonal * gram + ((1 - offdiagonal) * diagonal + ridge).diag()
