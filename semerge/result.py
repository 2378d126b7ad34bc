"""The answer to one request: what the app, the command line, CSV and JSON all show."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

KINDS = ("se", "static", "expert", "base")


@dataclass(frozen=True)
class Prediction:
    """One class and its score: the softmax over this head's classes, in [0, 1]."""

    label: str
    score: float

    def to_dict(self) -> dict[str, Any]:
        return {"label": self.label, "score": _finite(self.score)}


@dataclass(frozen=True)
class Result:
    """Everything that one request computed. Lists are in the order of `tasks`."""

    suite: str
    method: str
    preset: str
    probe: str
    layer: int | str
    pool: str
    tasks: tuple[str, ...]  # T names
    distances: tuple[float, ...]  # raw l2 distances at the probe layer; not finite if they failed
    similarities: tuple[float, ...]  # after normalising over the tasks
    weights: tuple[float, ...]  # softmax of similarities / temperature; sums to 1
    coefficients: tuple[float, ...]  # after: mass * weights
    static_coefficients: tuple[float, ...]  # before: lambda for every task
    static_lambda: float
    probe_lambda: float
    similarity: str
    normalise: str
    temperature: float  # 0 for the preset hard
    mass: str
    quantise: int | None  # coefficients are whole multiples of mass / quantise
    fallback: str  # what was to happen where no expert fits: "route" or "static"
    fast: bool  # whether the fast mode answered
    estimated: tuple[str, ...]  # tasks whose distances are the fast mode's estimates
    head: str  # the task whose head answered, in all four columns
    head_choice: str  # "auto" or the task that the user named
    chosen: str  # the nearest expert
    margin: float  # (d2 - d1) / d2 of the two smallest distances, in [0, 1]
    entropy: float  # of `weights`, in nats over log T: 0 = one expert, 1 = all alike
    notices: tuple[str, ...]
    predictions: Mapping[str, tuple[Prediction, ...]]  # se, static, expert, base; best first
    timings_ms: Mapping[str, float]  # preprocess, probe, route, merge, predict, total
    input_kind: str  # "image" or "text"
    version: str
    weights_sha256: str

    def to_dict(self) -> dict[str, Any]:
        """The JSON object of `predict --json`. Numbers that are not finite become null."""
        return {
            "suite": self.suite,
            "method": self.method,
            "preset": self.preset,
            "probe": self.probe,
            "layer": self.layer,
            "pool": self.pool,
            "tasks": list(self.tasks),
            "distances": [_finite(x) for x in self.distances],
            "similarities": [_finite(x) for x in self.similarities],
            "coefficients": [_finite(x) for x in self.coefficients],
            "static_coefficients": list(self.static_coefficients),
            "lambda": self.static_lambda,
            "probe_lambda": self.probe_lambda,
            "similarity": self.similarity,
            "normalise": self.normalise,
            "temperature": self.temperature,
            "mass": self.mass,
            "quantise": self.quantise,
            "fallback": self.fallback,
            "fast": self.fast,
            "estimated": list(self.estimated),
            "head": self.head,
            "version": self.version,
            "weights_sha256": self.weights_sha256,
            "chosen": self.chosen,
            "margin": _finite(self.margin),
            "entropy": _finite(self.entropy),
            "notices": list(self.notices),
            "predictions": {
                kind: [prediction.to_dict() for prediction in self.predictions[kind]]
                for kind in KINDS
            },
            "timings_ms": dict(self.timings_ms),
        }


def _finite(value: float) -> float | None:
    """JSON has no NaN and no infinity."""
    return value if math.isfinite(value) else None
