"""A suite's report.json as rows for a table and series for a chart. No gradio, no markup.

The report is read by its keys: a task's figures are those of `evaluate --json`. Keys that are
missing are left out, so an older or a shorter report still shows what it has.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from semerge.evaluation.lines import CAUSES
from semerge.evaluation.tables import WORDS
from semerge.suites import Suite

COLUMNS = {
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


WAYS = ("oracle_real", "oracle_all", "routed_real", "routed_all", "routing_all")


@dataclass(frozen=True)
class Report:
    """What is shown of one suite's test figures. Accuracies are fractions."""

    suite: Suite
    tasks: Mapping[str, Mapping[str, float]]  # by task name
    averages: Mapping[str, Mapping[str, float]]  # by title
    about: str  # data, split, settings in one line
    ways: Mapping[str, Mapping[str, float]]  # by way to set the coefficients: keys of WAYS
    layers: Mapping[str, Mapping[str, float]]  # right expert chosen: by layer, by pooling
    missed: tuple[str, ...]  # what the suite was meant to show and does not, as sentences

    @property
    def columns(self) -> list[str]:
        """Keys that at least one row has, in order."""
        rows = [*self.tasks.values(), *self.averages.values()]
        return [key for key in COLUMNS if any(key in row for row in rows)]

    @property
    def titles(self) -> list[str]:
        return [_title(self.suite, task) for task in self.tasks]

    def series(self) -> dict[str, list[float | None]]:
        """By kind of model: the accuracy of each task with the oracle head, in [0, 1]."""
        found = {
            kind: [row.get(key) for row in self.tasks.values()] for kind, key in SERIES.items()
        }
        return {kind: v for kind, v in found.items() if any(x is not None for x in v)}


def read_report(suite: Suite) -> Report | None:
    """The report beside a suite's weights; None where there is none that can be read."""
    try:
        raw = json.loads(suite.path("report.json").read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError):
        return None
    found = _evaluation(raw)
    if found is None:
        return None
    return Report(
        suite=suite,
        tasks={str(name): _numbers(row) for name, row in found["tasks"].items()},
        averages=_averages(found),
        about=_about(raw, found),
        ways=_ways(raw),
        layers=_layers(raw),
        missed=_missed(raw, suite),
    )


def _evaluation(raw: Any) -> dict[str, Any] | None:
    """The object that holds `tasks`: the report itself, or one inside it (`test` first)."""
    if not isinstance(raw, dict):
        return None
    tasks = raw.get("tasks")
    if isinstance(tasks, dict) and tasks and all(_is_row(row) for row in tasks.values()):
        return raw
    inner = sorted((v for v in raw.items() if isinstance(v[1], dict)), key=lambda v: v[0] != "test")
    return next((found for _, value in inner if (found := _evaluation(value))), None)


def _averages(found: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Averages by title. Where every task is real the two averages are one."""
    rows = {title: _numbers(found[k]) for k, title in AVERAGES.items() if _is_row(found.get(k))}
    if len(rows) == 2 and len({tuple(row.items()) for row in rows.values()}) == 1:
        return {AVERAGES["average"]: next(iter(rows.values()))}
    return rows


def _about(raw: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    parts = [f"{found['split']} split" if isinstance(found.get("split"), str) else "test split"]
    config = found.get("config", raw.get("defaults"))
    if isinstance(config, dict):
        keys = ("probe", "layer", "pool", "preset")
        parts += [f"{key} {config[key]}" for key in keys if config.get(key) is not None]
        if config.get("layer") == "final":
            parts = [part for part in parts if not part.startswith("pool")]
    return ", ".join(parts)


def _ways(raw: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Static λs, presets and probes, each with its averages."""
    found: dict[str, dict[str, float]] = {}
    for scale, row in _objects(raw, "task_arithmetic"):
        pairs = (("oracle_real", "average_real"), ("oracle_all", "average_all"))
        found[f"Static, λ {scale}"] = {a: row[b] for a, b in pairs if _is_number(row.get(b))}
    figures = (("oracle", "se_oracle"), ("routed", "se_routed"), ("routing", "routing"))
    for group, kind in (("presets", "preset"), ("probes", "probe")):
        for name, row in _objects(raw, group):
            averages = {on: row.get(f"average_{on}") for on in ("real", "all")}
            cells = {
                f"{way}_{on}": average[key]
                for on, average in averages.items()
                for way, key in figures
                if isinstance(average, dict) and _is_number(average.get(key))
            }
            if cells:
                found[f"SE, {kind} {name}"] = cells
    return found


def _layers(raw: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """How often the right expert is chosen with the default probe, by layer and pooling."""
    rows, defaults = raw.get("routing"), raw.get("defaults")
    found: dict[str, dict[str, float]] = {}
    if not isinstance(rows, list) or not isinstance(defaults, dict):
        return found
    for row in rows:
        if not isinstance(row, dict) or row.get("probe") != defaults.get("probe"):
            continue
        if row.get("probe_lambda") in (defaults.get("probe_lambda"), 0.0) and _is_number(
            row.get("routing_all")
        ):
            found.setdefault(str(row.get("layer")), {})[str(row.get("pool"))] = row["routing_all"]
    return found


def _missed(raw: Mapping[str, Any], suite: Suite) -> tuple[str, ...]:
    lines = raw.get("lines")
    found = []
    for line in lines if isinstance(lines, list) else []:
        if not isinstance(line, dict) or line.get("met") is not False:
            continue
        value, target = line.get("value"), line.get("target")
        if _is_number(value) and _is_number(target):
            what = WORDS.get(str(line.get("line")), str(line.get("line")).replace("_", " "))
            on = {"real": "real tasks", "all": "all tasks"}.get(str(line.get("on")))
            on = on or _title(suite, str(line.get("on")))
            cause = CAUSES.get(str(line.get("cause")))
            by = f"; cause: {cause}" if cause else ""
            told = f"{what}, {on}: {value:.1%} where {target:.1%} was wanted{by}"
            found.append(told.replace("%", "\u00a0%"))
    return tuple(found)


def _title(suite: Suite, task: str) -> str:
    names = suite.task_names
    return suite.tasks[names.index(task)].title if task in names else task


def _objects(raw: Mapping[str, Any], key: str) -> list[tuple[str, dict[str, Any]]]:
    value = raw.get(key)
    items = value.items() if isinstance(value, dict) else ()
    return [(str(name), row) for name, row in items if isinstance(row, dict)]


def _is_row(row: Any) -> bool:
    return isinstance(row, dict) and bool(_numbers(row))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _numbers(row: Mapping[str, Any]) -> dict[str, float]:
    return {key: row[key] for key in COLUMNS if _is_number(row.get(key))}
