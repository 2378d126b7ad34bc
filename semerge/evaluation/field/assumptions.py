"""What the theory of merging assumes, measured of all pairs of a suite's tasks: report.json's keys
"disentanglement" and "linearity"."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from semerge.data.labelled import Sets
from semerge.data.sets import subsample
from semerge.engine import Engine
from semerge.evaluation.field import disentanglement, linearity

SAMPLES = 50
"""A task, for a report: of 28 pairs on one core that is minutes."""
KEYS = ("disentanglement", "linearity")


def assumptions(
    engine: Engine,
    whole: Sets,
    pairs: Iterable[tuple[str, str]] | None = None,
    samples: int | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """The weight-disentanglement error and cross-task linearity, by KEYS. pairs: None for all.
    samples: at most so many of each task, classes balanced; None for all. Raises KeyError where a
    task of a pair has no samples."""
    chosen = None if pairs is None else list(pairs)
    sets = (whole if samples is None else subsample(whole, samples, seed)).sets
    about = {"split": whole.split, "seed": seed, "weights_sha256": engine.weights_sha256()}
    measured = (room.of_pairs(engine, sets, chosen) for room in (disentanglement, linearity))
    return {key: found | about for key, found in zip(KEYS, measured, strict=True)}
