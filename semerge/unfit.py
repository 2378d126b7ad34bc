"""How little an input fits the experts: scores from its distances, and thresholds on them.

Scores of an input from its distances to the T experts; each is higher the less it fits:

    entropy      of the coefficients under the preset `literal` (`hard` has none), over log T
    margin       1 − (d2 − d1) / d2
    nearest      d1, in the unit of the probe's distances
    relative     d1 over what is usual for the expert that is nearest: its median on validation
    other probe  d1 by another probe than the one that routes, see `misfits.other_key`
    either       the larger of `relative` and `other probe`, each over its own threshold

The two probes notice different things: a small distance to an expert says that this expert has
learnt to leave such an input alone, a small distance to cached representations says that the input
looks like those of a task at all.

`semerge.evaluation.misfits` sets the thresholds and measures what they do.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from semerge.routing import margin, nearest, normalise, similarity, softmax
from semerge.settings import PRESETS

OTHER_PROBE, EITHER = "other probe", "either"


@dataclass(frozen=True)
class Reading:
    """Distances (N, T) of N inputs by the probe that routes, and by another one if there is."""

    routing: Tensor
    other: Tensor | None = None

    def of(self, mask: Tensor) -> Reading:
        """Some of the inputs."""
        return Reading(self.routing[mask], None if self.other is None else self.other[mask])


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


def scores(reading: Reading, usual: Tensor) -> dict[str, Tensor]:
    """Every score but `either`, float64 (N,); usual (T,). inf where distances failed."""
    d, preset = reading.routing.double(), PRESETS["literal"]
    weights = softmax(
        normalise(similarity(d, preset.similarity), preset.normalise), preset.temperature
    )
    first, chosen = d.amin(1), nearest(reading.routing)
    found = {
        "entropy": torch.special.entr(weights).sum(1) / math.log(d.shape[1]),
        "margin": 1 - margin(reading.routing),
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
