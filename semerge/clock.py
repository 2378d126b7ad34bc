"""Stage timings: of one request, and of a start."""

from __future__ import annotations

import sys
from time import perf_counter

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


class Stopwatch:
    """Tells on stderr how long each stage of a start took, where that is wanted."""

    def __init__(self, told: bool) -> None:
        self._told, self._last = told, perf_counter()

    def lap(self, stage: str) -> None:
        """`stage` ends now; the next one begins."""
        now = perf_counter()
        if self._told:
            line = f"semerge: {stage}: {1e3 * (now - self._last):.0f} ms\n"
            sys.stderr.write(
                line
            )  # whole: print writes the end of a line apart, and two threads tell
        self._last = now
