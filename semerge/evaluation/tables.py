"""The test figures of a suite and of the bench, as the app shows them.

What a report lacks is left out: one of `evaluate --json` is shorter than a finished suite's.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from semerge.common import ASSETS, read_json
from semerge.settings import FINAL
from semerge.suites import Suite
from semerge.suites.report import read_object, read_report

WORDS, CAUSES = read_json(ASSETS / "lines.json").values()
"""Of a suite's lines: what each is about, and what one is missed by."""
SHOWN = {
    "n": "Samples",
    "base_oracle": "Base",
    "static_oracle": "Static",
    "se_oracle": "SE",
    "expert": "Expert",
    "static_routed": "Static, routed",
    "se_routed": "SE, routed",
    "routing": "Right expert",
}
SERIES = {"base": "base_oracle", "static": "static_oracle", "se": "se_oracle", "expert": "expert"}
AVERAGES = {
    "average": "Average",
    "average_all": "Average, all tasks",
    "average_real": "Average, real tasks",
}
ON = {"real": "real tasks", "all": "all tasks"}

Part = Mapping[str, Any]
Figures = dict[str, float]  # accuracies as fractions


@dataclass(frozen=True)
class Rates:
    """One suite's test figures.

    tasks: by name. averages: by title; both have keys of SHOWN. settings: data, split and defaults
    in one line. ways: averages by way to set the coefficients, keys as `oracle_real`. layers: how
    often the right expert is chosen, by layer and pooling. missed: what the suite was meant to show
    and does not, as sentences.
    """

    suite: Suite
    tasks: Mapping[str, Figures]
    averages: Mapping[str, Figures]
    settings: str
    ways: Mapping[str, Figures]
    layers: Mapping[str, Figures]
    missed: tuple[str, ...]

    @property
    def columns(self) -> list[str]:
        """Keys that at least one row has, in order."""
        rows = [*self.tasks.values(), *self.averages.values()]
        return [key for key in SHOWN if any(key in row for row in rows)]

    @property
    def titles(self) -> list[str]:
        """Names of `tasks` for people."""
        return [self.suite.task_title(task) for task in self.tasks]

    def series(self) -> dict[str, list[float | None]]:
        """By kind of model: the accuracy of each task with the oracle head."""
        rows = self.tasks.values()
        found = {kind: [row.get(key) for row in rows] for kind, key in SERIES.items()}
        return {kind: row for kind, row in found.items() if any(x is not None for x in row)}


def read_rates(suite: Suite) -> Rates | None:
    """The test figures in a suite's report.json; None where there are none that can be read."""
    try:
        report = read_report(suite) or {}
        test = report if "tasks" in report else report.get("test", {})
        if not test.get("tasks"):
            return None
        return Rates(
            suite,
            {name: _figures(row) for name, row in test["tasks"].items()},
            _averages(test),
            _settings(report, test),
            _ways(report),
            _layers(report),
            tuple(_missed(report, suite)),
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _figures(row: Part) -> Figures:
    return {key: row[key] for key in SHOWN if row.get(key) is not None}


def _averages(test: Part) -> dict[str, Figures]:
    """Where every task is real the two averages are one."""
    rows = {title: _figures(test[key]) for key, title in AVERAGES.items() if test.get(key)}
    first, *rest = rows.values() if rows else [{}]
    return {AVERAGES["average"]: first} if rest and all(row == first for row in rest) else rows


def _settings(report: Part, test: Part) -> str:
    config = test.get("config", report.get("defaults", {}))
    keys = ["probe", "layer", *(["pool"] if config.get("layer") != FINAL else []), "preset"]
    settings = [f"{key} {config[key]}" for key in keys if config.get(key) is not None]
    return ", ".join([f"{test.get('split', 'test')} split", *settings])


def _ways(report: Part) -> dict[str, Figures]:
    """Static λs, presets and probes, each with its averages."""
    ways: dict[str, Figures] = {}
    for scale, row in report.get("task_arithmetic", {}).items():
        averages = {f"oracle_{on}": row.get(f"average_{on}") for on in ON}
        ways[f"Static, λ {scale}"] = {k: v for k, v in averages.items() if v is not None}
    columns = (("oracle", "se_oracle"), ("routed", "se_routed"), ("routing", "routing"))
    for kind in ("preset", "probe"):
        for name, row in report.get(f"{kind}s", {}).items():
            ways[f"SE, {kind} {name}"] = {
                f"{way}_{on}": row[f"average_{on}"][key]
                for on in ON
                for way, key in columns
                if key in (row.get(f"average_{on}") or {})
            }
    return {way: figures for way, figures in ways.items() if figures}


def _layers(report: Part) -> dict[str, Figures]:
    """How often the default probe chooses the right expert, by layer and pooling."""
    defaults: Part = report.get("defaults", {})
    layers: dict[str, Figures] = {}
    for row in report.get("routing", ()):
        scales = (defaults.get("probe_lambda"), 0.0)
        if row["probe"] == defaults.get("probe") and row["probe_lambda"] in scales:
            layers.setdefault(str(row["layer"]), {})[row["pool"]] = row["routing_all"]
    return layers


def _missed(report: Part, suite: Suite) -> Iterator[str]:
    for line in report.get("lines", ()):
        if line["met"] or line["value"] is None:
            continue
        what = WORDS.get(line["line"], line["line"].replace("_", " "))
        on = ON.get(line["on"]) or suite.task_title(line["on"])
        told = f"{what}, {on}: {line['value']:.1%} where {line['target']:.1%} was wanted"
        if cause := CAUSES.get(line.get("cause")):
            told += f"; cause: {cause}"
        yield told.replace("%", "\u00a0%")


# ---- what an answer costs: the figures of a bench that was written -------------------------------

BENCH = ASSETS / "bench.json"
_log = logging.getLogger(__name__)


def read_bench(file: Path = BENCH) -> list[Part]:
    """What was measured of every suite; nothing where the file is not there or can't be read."""
    try:
        found = read_object(file) or {}
    except ValueError:
        _log.exception("%s can't be read", file)
        return []
    return [row for name, row in found.items() if "figures" in row and name == row["suite"]]
