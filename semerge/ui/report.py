"""A suite's report.json as rows for a table and series for a chart. No gradio, no markup.

The report is read by its keys: a task's figures are those of `evaluate --json`. Keys that are
missing are left out, so an older or a shorter report still shows what it has.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

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
    "average_real": "Average, real tasks",
    "average_all": "Average, all tasks",
}


@dataclass(frozen=True)
class Report:
    """What is shown of one suite's test figures."""

    suite: Suite
    tasks: Mapping[str, Mapping[str, float]]  # by task name
    averages: Mapping[str, Mapping[str, float]]  # by title
    about: str  # data, split, settings in one line

    @property
    def columns(self) -> list[str]:
        """Keys that at least one row has, in order."""
        rows = [*self.tasks.values(), *self.averages.values()]
        return [key for key in COLUMNS if any(key in row for row in rows)]

    @property
    def titles(self) -> list[str]:
        names = self.suite.task_names
        return [
            self.suite.tasks[names.index(task)].title if task in names else task
            for task in self.tasks
        ]

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
    tasks = {str(name): _numbers(row) for name, row in found["tasks"].items()}
    averages = {
        title: _numbers(found[key]) for key, title in AVERAGES.items() if _is_row(found.get(key))
    }
    about = [f"split {found['split']}"] if isinstance(found.get("split"), str) else []
    config = found.get("config")
    if isinstance(config, dict):
        keys = ("probe", "layer", "pool", "preset")
        about += [f"{key} {config[key]}" for key in keys if key in config]
    return Report(suite, tasks, averages, ", ".join(about))


def _evaluation(raw: Any) -> dict[str, Any] | None:
    """The object that holds `tasks`: the report itself, or one inside it (`test` first)."""
    if not isinstance(raw, dict):
        return None
    tasks = raw.get("tasks")
    if isinstance(tasks, dict) and tasks and all(_is_row(row) for row in tasks.values()):
        return raw
    inner = sorted((v for v in raw.items() if isinstance(v[1], dict)), key=lambda v: v[0] != "test")
    return next((found for _, value in inner if (found := _evaluation(value))), None)


def _is_row(row: Any) -> bool:
    return isinstance(row, dict) and bool(_numbers(row))


def _numbers(row: Mapping[str, Any]) -> dict[str, float]:
    return {
        key: row[key]
        for key in COLUMNS
        if isinstance(row.get(key), (int, float)) and not isinstance(row.get(key), bool)
    }
