"""The answer to one request: what the app, the command line, CSV and JSON all show; and its stages,
timed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime, timezone
from time import perf_counter
from typing import Any


@dataclass(frozen=True)
class Prediction:
    """One class and its score: the softmax over this head's classes, in [0, 1]."""

    label: str
    score: float

    def to_dict(self) -> dict[str, Any]:
        return {"label": self.label, "score": _finite(self.score)}


def told(label: str, name: str | None = None) -> Any:
    """A field of `Result`: what it is called for people, and in JSON where that is another name."""
    return field(metadata={"label": label, "json": name})


@dataclass(frozen=True)
class Result:
    """Everything that one request computed. Lists are in the order of `tasks`. JSON, tables and
    notices read the fields from here, so a new one is described here alone."""

    suite: str = told("Suite")
    method: str = told("Merging method")
    method_options: Mapping[str, Any] = told("Its options")
    preset: str = told("Preset")
    probe: str = told("Probe")
    probe_options: Mapping[str, Any] = told("Options of the probe")
    layer: int | str = told("Probe layer")
    pool: str = told("Pooling")
    tasks: tuple[str, ...] = told("Tasks")  # T names
    # raw distances at the probe layer; not finite if they failed
    distances: tuple[float, ...] = told("Distances")
    similarities: tuple[float, ...] = told("Similarities")  # after normalising over the tasks
    coefficients: tuple[float, ...] = told("λ after")  # mass * softmax(similarities / temperature)
    static_coefficients: tuple[float, ...] = told("λ before")  # the same for every task
    static_lambda: float = told("Static λ", "lambda")
    probe_lambda: float = told("Probe λ")
    similarity: str = told("Similarity")
    normalise: str = told("Normalisation")
    temperature: float = told("Temperature")  # 0 for the preset hard
    mass: str = told("Mass")
    quantise: int | None = told("Parts")  # coefficients are whole multiples of mass / quantise
    fallback: str = told("When no expert fits")  # "route" or "static"
    fast: bool = told("Fast mode")
    # tasks whose distances are the fast mode's estimates
    estimated: tuple[str, ...] = told("Estimated distances")
    head: str = told("Head")  # the task whose head answered, in all four columns
    chosen: str = told("Chosen expert")  # the nearest
    margin: float = told("Margin")  # (d2 - d1) / d2 of the two smallest distances, in [0, 1]
    # of the softmax, in nats over log T: 0 = one expert, 1 = all alike
    entropy: float = told("Entropy")
    # whether any expert fits, where that was calibrated for such a request
    fits: bool | None = told("An expert fits")
    # of the chosen expert on its own test samples, as the suite's report has it; a fraction
    expert_accuracy: float | None = told("Its accuracy on test samples")
    # each expert's median on samples of its own task, and the share of test samples with a larger
    # margin: where the suite's report tells for such a request
    usual_distances: tuple[float, ...] | None = told("Usual distances")
    clearer: float | None = told("Test samples that are clearer")
    notices: tuple[str, ...] = told("Notices")
    # se, static, expert, base; best first
    predictions: Mapping[str, tuple[Prediction, ...]] = told("Predictions")
    # by stage, and total; None: it was run for an earlier answer
    timings_ms: Mapping[str, float | None] = told("Milliseconds")
    version: str = told("Version")
    weights_sha256: str = told("Weights")

    def to_dict(self) -> dict[str, Any]:
        """The JSON object of `predict --json`. Numbers that are not finite become null."""
        return {f.metadata["json"] or f.name: _plain(getattr(self, f.name)) for f in fields(self)}


def _plain(value: Any) -> Any:
    """What JSON can hold."""
    if isinstance(value, Prediction):
        return value.to_dict()
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, tuple):
        return [_plain(inner) for inner in value]
    return _finite(value) if isinstance(value, float) else value


def _finite(value: float) -> float | None:
    """JSON has no NaN and no infinity."""
    return value if math.isfinite(value) else None


# --------------------------------------------------------------------------------------------------
# The stages of one request, timed.

STAGES = ("preprocess", "probe", "route", "merge", "predict")


class Clock:
    """A stopwatch that is started when it is made; each lap ends one stage."""

    def __init__(self) -> None:
        self._start = self._last = perf_counter()
        self._seconds = dict.fromkeys(STAGES, 0.0)

    def lap(self, stage: str) -> None:
        """Everything since the last lap belongs to `stage`."""
        now = perf_counter()
        self._seconds[stage] += now - self._last
        self._last = now

    def timings(self) -> dict[str, float]:
        """Milliseconds by stage, and `total`."""
        stages = {stage: 1e3 * seconds for stage, seconds in self._seconds.items()}
        return {**stages, "total": 1e3 * (self._last - self._start)}


def of_100(share: float) -> int:
    """A share in [0, 1] as so many of 100; all and none only where it is exact."""
    return round(100 * share) if share in (0.0, 1.0) else min(max(round(100 * share), 1), 99)


def today() -> str:
    """The day, as 2026-01-31: it goes into what is saved."""
    return datetime.now(timezone.utc).date().isoformat()
