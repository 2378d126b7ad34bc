"""SE-Merging's second pass over measured samples, without passes that were done already."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from semerge.backbones import Batch
from semerge.engine import Engine
from semerge.evaluation.batches import batches
from semerge.evaluation.data import LabelledSet
from semerge.evaluation.measure import (
    NOT_RUN,
    Cancelled,
    Interrupted,
    Measurement,
    Progress,
    answers_of,
    unfit,
)
from semerge.settings import Resolved


@dataclass(frozen=True)
class SecondPass:
    """SE-Merging's answers to N samples, and how they were routed."""

    answers: Tensor  # (N, T) int16, the class under each task's head
    chosen: Tensor  # (N,) int64
    margin: Tensor  # (N,) float64
    entropy: Tensor  # (N,) float64


def second_pass(
    engine: Engine,
    sets: Sequence[LabelledSet],
    measured: Measurement,
    distances: Tensor,
    resolved: Resolved,
    progress: Progress | None = None,
    cancelled: Cancelled | None = None,
) -> SecondPass:
    """Route by `distances` (N, T), merge sample by sample, and answer.

    A sample whose coefficients are those of one expert alone has that expert's answers, where
    they were measured; so has one that falls back to the static merge. The others are run in
    batches.

    Raises:
        Interrupted: `cancelled` said so.
    """
    routing = engine.route(distances, resolved)
    coefficients = routing.coefficients  # (N, T)
    static = engine.suite.defaults.static_lambda
    fallen = unfit(engine, measured, resolved)
    if fallen is not None:
        coefficients = torch.where(fallen[:, None], static, coefficients)
    winner = coefficients.argmax(1)
    alone = (torch.nn.functional.one_hot(winner, coefficients.shape[1]) == coefficients).all(1)
    answers = measured.expert_of(winner)
    left = ~alone | (answers == NOT_RUN).any(1)
    if fallen is not None and static in measured.answers:
        answers[fallen], left = measured.answers[static][fallen], left & ~fallen
    start, done = 0, int((~left).sum())
    for samples in sets:
        mine = left[start : start + len(samples)].nonzero()[:, 0]
        if len(mine):
            for rows, batch in batches(engine.backbone, samples.take(mine.numpy())):
                if cancelled and cancelled():
                    raise Interrupted
                at = start + mine[torch.from_numpy(rows)]
                answers[at] = _answers(engine, engine.models.place(batch), coefficients[at])
                done += len(rows)
                if progress:
                    progress(done, len(measured))
        start += len(samples)
    if progress:
        progress(len(measured), len(measured))
    return SecondPass(answers, routing.chosen, routing.margin, routing.entropy)


def _answers(engine: Engine, batch: Batch, coefficients: Tensor) -> Tensor:
    """What the merges with coefficients (B, T) answer to a batch where the weights are: int16
    (B, T) on the CPU."""
    z = engine.merged_embedding(batch, coefficients)
    found, lost = answers_of(engine, z).cpu(), ~torch.isfinite(z).all(1).cpu()
    if lost.any():  # as for one request: then the static merge answers
        found[lost] = answers_of(engine, engine.static_embedding(batch[lost])).cpu()
    return found
