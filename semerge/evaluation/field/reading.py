"""The table of a suite as the app shows it, from the file `field.json` in the suite's folder.

It is what `evaluate --methods all --probes all --json FILE` wrote, as it is. No torch here.
"""

from __future__ import annotations

import logging
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from semerge.checkpoints.files import place_of
from semerge.methods import METHODS
from semerge.suites import Suite
from semerge.suites.report import read_object, read_report

FILE = "field.json"
TOLD = "the task of each sample"
BOUNDS = ("random", "oracle")
"""Probes that stand beside every method: a placebo and a ceiling."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Line:
    """One row. Accuracies are fractions, None where the row has none. kind: "se" for a probe of
    this project, "rival" for a row that no request has, "told" for one that knows each sample's
    task. against: the difference to the best other row, its interval and p, or None."""

    method: str
    title: str
    probe: str
    preset: str
    kind: str
    scale: float | None
    static: float | None
    se: float | None
    routed: float
    routing: float
    passes: float
    ms: float
    merge: float | None
    stored: bool
    megabytes: float
    data: tuple[str, ...]
    note: str
    against: Mapping[str, float] | None

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Line:
        """Of a row of the file. Raises KeyError, TypeError or ValueError where it is none."""
        shares, merge, data = row["average_all"], row["merge"], tuple(map(str, row["data"]))
        told = TOLD in data
        return cls(
            method=str(row["method"]),
            title=str(row["title"]),
            probe=str(row["probe"] or ""),
            preset=str(row["preset"] or ""),
            kind="told" if told else "rival" if row["note"] else "se",
            scale=row["static_lambda"],
            static=shares.get("static_oracle"),
            se=float(shares["se_oracle"]),
            routed=float(shares["se_routed"]),
            routing=float(shares["routing"]),
            passes=float(row["passes"]),
            ms=float(row["ms"]),
            merge=None if merge is None else float(merge["seconds"]),
            stored=bool(merge and merge["stored"]),
            megabytes=row["bytes"] / 1e6,
            data=data,
            note=str(row["note"]),
            against=row["against"],
        )

    @property
    def gain(self) -> float | None:
        """How far SE-Merging is above the static merge, given head; None where either is not
        there."""
        return None if self.static is None or self.se is None else self.se - self.static

    @property
    def name(self) -> str:
        """What it is, in words."""
        return " · ".join(filter(None, (self.title, self.probe, self.preset)))


@dataclass(frozen=True)
class Field:
    """The table of one suite. absent: what could not be had, with its reason. methods: the names of
    all that it has rows of, with figures or a reason. current: whether the suite's report is of the
    same weights, or says nothing of them."""

    suite: Suite
    lines: tuple[Line, ...]
    absent: tuple[tuple[str, str], ...]
    methods: frozenset[str]
    split: str
    n: int
    limit: int | None
    machine: Mapping[str, Any]
    bootstrap: Mapping[str, Any]
    tuning: Mapping[str, Any] | None
    current: bool

    @cached_property
    def best(self) -> tuple[Line, ...]:
        """Of each method, and of each row that no request has, the line with the best accuracy as
        the app answers: the first of equals. Of placebo and ceiling one for all methods. Best
        first."""
        found: dict[tuple[str, str], Line] = {}
        for line in self.lines:
            method = "" if line.probe in BOUNDS else line.method
            key = (method, line.probe if line.kind != "se" else "")
            if key not in found or line.routed > found[key].routed:
                found[key] = line
        return tuple(sorted(found.values(), key=lambda line: -line.routed))

    @cached_property
    def not_run(self) -> tuple[str, ...]:
        """Titles of the methods that the table says nothing of."""
        return tuple(entry.title for entry in METHODS if entry.name not in self.methods)

    @property
    def summary(self) -> tuple[Line | None, Line | None]:
        """The best line of this project's probes, and the best rival that is not told the task."""
        own = max((x for x in self.lines if x.kind == "se"), key=_routed, default=None)
        rival = max((x for x in self.lines if x.kind == "rival"), key=_routed, default=None)
        return own, rival

    @property
    def helped(self) -> tuple[Line, Line] | None:
        """Of the best line of each method, those where SE-Merging is farthest above the method's
        own static merge, and least far; given head. None where no line has both."""
        both = [line for line in self.best if line.kind == "se" and line.gain is not None]
        if not both:
            return None
        return max(both, key=_gain), min(both, key=_gain)


def _gain(line: Line) -> float:
    return line.gain or 0.0


def _routed(line: Line) -> float:
    return line.routed


def read_field(suite: Suite) -> Field | None:
    """The table of a suite; None where there is none. One that can't be read is told in the log."""
    path = suite.path(FILE)
    try:
        found = read_object(path)
        if found is None:
            return None
        if found["suite"] != suite.name:
            raise ValueError(f"it is of the suite {found['suite']}")
        table: Sequence[Mapping[str, Any]] = found["table"]
        weights = (read_report(suite) or {}).get("weights_sha256")
        return Field(
            suite=suite,
            lines=tuple(Line.of(row) for row in table if "reason" not in row),
            absent=tuple(_absent(row) for row in table if "reason" in row),
            methods=frozenset(str(row["method"]).partition(":")[0] for row in table),
            split=str(found["split"]),
            n=int(found["n"]),
            limit=found["config"]["limit"],
            machine=found["machine"],
            bootstrap=found["bootstrap"],
            tuning=found.get("tuning"),
            current=weights is None or weights == found["config"]["weights_sha256"],
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        _log.warning("%s can't be read: %r", path, error)
        return None


def _absent(row: Mapping[str, Any]) -> tuple[str, str]:
    probe = row.get("probe")
    return f"{row['title']}, {probe}" if probe else str(row["title"]), str(row["reason"])


def command(suite: Suite) -> str:
    """What makes the table of a suite."""
    place = place_of(suite)
    return (
        f"python -m semerge evaluate --suite {place} --data DIR --methods all --probes all --tune "
        f"--json {shlex.quote(_shown(suite.path(FILE)))}"
    )


def _shown(path: Path) -> str:
    """A path as whoever started this would write it: a page need not tell where that is."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)
