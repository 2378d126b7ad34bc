"""Rows of labelled samples, part by part, so that a run that is stopped keeps what is done."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest

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
    unfit,
)
from semerge.settings import Resolved
from semerge.suites import Suite

Place = tuple[int, int]  # which set, and which sample of it
Part = tuple[int, np.ndarray]  # which set, and which samples of it


@dataclass(frozen=True)
class Collected:
    """Rows of the samples that are done, in the order of the sets, one list for each setting."""

    places: tuple[Place, ...]
    rows: tuple[tuple[Row, ...], ...]
    complete: bool


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
    suite = engine.suite
    for resolved in settings:
        engine.check(resolved)
    plan = Plan(
        keys=tuple(dict.fromkeys(key for one in settings for key in keys_of(engine, one))),
        answers=tuple(dict.fromkeys((BASE, suite.defaults.static_lambda))),
        own_only=len(settings) == 1,
        caches={("cache", suite.defaults.probe_lambda): engine.models.statistics},
    )
    found: dict[Place, list[Row]] = {}
    for which, rows in parts(engine, sets.sets):
        try:
            for place, of_settings in _part(engine, sets, plan, settings, which, rows, cancelled):
                found[place] = of_settings
        except Interrupted:
            break
        if progress:
            progress(len(found), sets.total)
        if so_far:
            so_far(_collected(found, sets, len(settings)))
    return _collected(found, sets, len(settings))


def _collected(found: Mapping[Place, list[Row]], sets: Sets, count: int) -> Collected:
    places = tuple(sorted(found))
    columns = tuple(tuple(found[p][s] for p in places) for s in range(count))
    return Collected(places, columns, len(found) == sets.total)


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
) -> Iterator[tuple[Place, list[Row]]]:
    samples = sets.sets[which].take(rows)
    part = replace(sets, sets=(samples,), rows=(sets.rows[which][rows],))
    measured = measure(engine, part.sets, plan, None, cancelled)
    columns = []
    for resolved in settings:
        distances = measured.distances[resolved.probing]
        run = second_pass(engine, part.sets, measured, distances, resolved, None, cancelled)
        columns.append(list(make_rows(engine.suite, part, measured, run)))
    for i, of_settings in enumerate(zip(*columns, strict=True)):
        yield (which, int(rows[i])), list(of_settings)


def make_rows(suite: Suite, sets: Sets, measured: Measurement, second: SecondPass) -> Iterator[Row]:
    """One row a sample."""
    static = measured.answers[suite.defaults.static_lambda]
    chosen, tasks = second.chosen, measured.tasks

    def both(answers: Tensor) -> list[tuple[int, int]]:
        oracle, routed = measured.under(answers, tasks), measured.under(answers, chosen)
        return list(zip(oracle.tolist(), routed.tolist(), strict=True))

    columns = [both(measured.answers[BASE]), both(static), both(second.answers)]
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
