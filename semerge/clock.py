"""Stage timings of one request."""

from __future__ import annotations

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
