"""What is usual for a suite's own samples, from its report.json: how far an expert is from samples
of its own task, and how clear the choice among the experts is. Plain data, no torch.

It holds, as the notice of `semerge.suites.abstention` does, for the weights it was measured with
and for distances of that probe, λ, layer and pooling alone.
"""

from __future__ import annotations

import logging
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from semerge.registry import Key
from semerge.suites.abstention import key_of, read_diagnosis
from semerge.suites.suite import Suite

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Usual:
    """distances: by expert, the median of its distances on validation samples that it is nearest
    to; empty where the report has none. margins: (margin, share of test samples that are below it)
    from (0, 0) to (1, 1), rising; empty where the report has none."""

    at: Key
    weights_sha256: str
    distances: tuple[float, ...] = ()
    margins: tuple[tuple[float, float], ...] = ()

    def clearer(self, margin: float) -> float | None:
        """The share of test samples with a larger margin; between two that are known, in
        proportion. None where that was not measured."""
        if not self.margins:
            return None
        after = min(bisect_right(self.margins, (margin, 2.0)), len(self.margins) - 1)
        (low, below), (high, until) = self.margins[max(after - 1, 0)], self.margins[after]
        part = (margin - low) / (high - low) if high > low else 1.0
        return 1 - (below + min(max(part, 0.0), 1.0) * (until - below))


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
