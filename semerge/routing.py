"""Distances -> similarities -> coefficients: the routing of SE-Merging, for every preset; and
whether an expert fits at all.

Pure functions of a (B, T) matrix of distances. Nothing here knows images, text or models. The
arithmetic is float64: it is T numbers a sample, and it makes the edge cases exact. It is numpy's,
whose small operations cost a fraction of torch's: for one sample of a small model that shows.
Source: arXiv 2506.18135, with the readings that semerge.settings names.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from semerge.registry import Key
from semerge.settings import PRESETS, Resolved
from semerge.suites.abstention import STILL, TOGETHER, Beside

Array = NDArray[np.float64]
EPSILON = 1e-12  # of the mean distance: keeps 1/d finite and lets a zero distance win
ZSCORE = 1e-6  # MASS adds it to the standard deviation
EQUAL = 1e-6  # distances that differ by less than this share of their mean are the same


@dataclass(frozen=True)
class Routing:
    """What B samples are routed to, over T tasks. All float64 unless said otherwise."""

    similarities: Tensor  # (B, T) normalised over the tasks
    weights: Tensor  # (B, T) softmax(similarities / temperature); rows sum to 1
    coefficients: Tensor  # (B, T) mass * weights, these in whole parts where that is asked for
    chosen: Tensor  # (B,) int64, the nearest expert
    margin: Tensor  # (B,) (d2 - d1) / d2
    entropy: Tensor  # (B,) of weights, in nats, over log T: in [0, 1]
    flags: Mapping[str, Tensor]  # (B,) bool each: near_tie, flat, far, fallback


def route(
    distances: Tensor,
    resolved: Resolved,
    thresholds: Mapping[str, float | None] | None = None,
) -> Routing:
    """Turn raw distances into coefficients, sample by sample. A row with a distance that is not
    finite falls back to the static coefficients.

    distances: (B, T), T >= 2, not negative. resolved: what the request chose; the mass "T*lambda"
    is T times its static λ. thresholds: `near_tie` on the margin, `flat` on (max d - min d) / mean
    d, both relative; `far` on the smallest distance, in its own unit; None switches a flag off.
    Raises ValueError where T < 2, or distances are no matrix.
    """
    if distances.ndim != 2 or distances.shape[1] < 2:
        raise ValueError(f"distances must be (B, T) with T >= 2, not {tuple(distances.shape)}")
    d = distances.detach().to("cpu", torch.float64).numpy()  # (B, T)
    tasks = d.shape[1]
    finite = np.isfinite(d)
    broken = ~finite.all(axis=1)  # (B,)
    chosen = np.where(finite, d, np.inf).argmin(axis=1)  # (B,)
    d = np.where(broken[:, None], 1.0, d)

    low, high, mean = d.min(axis=1), d.max(axis=1), d.mean(axis=1)  # (B,)
    equal = high - low <= EQUAL * mean
    far = np.where(equal[:, None], 1.0, d)  # equal ones may all be zero
    similarities = normalise(similarity(far, resolved.similarity), resolved.normalise)
    similarities = np.where(equal[:, None], 0.0, similarities)
    if resolved.hard:
        weights = np.eye(tasks)[chosen]
    else:
        weights = softmax(similarities, resolved.temperature)
    weights = np.where(equal[:, None], 1.0 / tasks, weights)

    mass = 1.0 if resolved.mass == "1" else tasks * resolved.static_lambda
    shares = weights if resolved.quantise is None else _whole(weights, resolved.quantise)
    coefficients = np.where(broken[:, None], resolved.static_lambda, mass * shares)  # (B, T)

    margins = _margin(d)
    logs = np.log(weights, where=weights > 0, out=np.zeros_like(weights))
    # from 0, as one weight alone would give -0, which tables and files would show
    entropy = (0.0 - (weights * logs).sum(axis=1)) / math.log(tasks)
    limits = {name: limit for name, limit in (thresholds or {}).items() if limit is not None}
    flags = {
        "near_tie": (margins < limits.get("near_tie", -np.inf)) & ~broken,
        "flat": (_ratio(high - low, mean) < limits.get("flat", -np.inf)) & ~broken,
        "far": (low > limits.get("far", np.inf)) & ~broken,
        "fallback": broken,
    }
    return Routing(
        similarities=torch.from_numpy(similarities),
        weights=torch.from_numpy(weights),
        coefficients=torch.from_numpy(coefficients),
        chosen=torch.from_numpy(chosen),
        margin=torch.from_numpy(margins),
        # rounding may pass 0 and 1 by a few 1e-16
        entropy=torch.from_numpy(entropy.clip(0.0, 1.0)),
        flags={name: torch.from_numpy(flag) for name, flag in flags.items()},
    )


def nearest(distances: Tensor) -> Tensor:
    """(B, T) -> (B,): the expert with the smallest finite distance, the first of equals."""
    return torch.where(torch.isfinite(distances), distances, torch.inf).argmin(dim=1)


def margin(distances: Tensor) -> Tensor:
    """(B, T) -> (d2 - d1) / d2 of the two smallest distances, float64 (B,); 0 where any failed."""
    d = distances.detach().to("cpu", torch.float64).numpy()
    broken = ~np.isfinite(d).all(axis=1)
    return torch.from_numpy(np.where(broken, 0.0, _margin(np.where(broken[:, None], 1.0, d))))


def clearer_than(margin: float, margins: Sequence[tuple[float, float]]) -> float | None:
    """The share of samples with a larger margin; between two that are known, in proportion. None
    where `margins`, of `semerge.suites.abstention.Usual`, is empty: nobody measured it."""
    if not margins:
        return None
    after = min(bisect_right(margins, (margin, 2.0)), len(margins) - 1)
    (low, below), (high, until) = margins[max(after - 1, 0)], margins[after]
    part = (margin - low) / (high - low) if high > low else 1.0
    return 1 - (below + min(max(part, 0.0), 1.0) * (until - below))


# --------------------------------------------------------------------------------------------------
# Whether an expert fits at all, by scores that are higher the less an input fits:
#
#     entropy      of the coefficients under the preset `literal` (`hard` has none), over log T
#     margin       1 − (d2 − d1) / d2
#     nearest      d1, in the unit of the probe's distances
#     relative     d1 over what is usual for the expert that is nearest: its median on validation
#     other probe  d1 by another probe than the one that routes, see `misfits.other_key`
#     either       the larger of `relative` and `other probe`, each over its own threshold
#     still at P   minus the logarithm of how far the merged model moves the input from the base at
#                  a layer and pooling P, over the base's size: experts that stay elsewhere do not
#                  move it
#     doubt        1 − the calibrated top score of the nearest expert
#     together     a weighted sum of all of these but `either`, see `Calibration`
#
# The two probes notice different things: a small distance to an expert says that this expert has
# learnt to leave such an input alone, a small distance to cached representations says that the
# input looks like those of a task at all. `semerge.evaluation.misfits` sets weights and thresholds
# and measures what they do.

OTHER_PROBE, EITHER, DOUBT = "other probe", "either", "doubt"
SMALL = 1e-6  # scores below it are told apart no more, where logarithms are taken
CLIP = 6.0  # standard deviations


@dataclass(frozen=True)
class Reading:
    """What is known of N inputs: distances (N, T) by the probe that routes, and where they are
    known, by another one; gauges (N,) by "layer/pool"; top scores of the T experts under their own
    heads (N, T), or of the nearest alone (N, 1). left_out: the expert that has no column, if one
    was left out."""

    routing: Tensor
    other: Tensor | None = None
    moved: Mapping[str, Tensor] = field(default_factory=dict)
    confidence: Tensor | None = None
    left_out: int | None = None

    @property
    def experts(self) -> Tensor:
        """Which expert each column is of, int64."""
        whole = torch.arange(self.routing.shape[1] + (self.left_out is not None))
        return whole if self.left_out is None else whole[whole != self.left_out]

    @classmethod
    def at(
        cls,
        distances: Mapping[Key, Tensor],
        key: Key,
        beside: Beside,
        confidence: Tensor | None = None,
        left_out: int | None = None,
    ) -> Reading:
        """From what was measured at a key and beside it."""
        other = None if beside.other is None else distances[beside.other].cpu()
        moved = {f"{one.layer}/{one.pool}": distances[one][:, 0].cpu() for one in beside.gauges}
        confidence = None if confidence is None else confidence.cpu()
        return cls(distances[key].cpu(), other, moved, confidence, left_out)

    def of(self, mask: Tensor) -> Reading:
        """Some of the inputs."""
        return Reading(
            self.routing[mask],
            None if self.other is None else self.other[mask],
            {name: values[mask] for name, values in self.moved.items()},
            None if self.confidence is None else self.confidence[mask],
            self.left_out,
        )


@dataclass(frozen=True)
class Weight:
    """Of one score in `together`: (score − mean) / scale, times factor."""

    mean: float
    scale: float
    factor: float


@dataclass(frozen=True)
class Calibration:
    """What validation set: usual (T,), the median distance of each expert to the inputs that it is
    the nearest to (of all experts where it is never); a threshold for each score; and by score the
    weights of `together`, of a logistic regression on the scores' logarithms."""

    usual: tuple[float, ...]
    thresholds: Mapping[str, float]
    false_alarm: float
    n: int
    weights: Mapping[str, Weight] = field(default_factory=dict)

    def scores(self, reading: Reading) -> dict[str, Tensor]:
        """Each score, float64 (N,); inf where distances failed."""
        found = scores(reading, torch.tensor(self.usual, dtype=torch.float64))
        if self.weights.keys() <= found.keys() and self.weights:
            found[TOGETHER] = together(found, self.weights)
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
            "weights": {name: vars(weight) for name, weight in self.weights.items()},
        }

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Calibration:
        """From what `to_dict` wrote."""
        weights = {name: Weight(**row) for name, row in raw.get("weights", {}).items()}
        usual, limits = tuple(raw["usual"]), dict(raw["thresholds"])
        return cls(usual, limits, raw["false_alarm"], raw["n"], weights)


def scores(reading: Reading, usual: Tensor) -> dict[str, Tensor]:
    """Every score but `either` and `together`, float64 (N,); usual (T,). inf where distances
    failed."""
    d, preset = reading.routing.double(), PRESETS["literal"]
    similarities = normalise(similarity(d.numpy(), preset.similarity), preset.normalise)
    weights = torch.from_numpy(softmax(similarities, preset.temperature))
    first, chosen = d.amin(1), nearest(reading.routing)
    found = {
        "entropy": torch.special.entr(weights).sum(1) / math.log(d.shape[1]),
        "margin": 1 - margin(reading.routing),
        "nearest": first,
        "relative": first
        / usual[reading.experts[chosen]].clamp(min=torch.finfo(torch.float64).tiny),
    }
    failed = ~torch.isfinite(d).all(1)
    if reading.other is not None:
        found[OTHER_PROBE] = reading.other.double().amin(1)
        failed |= ~torch.isfinite(reading.other).all(1)
    for point, far in reading.moved.items():
        found[STILL + point] = -far.double().clamp(min=SMALL).log()
        failed |= ~torch.isfinite(far)
    if (top := reading.confidence) is not None:
        of_nearest = top[:, 0] if top.shape[1] == 1 else top.gather(1, chosen[:, None])[:, 0]
        found[DOUBT] = 1 - of_nearest.double()
    return {name: torch.where(failed, torch.inf, values) for name, values in found.items()}


def either(found: Mapping[str, Tensor], limits: Mapping[str, float]) -> Tensor:
    """The larger of two scores over their limits, (N,)."""
    tiny = torch.finfo(torch.float64).tiny
    both = [found[name] / max(limits[name], tiny) for name in ("relative", OTHER_PROBE)]
    return torch.maximum(*both)


def logarithm(name: str, values: Tensor) -> Tensor:
    """A score as `together` takes it: none is negative but that which is a logarithm already."""
    return values if name.startswith(STILL) else values.clamp(min=SMALL).log()


def together(found: Mapping[str, Tensor], weights: Mapping[str, Weight]) -> Tensor:
    """The weighted sum, (N,); inf where distances failed. No score counts beyond CLIP standard
    deviations: far out, where nothing was fitted, one could outweigh all others."""
    total = sum(
        w.factor * ((logarithm(name, found[name]) - w.mean) / w.scale).clamp(-CLIP, CLIP)
        for name, w in weights.items()
    )
    return torch.where(torch.isinf(next(iter(found.values()))), torch.inf, torch.as_tensor(total))


# --------------------------------------------------------------------------------------------------
# The arithmetic, on arrays (B, T) and (B,).


def similarity(distances: Array, kind: str) -> Array:
    """`inverse`: 1 / (d + eps), eps = 1e-12 * mean(d); `negative`: -d. (B, T) -> (B, T)."""
    if kind == "negative":
        return -distances
    found: Array = 1.0 / (distances + EPSILON * distances.mean(axis=1, keepdims=True))
    return found


def normalise(similarities: Array, kind: str) -> Array:
    """Normalise over the tasks of each sample. (B, T) -> (B, T).

    `minmax`: (s - min) / (max - min), zeros where all are equal. `zscore`, as in MASS (arXiv
    2504.05342): (s - mean) / (std + 1e-6) with the sample's std (divided by T - 1). `sum`:
    s / sum |s|, so that the negative similarity keeps its order. `none`: as they are.
    """
    if kind == "none":
        return similarities
    if kind == "minmax":
        low = similarities.min(axis=1, keepdims=True)
        return _ratio(similarities - low, similarities.max(axis=1, keepdims=True) - low)
    if kind == "zscore":
        scores: Array = similarities - similarities.mean(axis=1, keepdims=True)
        return scores / (similarities.std(axis=1, ddof=1, keepdims=True) + ZSCORE)
    return _ratio(similarities, np.abs(similarities).sum(axis=1, keepdims=True))


def softmax(similarities: Array, temperature: float) -> Array:
    """softmax(s / temperature) over the tasks; the maximum goes first, so nothing overflows."""
    shifted = similarities - similarities.max(axis=1, keepdims=True)
    powers = np.exp(shifted / temperature)
    found: Array = powers / powers.sum(axis=1, keepdims=True)
    return found


def _margin(distances: Array) -> Array:
    two = np.sort(distances, axis=1)[:, :2]  # (B, 2), the smallest
    return _ratio(two[:, 1] - two[:, 0], two[:, 1])


def _whole(weights: Array, parts: int) -> Array:
    """Shares (B, T) that sum to 1 -> the nearest multiples of 1 / parts that still sum to 1. By
    largest remainders: all are rounded down, and what is left goes, a part each, to those that lost
    most; of equals, to the first."""
    exact = weights * parts
    found = np.floor(exact + EPSILON)  # a multiple stays itself, whatever its last bit
    missing = np.rint(parts - found.sum(axis=1, keepdims=True))  # (B, 1)
    order = np.argsort(found - exact, axis=1, kind="stable")  # the most that was lost goes first
    rank = np.argsort(order, axis=1, kind="stable")
    shares: Array = (found + (rank < missing)) / parts
    return shares


def _ratio(numerator: Array, denominator: Array) -> Array:
    """Their quotient, and 0 where there is nothing to divide by."""
    safe = np.where(denominator > 0, denominator, 1.0)
    return np.where(denominator > 0, numerator / safe, 0.0)
