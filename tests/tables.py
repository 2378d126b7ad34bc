"""A table of methods as `evaluate --json` writes one, without running anything."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from semerge.suites import Suite

TOLD = "the task of each sample"


def row(method: str, routed: float, **more: Any) -> dict[str, Any]:
    """One row; `more` replaces its keys."""
    shares = {"static_oracle": routed - 0.1, "se_oracle": routed, "se_routed": routed}
    return {
        "method": method,
        "title": method.title(),
        "probe": "experts",
        "layer": 2,
        "pool": "mean",
        "preset": "sharp",
        "static_lambda": 0.3,
        "probe_lambda": 0.3,
        "note": "",
        "tasks": {},
        "average_all": {**shares, "routing": routed + 0.05},
        "passes": 10.0,
        "ms": 12.5,
        "merge": {"seconds": 0.5, "stored": False},
        "bytes": 12_000_000,
        "data": [],
        "against": {"row": 0, "difference": -0.01, "low": -0.02, "high": 0.005, "p": 0.04},
        **more,
    }


def table_of(suite: Suite, rows: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    """The content of field.json."""
    if rows is None:
        nothing = dict.fromkeys(("probe", "preset", "static_lambda", "merge", "against"))
        rows = [
            row("ties", 0.7),
            row("ties", 0.75, probe="base"),
            row("task_arithmetic", 0.8, passes=9.0, preset="hard"),
            row("ties", 0.85, probe="centroid", note="one pass of the base", passes=2.0),
            row("tall", 0.9, note="told the task", data=[TOLD], passes=1.0, **nothing),
            {"method": "ota", "title": "OTA", "reason": "It needs <moments>.", "probe": None},
            {"method": "ties", "title": "TIES", "reason": "No statistics.", "probe": "cache"},
        ]
        del rows[4]["average_all"]["static_oracle"]
    return {
        "suite": suite.name,
        "data": "data",
        "split": "test",
        "n": 1200,
        "config": {"limit": None, "weights_sha256": "w"},
        "table": rows,
        "machine": {"processor": "P", "threads": 1},
        "bootstrap": {"draws": 2000, "level": 0.95, "seed": 0},
    }


def write_table(suite: Suite, content: dict[str, Any] | None = None) -> Path:
    """Put a table into a suite's folder."""
    file = suite.path("field.json")
    text = json.dumps(table_of(suite) if content is None else content)
    file.write_text(text, encoding="utf-8")
    return file
