"""Does a suite notice what no expert fits? Thresholds from validation, rates on test."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from semerge.engine import Engine
from semerge.evaluation import abstention
from semerge.evaluation.left_out import (
    LeftOut,
    leave_out,
    left_out_fallback,
    left_out_rates,
)
from semerge.evaluation.measure import Cancelled, Key, Measurement, key_of
from semerge.evaluation.second import second_pass
from semerge.evaluation.sets import Sets
from semerge.evaluation.unseen import read, unseen
from semerge.settings import Resolved
from semerge.unfit import Reading

UNSEEN = 100
"""Inputs of each kind that belong to no task."""


@dataclass(frozen=True)
class Cut:
    """What was run of one split: the samples, and what they gave."""

    sets: Sets
    measured: Measurement


def misfits(
    engine: Engine,
    validation: Cut,
    test: Cut,
    resolved: Resolved,
    other: Key | None = None,
    data: Path | None = None,
    *,
    count: int = UNSEEN,
    seed: int = 0,
    cancelled: Cancelled | None = None,
) -> dict[str, Any]:
    """Made inputs, inputs of other tasks, and each expert left out in turn, on both splits.

    The score that the notice goes by is the one with the fewest misses on validation, each kind of
    input counting the same and the left-out experts together as much as all made kinds.

    other: another probe to ask beside the one that routes, see `abstention.other_key`.
    data: a data folder with tasks of the suite's modality that the suite does not have.

    Raises:
        Interrupted: `cancelled` said so.
    """
    suite, key = engine.suite, key_of(resolved)
    seen = {s: _reading(cut, key, other) for s, cut in (("validation", validation), ("test", test))}
    calibration = abstention.calibrate(seen["validation"])
    made: dict[str, dict[str, Any]] = {}
    left: dict[str, LeftOut] = {}
    for number, (split, cut) in enumerate((("validation", validation), ("test", test))):
        inputs = unseen(suite, count, 2 * seed + number, data, split)  # never the same ones twice
        far = {k: read(engine, x, resolved, other, cancelled) for k, x in inputs.items()}
        made[split] = abstention.rates(calibration, seen[split], far)
        if len(suite.tasks) > 2:  # of two experts one is left, and no margin
            left[split] = leave_out(engine, cut.sets.sets, key, other, cancelled)
    names = suite.task_names
    without = {split: left_out_rates(left["validation"], of, names) for split, of in left.items()}
    misses = {
        score: {
            "made": made["validation"][score]["miss"],
            **({"left_out": without["validation"][score]["miss"]["share"]} if without else {}),
        }
        for score in calibration.thresholds
    }
    score = min(misses, key=lambda name: sum(misses[name].values()))
    unfit = calibration.unfit(seen["test"], score)
    back = abstention.fallback(unfit, _right(engine, test, resolved, cancelled))
    if left:
        back["left_out"] = left_out_fallback(
            engine, test.sets.sets, left["validation"], left["test"], resolved, score, cancelled
        )
    return {
        **calibration.to_dict(),
        "inputs": count,
        "score": score,
        "other_probe": other._asdict() if other else None,
        "validation_misses": misses,
        "made": made["test"],
        "left_out": without.get("test", {}),
        "fallback": back,
    }


def _reading(cut: Cut, key: Key, other: Key | None) -> Reading:
    distances = cut.measured.distances
    return Reading(distances[key], distances[other] if other else None)


def _right(
    engine: Engine, cut: Cut, resolved: Resolved, cancelled: Cancelled | None
) -> dict[str, tuple[Tensor, Tensor]]:
    """By head mode, where SE-Merging and the static merge are right."""
    measured, sets = cut.measured, cut.sets.sets
    distances = measured.distances[key_of(resolved)]
    run = second_pass(engine, sets, measured, distances, resolved, None, cancelled)
    static = measured.answers[engine.suite.defaults.static_lambda]
    return {
        "oracle": (measured.oracle(run.answers), measured.oracle(static)),
        "routed": (measured.routed(run.answers, run.chosen), measured.routed(static, run.chosen)),
    }
