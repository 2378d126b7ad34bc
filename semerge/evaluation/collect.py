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

from semerge.data.batches import BATCH_SIZE, batches
from semerge.data.labelled import LabelledSet, Sets
from semerge.engine import Engine
from semerge.evaluation.field.rivals import ENSEMBLE, Rival, Way, keys_of, settings_of
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
    each_batch,
    measure,
    static_of,
)
from semerge.registry import Key
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
    ways: Sequence[Way],
    progress: Progress | None = None,
    cancelled: Cancelled | None = None,
    so_far: Callable[[Collected], None] | None = None,
) -> Collected:
    """Run every one of `ways`, settings and rivals, over labelled sets of the engine's suite.

    progress gets (samples done, samples in all) after each part, so_far what is done by then. Where
    `cancelled` says so, the parts that are done are returned. Raises UserError where a sample can't
    be read, the cache probe is asked for without statistics, or a fallback without knowing when no
    expert fits.
    """
    settings = [settings_of(way) for way in ways]
    for resolved in settings:
        engine.check(resolved)
    keys = {key: None for way in ways for key in _needed(engine, way)}
    ensemble = any(isinstance(way, Rival) and way.name == ENSEMBLE for way in ways)
    plan = Plan(
        keys=tuple(keys),
        answers=tuple(dict.fromkeys((BASE, *map(static_of, settings)))),
        # the notice asks how sure the nearest expert is
        own_only=len(ways) == 1 and settings[0].fallback == "route" and not ensemble,
        ensemble=ensemble,
    )
    done: list[Done] = []

    def collected(take: Callable[[Lazy], Sequence[Any]]) -> Collected:
        columns = tuple(
            take(Lazy(done, lambda one, s=s: one[1][s]))  # type: ignore[misc]
            for s in range(len(ways))
        )
        return Collected(take(Lazy(done, itemgetter(0))), columns, len(done) == sets.total)

    for which, rows in parts(engine, sets.sets):
        part = replace(sets, sets=(sets.sets[which].take(rows),), rows=(sets.rows[which][rows],))
        columns = []
        try:
            measured = measure(engine, part.sets, plan, None, cancelled)
            for way in ways:
                run = _second(engine, part.sets, measured, way, cancelled)
                columns.append(make_rows(engine.suite, part, measured, run))
        except Interrupted:
            break
        places = [(which, int(row)) for row in rows]
        done += zip(places, zip(*columns, strict=True), strict=True)
        if progress:
            progress(len(done), sets.total)
        if so_far:
            so_far(collected(lambda lazy: lazy))
    return collected(tuple)


def _needed(engine: Engine, way: Way) -> tuple[Key, ...]:
    """Where distances must be measured."""
    if isinstance(way, Resolved) and way.fallback == "static":
        return engine.needed(way)
    return keys_of(way)


def parts(engine: Engine, sets: Sequence[LabelledSet]) -> Iterator[Part]:
    """The batches of all sets, the sets taking turns."""

    def of(samples: LabelledSet) -> Iterator[np.ndarray]:
        if not samples.visual:
            return (rows for rows, _ in batches(engine.backbone, samples))
        # as `batches` cuts them; pictures need not be prepared to know that
        cuts = range(BATCH_SIZE, len(samples), BATCH_SIZE)
        return iter(np.array_split(np.arange(len(samples)), cuts))

    for turn in zip_longest(*map(of, sets)):
        yield from ((which, rows) for which, rows in enumerate(turn) if rows is not None)


def make_rows(suite: Suite, sets: Sets, measured: Measurement, second: SecondPass) -> Iterator[Row]:
    """One row a sample."""

    def classes(heads: Tensor, numbers: Tensor) -> list[str]:
        both = zip(heads.tolist(), numbers.tolist(), strict=True)
        return [suite.tasks[t].classes[number] for t, number in both]

    tasks, names = measured.tasks, suite.task_names
    models = {"base": measured.answers[BASE], "static": second.static, "se": second.answers}
    heads = {"oracle": tasks, "routed": second.chosen}
    columns = {
        # a sample's own name, or task/split/number with its number in the split's file or cut
        "id": [
            name
            for samples, rows in zip(sets.sets, sets.rows, strict=True)
            for name in samples.names or (f"{samples.task}/{samples.split}/{n}" for n in rows)
        ],
        "task": [names[t] for t in tasks.tolist()],
        "label": classes(tasks, measured.labels),
        "chosen": [names[t] for t in second.chosen.tolist()],
        "margin": second.margin.tolist(),
        "entropy": second.entropy.tolist(),
        "expert": classes(tasks, measured.under(measured.expert_of(tasks), tasks)),
        "confidence": measured.confidence.gather(1, tasks[:, None])[:, 0].tolist(),
    } | {
        f"{model}_{head}": classes(of, measured.under(answers, of))
        for model, answers in models.items()
        for head, of in heads.items()
    }
    for values in zip(*columns.values(), strict=True):
        yield Row(**dict(zip(columns, values, strict=True)))


# ---- the second pass, without what was done already ----------------------------------------------


def _second(
    engine: Engine,
    sets: Sequence[LabelledSet],
    measured: Measurement,
    way: Way,
    cancelled: Cancelled | None,
) -> SecondPass:
    """Of settings or a rival; the ensemble's second pass is what its experts answered, and that of
    models of a rival's own is theirs."""
    if isinstance(way, Resolved):
        distances = measured.distances[way.probing]
        return second_pass(engine, sets, measured, distances, way, cancelled)
    resolved = way.resolved
    if way.entry is not None:
        if way.alone:
            return _of_models(engine, sets, measured, way, cancelled)
        distances = torch.empty(len(measured), engine.models.vectors.count)
        for _, at, batch in each_batch(engine, sets, cancelled):
            with torch.inference_mode():
                distances[at] = way.running.run(batch).float().cpu()
        return second_pass(engine, sets, measured, distances, resolved, cancelled)
    if way.name != ENSEMBLE:
        distances = way.distances(sets, measured.tasks, engine.models.vectors.count)
        return second_pass(engine, sets, measured, distances, resolved, cancelled)
    assert measured.ensemble is not None  # the plan wanted it
    r = engine.route(measured.distances[resolved.probing], resolved)
    static = measured.answers[static_of(resolved)]
    return SecondPass(measured.ensemble, static, r.chosen, r.margin, r.entropy)


@torch.inference_mode()
def _of_models(
    engine: Engine,
    sets: Sequence[LabelledSet],
    measured: Measurement,
    way: Rival,
    cancelled: Cancelled | None,
) -> SecondPass:
    """Of a dynamic method that answers with models of its own. Who chooses the expert says its
    entry; where it does so itself there is neither a margin nor an entropy."""
    static = measured.answers[static_of(way.resolved)]
    answers, chosen = torch.empty_like(static), measured.tasks.clone()
    for own, at, batch in each_batch(engine, sets, cancelled):
        z, experts = way.running.run(batch, own)
        answers[at] = answers_of(engine, z).cpu()
        if experts is not None:
            chosen[at] = experts.cpu()
    if way.keys:
        r = engine.route(measured.distances[way.resolved.probing], way.resolved)
        return SecondPass(answers, static, r.chosen, r.margin, r.entropy)
    nothing = torch.zeros(len(chosen), dtype=torch.float64)
    return SecondPass(answers, static, chosen, nothing, nothing)


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
    cancelled: Cancelled | None = None,
) -> SecondPass:
    """Route by `distances` (N, T), merge sample by sample, and answer.

    A sample whose coefficients are those of one expert alone has that expert's answers, where
    they were measured; so has one that falls back to the static merge. The others are run in
    batches. The answers of the static merge of `resolved` must have been measured, and for the
    fallback "static" distances at all of `Engine.needed`.
    """
    routing = engine.route(distances, resolved)
    coefficients = routing.coefficients  # (N, T)
    static = measured.answers[static_of(resolved)]  # (N, T)
    fallen = routing.flags["fallback"]
    if resolved.fallback == "static":
        misfits = engine.unfit(measured.distances, resolved, measured.confidence)
        fallen = fallen if misfits is None else fallen | misfits
    winner = coefficients.argmax(1)
    alone = (torch.nn.functional.one_hot(winner, coefficients.shape[1]) == coefficients).all(1)
    answers = measured.expert_of(winner)
    left = ~alone | (answers == NOT_RUN).any(1)
    if not engine.variant(resolved.method).original:  # one task vector alone is no expert then
        left = torch.ones_like(left)
    answers[fallen], left = static[fallen], left & ~fallen
    for _, at, batch in each_batch(engine, sets, cancelled, left):
        z = engine.merged_embedding(batch, coefficients[at], method=resolved.method)
        lost = ~torch.isfinite(z).all(1, keepdim=True)  # as for one request: then static answers
        answers[at] = torch.where(lost.cpu(), static[at], answers_of(engine, z).cpu())
    return SecondPass(answers, static, routing.chosen, routing.margin, routing.entropy)
