"""What the diagnosis in a suite's report.json says of its inputs: when no expert fits one, and what
is usual for its own samples. Plain data, no torch.

`evaluate --diagnose` calibrates the notice at the suite's defaults and measures it. All of it holds
for the weights it was made with and for distances of that probe, λ, layer and pooling alone.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate
from typing import Any

from semerge.common import rendered
from semerge.probes import key_at
from semerge.registry import Key
from semerge.suites.report import read_diagnosis
from semerge.suites.suite import Suite

NEEDS_OTHER = ("other probe", "either")
"""Scores that ask a second probe beside the one that routes."""
TOGETHER = "together"
"""The score that asks that, and all else that is measured beside it."""
STILL = "still at "
"""How the scores begin that ask one gauge; the rest is its layer and pooling."""

CALIBRATION = ("usual", "thresholds", "false_alarm", "n", "weights")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Beside:
    """What is measured beside the probe that routes: another probe, and gauges."""

    other: Key | None = None
    gauges: tuple[Key, ...] = ()

    @cached_property
    def keys(self) -> tuple[Key, ...]:
        """All of it."""
        return self.gauges if self.other is None else (self.other, *self.gauges)


@dataclass(frozen=True)
class Abstention:
    """How a suite notices what no expert fits.

    at: where the probe that routes measures. beside: what the score asks too. calibration: of
    `semerge.routing.Calibration`. rates, left_out: the measured false alarms and misses, left_out
    None where no expert could be left out. fallback: what static coefficients there did to the
    accuracy, on the suite's own tasks and, where it was measured, on tasks whose expert was left
    out.
    """

    at: Key
    weights_sha256: str
    score: str
    beside: Beside
    calibration: Mapping[str, Any]
    rates: Mapping[str, Any]
    left_out: Mapping[str, Any] | None
    fallback: Mapping[str, Any]

    def sentence(self) -> str:
        """The notice, with how often it is wrong."""
        return " ".join(rendered("notice.txt", vars(self)))

    def effect(self) -> str:
        """What falling back to the static coefficients did to test samples: of the suite's tasks,
        and of tasks whose expert was left out, which is what it is for."""
        return " ".join(rendered("fallback.txt", {"left_out": None} | dict(self.fallback)))


@dataclass(frozen=True)
class Usual:
    """distances: by expert, the median of its distances on validation samples that it is nearest
    to; empty where the report has none. margins: (margin, share of test samples that are below it)
    from (0, 0) to (1, 1), rising; empty where the report has none."""

    at: Key
    weights_sha256: str
    distances: tuple[float, ...] = ()
    margins: tuple[tuple[float, float], ...] = ()


def read_abstention(suite: Suite) -> Abstention | None:
    """The calibrated notice of a suite; None where its report has none. A report is no part of the
    model: one that can't be read is told in the log, and the suite works without the notice."""
    try:
        diagnosis = read_diagnosis(suite)
        return None if diagnosis is None else abstention_of(diagnosis, len(suite.tasks))
    except (ValueError, KeyError, TypeError) as error:
        _log.warning("%s: no notice from its diagnosis: %r", suite.path("report.json"), error)
        return None


def abstention_of(diagnosis: Mapping[str, Any], tasks: int) -> Abstention:
    """From what `semerge.evaluation.diagnosis.diagnose` gave, for a suite of so many tasks. Raises
    KeyError, TypeError or ValueError where a part is missing or is not what it should be."""
    at, found = diagnosis["at"], diagnosis["abstention"]
    score, other = found["score"], found["other_probe"]
    if len(found["usual"]) != tasks or score not in found["thresholds"]:
        raise ValueError("the calibration is not this suite's")
    if score in NEEDS_OTHER and other is None:
        raise ValueError(f"the score {score} needs another probe")
    beside = Beside()
    if other is not None and score in (*NEEDS_OTHER, TOGETHER):
        beside = Beside(key_of(other, at))
    if score == TOGETHER or score.startswith(STILL):
        names = {f"{STILL}{row['layer']}/{row['pool']}": row for row in found["gauges"]}
        rows = [row for name, row in names.items() if score in (TOGETHER, name)]
        if not rows:
            raise ValueError(f"the score {score} has no gauge")
        beside = replace(beside, gauges=tuple(key_of(row, at) for row in rows))
    left = found["left_out"].get(score)
    return Abstention(
        at=key_of(at, at),
        weights_sha256=str(at["weights_sha256"]),
        score=score,
        beside=beside,
        calibration={k: found[k] for k in CALIBRATION if k in found},
        rates=found["made"][score],
        left_out=left["miss"] if left else None,
        fallback=found["fallback"],
    )


def read_usual(suite: Suite) -> Usual | None:
    """None where a suite's report has no diagnosis, or none that can be read: it is no part of the
    model, and the suite works without."""
    try:
        diagnosis = read_diagnosis(suite)
        return None if diagnosis is None else usual_of(diagnosis, len(suite.tasks))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        _log.warning("%s: nothing usual from its diagnosis: %r", suite.path("report.json"), error)
        return None


def usual_of(diagnosis: Mapping[str, Any], tasks: int) -> Usual:
    """From what `semerge.evaluation.diagnosis.diagnose` gave, for a suite of so many tasks. Raises
    KeyError, TypeError or ValueError where a part is not what it should be."""
    at = diagnosis["at"]
    distances = tuple(map(float, diagnosis.get("abstention", {}).get("usual", ())))
    if distances and len(distances) != tasks:
        raise ValueError("the usual distances are not this suite's")
    counted = diagnosis.get("hypothesis", {}).get("margins")
    margins = _shares(counted) if counted and counted["n"] else ()
    return Usual(key_of(at, at), str(at["weights_sha256"]), distances, margins)


def _shares(counted: Mapping[str, Any]) -> tuple[tuple[float, float], ...]:
    """What a histogram and some quantiles of the margins know of their distribution."""
    both = [r + m for r, m in zip(counted["right"], counted["misrouted"], strict=True)]
    edges = enumerate(accumulate(both), 1)
    known = {0.0: 0.0} | {i / counted["bins"]: below / counted["n"] for i, below in edges}
    known |= {float(margin): float(share) for share, margin in counted["quantiles"].items()}
    rising: list[tuple[float, float]] = []
    for margin, share in sorted(known.items()):
        rising.append((margin, max(share, rising[-1][1] if rising else 0.0)))
    return tuple(rising)


def key_of(row: Mapping[str, Any], at: Mapping[str, Any]) -> Key:
    """Where a part of a diagnosis measured; at: its key "at", whose λ holds for all of it."""
    return key_at(str(row["probe"]), row["layer"], str(row["pool"]), float(at["probe_lambda"]))
