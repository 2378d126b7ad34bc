"""One run over labelled samples, from which every figure is made.

Each model (base, experts, merges at several λ) sees a batch once, and only small numbers are kept:
distances at every key that is asked for, and the answers under every head.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from semerge.backbones import Batch
from semerge.data.batches import batches
from semerge.data.labelled import LabelledSet
from semerge.engine import Engine
from semerge.models import BASE as BASE_MODEL
from semerge.models import Model, Point, Stage
from semerge.probe import Caches, Place, run
from semerge.registry import TASK_ARITHMETIC, Key
from semerge.settings import Resolved

Progress = Callable[[int, int], None]
Cancelled = Callable[[], bool]
"""Asked before each batch whether to stop: whatever takes one raises `Interrupted` then."""
Merge = float | tuple[str, float]

BASE = 0.0
"""λ of the merged model that is the base."""
NOT_RUN = -1


class Interrupted(Exception):
    """The caller asked a run to stop."""


@dataclass(frozen=True)
class Plan:
    """What to get from one run.

    keys: distances wanted. answers: the merged models whose answers are wanted, (method, λ), or λ
    alone for Task Arithmetic (0: the base).
    own_only: each task's own expert runs to its end, the others as far as they are probed.
    ensemble: whether the answers of all experts together are wanted; then all run to their end.
    caches: statistics by (probe, probe_lambda) that are on trial in place of the suite's.
    """

    keys: tuple[Key, ...] = ()
    answers: tuple[Merge, ...] = ()
    own_only: bool = False
    ensemble: bool = False
    caches: Caches = field(default_factory=dict)


@dataclass(frozen=True)
class Measurement:
    """What N samples of several tasks gave. Answers are class numbers under each task's head. With
    K keys, A merged models and T tasks it holds 16 + 4KT + 2AT + 2T² + 4T bytes a sample, and 2T
    more of the ensemble where that was wanted."""

    sets: Sequence[LabelledSet]  # the samples
    tasks: Tensor  # (N,) int64, positions in the suite
    labels: Tensor  # (N,) int64
    distances: dict[Key, Tensor]  # (N, T) float32
    answers: dict[Merge, Tensor]  # as they were asked for -> (N, T) int16
    experts: Tensor  # (T experts, N, T heads) int16; NOT_RUN where an expert was cut short
    confidence: Tensor  # (N, T) float32, each expert's top score under its own head; or NaN
    ensemble: Tensor | None = None  # (N, T) int16, by the mean of the experts' probabilities

    def __len__(self) -> int:
        return len(self.tasks)

    def under(self, answers: Tensor, heads: Tensor) -> Tensor:
        """(N, T) answers -> those under the head of each sample's task in `heads`, int64 (N,)."""
        return answers.gather(1, heads[:, None])[:, 0].long()

    def oracle(self, answers: Tensor) -> Tensor:
        """(N, T) answers -> right with the own task's head, bool (N,)."""
        return self.under(answers, self.tasks) == self.labels

    def routed(self, answers: Tensor, chosen: Tensor) -> Tensor:
        """(N, T) answers -> right with the chosen expert's head; it must be the right expert."""
        return (chosen == self.tasks) & self.oracle(answers)

    def expert_of(self, chosen: Tensor) -> Tensor:
        """Answers (N, T) of one expert a sample, chosen (N,)."""
        return self.experts[chosen, torch.arange(len(chosen))]

    def macro(self, right: Tensor, tasks: Sequence[int] | None = None) -> float:
        """bool (N,) -> mean over all tasks, or those given, of the share that is True."""
        seen = self.tasks.unique().tolist() if tasks is None else list(tasks)
        return float(np.mean([right[self.tasks == t].double().mean().item() for t in seen]))


def measure(
    engine: Engine,
    sets: Sequence[LabelledSet],
    plan: Plan,
    progress: Progress | None = None,
    cancelled: Cancelled | None = None,
) -> Measurement:
    """Run `plan` over labelled sets of the engine's suite.

    progress gets (samples done, samples in all) after each batch.

    Beside what one forward pass needs, a batch holds the representations of every merged model at
    each point that its keys ask for. With pooling `all` a point is every token: 67 MB in ViT-L/14,
    so 1.6 GB for its 24 layers at one λ; with any other pooling it is 0.3 MB.
    """
    total, count = sum(len(s) for s in sets), engine.models.vectors.count
    unanswered = torch.full((count, total, count), NOT_RUN, dtype=torch.int16)
    found = Measurement(
        sets=sets,
        tasks=tasks_of(engine, sets),
        labels=torch.from_numpy(np.concatenate([s.labels for s in sets])),
        distances={key: torch.empty(total, count) for key in plan.keys},
        answers={merge: unanswered[0].clone() for merge in plan.answers},
        experts=unanswered,
        confidence=torch.full((total, count), torch.nan),
        ensemble=unanswered[0].clone() if plan.ensemble else None,
    )
    device, done = engine.models.device, 0
    caches = {  # no copy of those that are there
        name: {point: s.to(device) for point, s in statistics.items()}
        for name, statistics in plan.caches.items()
    }
    plan = replace(plan, caches=caches)
    for own, at, batch in each_batch(engine, sets, cancelled):
        _run(engine, plan, batch, own, found, at)
        done += len(at)
        if progress:
            progress(done, total)
    return found


def each_batch(
    engine: Engine,
    sets: Sequence[LabelledSet],
    cancelled: Cancelled | None = None,
    only: Tensor | None = None,
) -> Iterator[tuple[int, Tensor, Batch]]:
    """(task, at, batch) of every batch of labelled sets, where the weights are: the task's position
    in the suite, and where the batch's samples lie among those of all sets, int64 (B,). only: the
    samples that are wanted, bool (N,)."""
    start = 0
    for whole in sets:
        of, own = whole, engine.suite.index(whole.task)
        at = torch.arange(start, start + len(whole))
        start += len(whole)
        if only is not None:
            wanted = only[at]
            at, of = at[wanted], whole.take(wanted.nonzero()[:, 0].numpy())
        for rows, batch in batches(engine.backbone, of):
            if cancelled and cancelled():
                raise Interrupted
            yield own, at[torch.from_numpy(rows)], engine.models.place(batch)


def tasks_of(engine: Engine, sets: Sequence[LabelledSet]) -> Tensor:
    """The position in the suite of each sample's task, int64 (N,)."""
    return torch.cat([torch.full((len(s),), engine.suite.index(s.task)) for s in sets])


def represent(engine: Engine, stage: Stage, placed: Batch, point: Point) -> Tensor:
    """Representations (B, K) float32 at a (layer, pool), of a batch where the weights are."""
    return dict(engine.models.representations(stage, placed, {point}))[point].float()


def answers_of(engine: Engine, z: Tensor) -> Tensor:
    """Final embeddings (B, D) -> the class under each task's head, int16 (B, T)."""
    columns = [engine.logits(z, name).argmax(1) for name in engine.suite.task_names]
    return torch.stack(columns, dim=1).to(torch.int16)


def ensemble_of(engine: Engine, ends: Iterable[Tensor], task_name: str) -> Tensor:
    """Final embeddings (B, D) of every expert -> the mean of their probabilities under the head of
    one task, (B, C)."""
    return torch.stack([engine.logits(z, task_name).softmax(1) for z in ends]).mean(0)


@torch.inference_mode()
def _run(
    engine: Engine, plan: Plan, batch: Batch, own: int, found: Measurement, rows: Tensor
) -> None:
    """One batch of task `own` through every model of the plan; fills `rows` of `found`."""
    merges: dict[Merge, Model] = {
        merge: merge if isinstance(merge, tuple) else (TASK_ARITHMETIC, merge)
        for merge in plan.answers
    }
    if BASE in merges:
        merges[BASE] = BASE_MODEL
    experts = [own] if plan.own_only else list(range(len(found.experts)))
    places = [Place.of(engine.models, key, plan.caches) for key in plan.keys]
    distances, ends = run(engine.models, batch, places, {*merges.values(), *experts})
    of_merges = {merge: answers_of(engine, ends[model]) for merge, model in merges.items()}
    of_experts = {t: answers_of(engine, ends[t]) for t in experts}
    parts: list[tuple[Any, dict[Any, Tensor]]] = [
        (found.distances, {key: d.expand(-1, len(found.experts)) for key, d in distances.items()}),
        (found.answers, of_merges),
        (found.experts, of_experts),
        (found.confidence.mT, {t: engine.confidence(ends[t], t) for t in experts}),
    ]
    if found.ensemble is not None:
        every = [ends[t] for t in experts]
        heads = enumerate(engine.suite.task_names)
        scores = {s: ensemble_of(engine, every, name) for s, name in heads}
        together = {s: x.argmax(1).to(torch.int16) for s, x in scores.items()}
        parts.append((found.ensemble.mT, together))
    for whole, part in parts:
        # by one copy, when the batch is done: a copy from a device waits for all of its work
        brought = torch.stack([*part.values()]).cpu() if part else ()
        for name, values in zip(part, brought, strict=True):
            whole[name][rows] = values


def static_of(resolved: Resolved) -> Merge:
    """The static merge of these settings, as a plan asks for it."""
    usual = resolved.method == TASK_ARITHMETIC
    return resolved.static_lambda if usual else (resolved.method, resolved.static_lambda)
