"""Saying "no expert fits": thresholds for a stated false-alarm rate, and measured rates.

`semerge.unfit` has the scores. A threshold is the quantile of validation's own scores that lets the
stated share pass above it; so the false-alarm rate is chosen there, and what it really is, test
shows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from semerge.evaluation.intervals import auroc, share
from semerge.evaluation.measure import BASE, Key, probing
from semerge.models import Point
from semerge.settings import FINAL, Resolved
from semerge.suites import Suite
from semerge.unfit import EITHER, Calibration, Reading, either, nearest, scores

FALSE_ALARM = 0.05
"""The share of inputs that do belong to a task for which the notice may come."""


def other_key(suite: Suite, resolved: Resolved, moving: Point) -> Key | None:
    """The probe to ask beside the one that routes: `cache` at the final embedding, for one more
    run of one model, or None without statistics; where `cache` routes, `base` at the point
    `moving`, for one more run of all experts."""
    if resolved.probe == "cache":
        return probing("base", BASE, moving)
    usual = resolved.probe_lambda == suite.defaults.probe_lambda
    if suite.statistics is None or not usual:
        return None
    return probing("cache", resolved.probe_lambda, (FINAL, FINAL))


def calibrate(validation: Reading, false_alarm: float = FALSE_ALARM) -> Calibration:
    """Thresholds from validation samples, each of some task of the suite.

    Raises:
        ValueError: no sample, or a rate that is not between 0 and 1.
    """
    distances = validation.routing
    if not len(distances) or not 0 < false_alarm < 1:
        raise ValueError("thresholds need samples and a rate between 0 and 1")
    first, chosen = distances.double().amin(1), nearest(distances)
    overall = first.median()
    usual = torch.stack(
        [
            first[chosen == t].median() if (chosen == t).any() else overall
            for t in range(distances.shape[1])
        ]
    )

    def limit(values: Tensor) -> float:
        return float(torch.quantile(values, 1 - false_alarm, interpolation="higher"))

    own = scores(validation, usual)
    limits = {name: limit(values) for name, values in own.items()}
    if validation.other is not None:
        limits[EITHER] = limit(either(own, limits))
    return Calibration(tuple(usual.tolist()), limits, false_alarm, len(distances))


def rates(calibration: Calibration, seen: Reading, unseen: Mapping[str, Reading]) -> dict[str, Any]:
    """For each score the false alarms on `seen` and the misses on each kind of `unseen`.

    `miss` over all kinds counts each kind the same; `auroc` needs no threshold.
    """
    own = calibration.scores(seen)
    others = {kind: calibration.scores(reading) for kind, reading in unseen.items()}
    found: dict[str, Any] = {}
    for name, limit in calibration.thresholds.items():
        kinds = {
            kind: share(values[name] <= limit) | {"auroc": auroc(own[name], values[name])}
            for kind, values in others.items()
        }
        missed = [row["share"] for row in kinds.values() if row["n"]]
        found[name] = {
            "threshold": limit,
            "false_alarm": share(own[name] > limit),
            "kinds": kinds,
            "miss": sum(missed) / len(missed) if missed else None,
        }
    return found


def fallback(unfit: Tensor, answers: Mapping[str, tuple[Tensor, Tensor]]) -> dict[str, Any]:
    """What becomes of the accuracy if the static coefficients are used where the notice comes.

    unfit (N,) bool; answers: by head mode, where SE-Merging and the static merge are right, bool
    (N,) each. On samples of the suite's tasks this is the price of false alarms, on those of a task
    whose expert was left out it is what the fallback is good for.
    """
    found: dict[str, Any] = {"n": len(unfit), "fell_back": int(unfit.sum())}
    for head, (se, static) in answers.items():
        mixed = torch.where(unfit, static, se)
        found[head] = {
            "se": float(se.double().mean()),
            "static": float(static.double().mean()),
            "with_fallback": float(mixed.double().mean()),
            "fixed": int((mixed & ~se).sum()),
            "broken": int((se & ~mixed).sum()),
        }
    return found
