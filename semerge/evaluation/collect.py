"""Rows of labelled samples, part by part, so that a run that is stopped keeps what is done."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import zip_longest
from operator import itemgetter
from typing import Any

import numpy as np
import torch
from torch import Tensor

from semerge.backbones import Batch
from semerge.data.batches import BATCH_SIZE, batches
from semerge.data.labelled import LabelledSet, Sets
from semerge.engine import Engine
from semerge.evaluation.figures import Row
from semerge.evaluation.measure import (
    BASE,
    NOT_RUN,
    Cancelled,
    Interrupted,
    Measurement,
    Plan,
    Progress,
    answers_of,
    keys_of,
    measure,
    static_of,
    unfit,
)
from semerge.settings import Resolved
from semerge.suites import Suite

Place = tuple[int, int]  # which set, and which sample of it
Part = tuple[int, np.ndarray]  # which set, and which samples of it
Done = tuple[Place, tuple[Row, ...]]  # a sample's rows, one for each setting


@dataclass(frozen=True)
class Collected:
    """Rows of the samples that are done, in the order of the sets, one list for each setting."""

    places: Sequence[Place]
    rows: tuple[Sequence[Row], ...]
    complete: bool


class Lazy(Sequence[Any]):
    """What a run had done when this was made, put in order when it is first read: a run tells it
    after each part, and hardly anybody looks."""

    def __init__(self, done: Sequence[Done], of: Callable[[Done], Any]) -> None:
        self._done, self._count, self._of = done, len(done), of

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, at: Any) -> Any:
        return self._ordered[at]

    @cached_property
    def _ordered(self) -> tuple[Any, ...]:
        # the list grows on, and what is in it stays
        return tuple(map(self._of, sorted(self._done[: self._count], key=itemgetter(0))))


def collect(
    engine: Engine,
    sets: Sets,
    settings: Sequence[Resolved],
    progress: Progress | None = None,
    cancelled: Cancelled | None = None,
    so_far: Callable[[Collected], None] | None = None,
) -> Collected:
    """Run every one of `settings` over labelled sets of the engine's suite.

    progress gets (samples done, samples in all) after each part, so_far what is done by then. Where
    `cancelled` says so, the parts that are done are returned.

    Raises:
        UserError: a sample can't be read, the cache probe is asked for without statistics, or a
            fallback without knowing when no expert fits.
    """
    for resolved in settings:
        engine.check(resolved)
    plan = Plan(
        keys=tuple(dict.fromkeys(key for one in settings for key in keys_of(engine, one))),
        answers=tuple(dict.fromkeys((BASE, *map(static_of, settings)))),
        own_only=len(settings) == 1,
    )
    done: list[Done] = []

    def collected(take: Callable[[Lazy], Sequence[Any]]) -> Collected:
        columns = tuple(
            take(Lazy(done, lambda one, s=s: one[1][s]))  # type: ignore[misc]
            for s in range(len(settings))
        )
        return Collected(take(Lazy(done, itemgetter(0))), columns, len(done) == sets.total)

    for which, rows in parts(engine, sets.sets):
        try:
            done += _part(engine, sets, plan, settings, which, rows, cancelled)
        except Interrupted:
            break
        if progress:
            progress(len(done), sets.total)
        if so_far:
            so_far(collected(lambda lazy: lazy))
    return collected(tuple)


def parts(engine: Engine, sets: Sequence[LabelledSet]) -> Iterator[Part]:
    """The batches of all sets, the sets taking turns."""
    queues = [_batches(engine, samples) for samples in sets]
    for turn in zip_longest(*queues):
        yield from ((which, rows) for which, rows in enumerate(turn) if rows is not None)


def _batches(engine: Engine, samples: LabelledSet) -> Iterator[np.ndarray]:
    """The rows that `batches` puts together; pictures need not be prepared to know that."""
    if samples.visual:
        cuts = range(BATCH_SIZE, len(samples), BATCH_SIZE)
        return iter(np.array_split(np.arange(len(samples)), cuts))
    return (rows for rows, _ in batches(engine.backbone, samples))


def _part(
    engine: Engine,
    sets: Sets,
    plan: Plan,
    settings: Sequence[Resolved],
    which: int,
    rows: np.ndarray,
    cancelled: Cancelled | None,
) -> list[Done]:
    samples = sets.sets[which].take(rows)
    part = replace(sets, sets=(samples,), rows=(sets.rows[which][rows],))
    measured = measure(engine, part.sets, plan, None, cancelled)
    columns = []
    for resolved in settings:
        distances = measured.distances[resolved.probing]
        run = second_pass(engine, part.sets, measured, distances, resolved, None, cancelled)
        columns.append(make_rows(engine.suite, part, measured, run))
    return [((which, int(rows[i])), of) for i, of in enumerate(zip(*columns, strict=True))]


def make_rows(suite: Suite, sets: Sets, measured: Measurement, second: SecondPass) -> Iterator[Row]:
    """One row a sample."""
    chosen, tasks = second.chosen, measured.tasks

    def both(answers: Tensor) -> list[tuple[int, int]]:
        oracle, routed = measured.under(answers, tasks), measured.under(answers, chosen)
        return list(zip(oracle.tolist(), routed.tolist(), strict=True))

    columns = [both(measured.answers[BASE]), both(second.static), both(second.answers)]
    expert = measured.under(measured.expert_of(tasks), tasks).tolist()
    for i, identity in enumerate(identities(sets)):
        own, other = suite.tasks[int(tasks[i])], suite.tasks[int(chosen[i])]
        (base, base_r), (merged, merged_r), (se, se_r) = (column[i] for column in columns)
        yield Row(
            id=identity,
            task=own.name,
            label=own.classes[int(measured.labels[i])],
            chosen=other.name,
            margin=float(second.margin[i]),
            entropy=float(second.entropy[i]),
            base_oracle=own.classes[base],
            base_routed=other.classes[base_r],
            static_oracle=own.classes[merged],
            static_routed=other.classes[merged_r],
            se_oracle=own.classes[se],
            se_routed=other.classes[se_r],
            expert=own.classes[expert[i]],
        )


def identities(sets: Sets) -> Iterator[str]:
    """What each sample is called: its own name, or task/split/number with its number in the
    split's file or cut."""
    for samples, rows in zip(sets.sets, sets.rows, strict=True):
        numbered = (f"{samples.task}/{samples.split}/{int(row)}" for row in rows)
        yield from samples.names or numbered


# ---- the second pass, without what was done already ----------------------------------------------


@dataclass(frozen=True)
class SecondPass:
    """SE-Merging's answers to N samples, how they were routed, and the static merge's answers."""

    answers: Tensor  # (N, T) int16, the class under each task's head
    static: Tensor  # the same of the static merge
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
    batches. The answers of the static merge of `resolved` must have been measured.

    Raises:
        Interrupted: `cancelled` said so.
    """
    routing = engine.route(distances, resolved)
    coefficients, static = routing.coefficients, measured.static(resolved)  # (N, T) each
    fallen = routing.flags["fallback"]
    if (misfits := unfit(engine, measured, resolved)) is not None:
        fallen = fallen | misfits
    winner = coefficients.argmax(1)
    alone = (torch.nn.functional.one_hot(winner, coefficients.shape[1]) == coefficients).all(1)
    answers = measured.expert_of(winner)
    left = ~alone | (answers == NOT_RUN).any(1)
    if not engine.variant(resolved.method).original:  # one task vector alone is no expert then
        left = torch.ones_like(left)
    answers[fallen], left = static[fallen], left & ~fallen
    start, done = 0, int((~left).sum())
    for samples in sets:
        mine = left[start : start + len(samples)].nonzero()[:, 0]
        if len(mine):
            for rows, batch in batches(engine.backbone, samples.take(mine.numpy())):
                if cancelled and cancelled():
                    raise Interrupted
                at = start + mine[torch.from_numpy(rows)]
                placed = engine.models.place(batch)
                answers[at] = _answers(engine, placed, coefficients[at], resolved.method)
                done += len(rows)
                if progress:
                    progress(done, len(measured))
        start += len(samples)
    if progress:
        progress(len(measured), len(measured))
    return SecondPass(answers, static, routing.chosen, routing.margin, routing.entropy)


def _answers(engine: Engine, batch: Batch, coefficients: Tensor, method: str) -> Tensor:
    """What the merges with coefficients (B, T) answer to a batch where the weights are: int16
    (B, T) on the CPU."""
    z = engine.merged_embedding(batch, coefficients, method=method)
    found, lost = answers_of(engine, z).cpu(), ~torch.isfinite(z).all(1).cpu()
    if lost.any():  # as for one request: then the static merge answers
        found[lost] = answers_of(engine, engine.static_embedding(batch[lost], method=method)).cpu()
    return found
