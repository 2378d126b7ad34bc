"""A suite without one of its experts, for every expert in turn: does it notice the missing task?

The merged model that is probed is merged without the expert too. The cache probe's statistics
were made with it, so there only the expert's own column is left out. Relies on `Engine.models`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from semerge.backbones import Batch
from semerge.engine import Engine
from semerge.evaluation import abstention
from semerge.evaluation.data import LabelledSet
from semerge.evaluation.intervals import pooled
from semerge.evaluation.measure import Cancelled, Key, each_batch, tasks_of
from semerge.evaluation.represent import represent
from semerge.unfit import Reading


@dataclass(frozen=True)
class LeftOut:
    """readings[t] has the N samples' distances without expert t, (N, T − 1), the columns of the
    others in the suite's order; tasks (N,)."""

    readings: tuple[Reading, ...]
    tasks: Tensor


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
        calibration = abstention.calibrate(validation.readings[t].of(validation.tasks != t))
        reading, own = split.readings[t], split.tasks == t
        unseen = {names[t]: reading.of(own)}
        by_task[names[t]] = abstention.rates(calibration, reading.of(~own), unseen)
    found = {}
    for score in next(iter(by_task.values())):
        kinds = {name: rates[score]["kinds"][name] for name, rates in by_task.items()}
        found[score] = {
            "miss": pooled(kinds.values()),
            "false_alarm": pooled(rates[score]["false_alarm"] for rates in by_task.values()),
            "tasks": kinds,
        }
    return found


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
