"""Saying "no expert fits": scores, thresholds for a stated false-alarm rate, and measured rates.

Scores of an input from its distances to the T experts; each is higher the less it fits:

    entropy      of the coefficients under the preset `literal` (`hard` has none), over log T
    margin       1 − (d2 − d1) / d2
    nearest      d1, in the unit of the probe's distances
    relative     d1 over what is usual for the expert that is nearest: its median on validation
    other probe  d1 by another probe than the one that routes, see `other_key`
    either       the larger of `relative` and `other probe`, each over its own threshold

The two probes notice different things: a small distance to an expert says that this expert has
learnt to leave such an input alone, a small distance to cached representations says that the input
looks like those of a task at all.

A threshold is the quantile of validation's own scores that lets the stated share pass above it; so
the false-alarm rate is chosen there, and what it really is, test shows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from semerge.evaluation.hypothesis import margin_of, nearest
from semerge.evaluation.intervals import auroc, share
from semerge.evaluation.measure import BASE, Key, probing
from semerge.models import Point
from semerge.routing import normalise, similarity, softmax
from semerge.settings import FINAL, PRESETS, Resolved
from semerge.suites import Suite

FALSE_ALARM = 0.05
"""The share of inputs that do belong to a task for which the notice may come."""
OTHER_PROBE, EITHER = "other probe", "either"


@dataclass(frozen=True)
class Reading:
    """Distances (N, T) of N inputs by the probe that routes, and by another one if there is."""

    routing: Tensor
    other: Tensor | None = None

    def of(self, mask: Tensor) -> Reading:
        """Some of the inputs."""
        return Reading(self.routing[mask], None if self.other is None else self.other[mask])


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


@dataclass(frozen=True)
class Calibration:
    """What validation set: usual (T,), the median distance of each expert to the inputs that it is
    the nearest to (of all experts where it is never), and a threshold for each score."""

    usual: tuple[float, ...]
    thresholds: Mapping[str, float]
    false_alarm: float
    n: int

    def scores(self, reading: Reading) -> dict[str, Tensor]:
        """Each score, float64 (N,); inf where distances failed."""
        found = scores(reading, torch.tensor(self.usual, dtype=torch.float64))
        if reading.other is not None:
            found[EITHER] = either(found, self.thresholds)
        return found

    def unfit(self, reading: Reading, score: str) -> Tensor:
        """Where the notice comes, bool (N,)."""
        return self.scores(reading)[score] > self.thresholds[score]

    def to_dict(self) -> dict[str, Any]:
        """For report.json; `from_dict` reads it."""
        return {
            "false_alarm": self.false_alarm,
            "n": self.n,
            "usual": list(self.usual),
            "thresholds": dict(self.thresholds),
        }

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Calibration:
        """From what `to_dict` wrote."""
        return cls(tuple(raw["usual"]), dict(raw["thresholds"]), raw["false_alarm"], raw["n"])


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


def scores(reading: Reading, usual: Tensor) -> dict[str, Tensor]:
    """Every score but `either`, float64 (N,); usual (T,). inf where distances failed."""
    d, preset = reading.routing.double(), PRESETS["literal"]
    weights = softmax(
        normalise(similarity(d, preset.similarity), preset.normalise), preset.temperature
    )
    first, chosen = d.amin(1), nearest(reading.routing)
    found = {
        "entropy": torch.special.entr(weights).sum(1) / math.log(d.shape[1]),
        "margin": 1 - margin_of(reading.routing),
        "nearest": first,
        "relative": first / usual[chosen].clamp(min=torch.finfo(torch.float64).tiny),
    }
    failed = ~torch.isfinite(d).all(1)
    if reading.other is not None:
        found[OTHER_PROBE] = reading.other.double().amin(1)
        failed |= ~torch.isfinite(reading.other).all(1)
    return {name: torch.where(failed, torch.inf, values) for name, values in found.items()}


def either(found: Mapping[str, Tensor], limits: Mapping[str, float]) -> Tensor:
    """The larger of two scores over their limits, (N,)."""
    tiny = torch.finfo(torch.float64).tiny
    both = [found[name] / max(limits[name], tiny) for name in ("relative", OTHER_PROBE)]
    return torch.maximum(*both)


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
    (N,) each. All samples belong to a task, so this is the price of false alarms.
    """
    found: dict[str, Any] = {"n": len(unfit), "fell_back": int(unfit.sum())}
    for head, (se, static) in answers.items():
        mixed = torch.where(unfit, static, se)
        found[head] = {
            "se": float(se.double().mean()),
            "with_fallback": float(mixed.double().mean()),
            "fixed": int((mixed & ~se).sum()),
            "broken": int((se & ~mixed).sum()),
        }
    return found
