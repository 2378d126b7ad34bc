"""A suite without one of its experts, for every expert in turn: does it notice the missing task,
and what does falling back to the static coefficients change there?

The merged models are merged without the expert too. The cache probe's statistics were made with
it, so there only the expert's own column is left out. Relies on `Engine.models`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from semerge.backbones import Batch
from semerge.engine import Engine
from semerge.evaluation import abstention
from semerge.evaluation.data import LabelledSet
from semerge.evaluation.intervals import pooled
from semerge.evaluation.measure import Cancelled, Key, each_batch, tasks_of
from semerge.evaluation.represent import represent
from semerge.settings import Resolved
from semerge.unfit import Calibration, Reading


@dataclass(frozen=True)
class LeftOut:
    """readings[t] has the N samples' distances without expert t, (N, T − 1), the columns of the
    others in the suite's order; tasks (N,)."""

    readings: tuple[Reading, ...]
    tasks: Tensor

    def calibration(self, t: int) -> Calibration:
        """Thresholds without expert t, from the samples of the other tasks."""
        return abstention.calibrate(self.readings[t].of(self.tasks != t))


@torch.inference_mode()
def leave_out(
    engine: Engine,
    sets: Sequence[LabelledSet],
    key: Key,
    other: Key | None = None,
    cancelled: Cancelled | None = None,
) -> LeftOut:
    """Distances without each expert in turn, at one or two keys.

    Raises:
        Interrupted: `cancelled` said so.
    """
    count, total = engine.models.vectors.count, sum(len(s) for s in sets)
    keys = [key] if other is None else [key, other]
    found = [torch.empty(count, total, count - 1) for _ in keys]
    for _, at, batch in each_batch(engine, sets, cancelled):
        placed = engine.models.place(batch)
        for ordered, one in zip(found, keys, strict=True):
            ordered[:, at] = _without_each(engine, placed, one).cpu()
    by_expert = zip(*found, strict=True)
    return LeftOut(tuple(Reading(*columns) for columns in by_expert), tasks_of(engine, sets))


def left_out_rates(validation: LeftOut, split: LeftOut, names: Sequence[str]) -> dict[str, Any]:
    """For each score the misses where each expert is left out and its task fed, and the false
    alarms on the other tasks.

    The thresholds without an expert come from validation's samples of the other tasks. `tasks` has
    the misses by the task that was left out, all named as in `names`, the suite's tasks.
    """
    by_task: dict[str, dict[str, Any]] = {}
    for t in split.tasks.unique().tolist():
        reading, own = split.readings[t], split.tasks == t
        unseen = {names[t]: reading.of(own)}
        by_task[names[t]] = abstention.rates(validation.calibration(t), reading.of(~own), unseen)
    found = {}
    for score in next(iter(by_task.values())):
        kinds = {name: rates[score]["kinds"][name] for name, rates in by_task.items()}
        found[score] = {
            "miss": pooled(kinds.values()),
            "false_alarm": pooled(rates[score]["false_alarm"] for rates in by_task.values()),
            "tasks": kinds,
        }
    return found


@torch.inference_mode()
def left_out_fallback(
    engine: Engine,
    sets: Sequence[LabelledSet],
    validation: LeftOut,
    split: LeftOut,
    resolved: Resolved,
    score: str,
    cancelled: Cancelled | None = None,
) -> dict[str, Any]:
    """What becomes of the accuracy on each task without its expert, if the static coefficients of
    the other experts are used where the notice by `score` comes.

    sets: the samples of `split`. The task's own head answers: no other one has its classes. As
    `abstention.fallback`, with `tasks`: the same for each task.

    Raises:
        Interrupted: `cancelled` said so.
    """
    names, count = engine.suite.task_names, engine.models.vectors.count
    labels = torch.from_numpy(np.concatenate([s.labels for s in sets]))
    unfit, se, static = (torch.zeros(len(labels), dtype=torch.bool) for _ in range(3))
    for t in split.tasks.unique().tolist():
        own = split.tasks == t
        unfit[own] = validation.calibration(t).unfit(split.readings[t].of(own), score)
    for t, at, batch in each_batch(engine, sets, cancelled):
        placed, others = engine.models.place(batch), _others(t, count)
        routed = torch.zeros(len(at), count, dtype=torch.float64)
        routed[:, others] = engine.route(split.readings[t].routing[at], resolved).coefficients
        same = torch.zeros_like(routed)
        same[:, others] = engine.suite.defaults.static_lambda
        for right, coefficients in ((se, routed), (static, same)):
            z = engine.merged_embedding(placed, coefficients)
            right[at] = engine.logits(z, names[t]).argmax(1).cpu() == labels[at]

    def changed(rows: Tensor) -> dict[str, Any]:
        return abstention.fallback(unfit[rows], {"oracle": (se[rows], static[rows])})

    tasks = {names[t]: changed(split.tasks == t) for t in split.tasks.unique().tolist()}
    return changed(torch.arange(len(labels))) | {"tasks": tasks}


def _without_each(engine: Engine, placed: Batch, key: Key) -> Tensor:
    """T matrices of distances, (T, B, T − 1)."""
    models, count = engine.models, engine.models.vectors.count
    if key.probe == "cache":
        merged = represent(engine, models.probed(key.probe_lambda), placed, key.point)
        every = models.statistics[key.point].distances(merged)  # (B, T)
        return torch.stack([every[:, _others(t, count)] for t in range(count)])
    experts = torch.stack(
        [represent(engine, partial(models.expert, t), placed, key.point) for t in range(count)]
    )  # (T, B, K)
    found = []
    for t in range(count):
        # the base is the merged model at λ = 0, and has nothing to leave out
        scales = torch.full((count,), key.probe_lambda, device=models.device)
        scales[t] = 0.0
        stage = models.base if key.probe == "base" else models.merged(scales)
        apart = experts[_others(t, count)] - represent(engine, stage, placed, key.point)
        found.append(torch.linalg.vector_norm(apart, dim=-1).mT)
    return torch.stack(found)


def _others(t: int, count: int) -> list[int]:
    return [k for k in range(count) if k != t]
