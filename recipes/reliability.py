"""The figures of `make fuzz` and `make load`: kept in docs/reliability.json, told in its page."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from recipes import tables
from semerge.bench.command import machine

FILE = Path(__file__).resolve().parents[1] / "docs" / "reliability.json"
NOT_YET = "Not measured yet."


def keep(file: Path, name: str, figures: Mapping[str, Any]) -> None:
    """Put the figures of one measurement, with machine and date, beside those of the other."""
    known = json.loads(file.read_text("utf-8")) if file.exists() else {}
    date = datetime.now(timezone.utc).date().isoformat()
    known[name] = {"date": date, "machine": machine("cpu"), **figures}
    file.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n", "utf-8")


def _known(name: str, file: Path) -> dict[str, Any] | None:
    return json.loads(file.read_text("utf-8")).get(name) if file.exists() else None


def _where(found: Mapping[str, Any]) -> str:
    on = found["machine"]
    return f"{on['processor']}, {on['cores']} cores, Python {on['python']}, {found['date']}."


def fuzz(file: Path = FILE) -> str:
    """Markdown: what `make fuzz` found."""
    found = _known("fuzz", file)
    if found is None:
        return NOT_YET
    head = ["what", "cases", "refused", "slowest", "memory", "defects"]
    body = [
        [
            name,
            f"{one['cases']:,}",
            f"{one['refused']:,}",
            f"{one['seconds']:.2f} s",
            f"{one['memory']:,.0f} MB",
            str(len(one["defects"])),
        ]
        for name, one in found["targets"].items()
    ]
    total = sum(one["cases"] for one in found["targets"].values())
    told = f"{total:,} cases in {found['minutes']:.0f} minutes"
    return f"{tables.table(head, body)}\n\n{told} on {_where(found)}"


def load(file: Path = FILE) -> str:
    """Markdown: what `make load` found."""
    found = _known("load", file)
    if found is None:
        return NOT_YET
    head = ["figure", "value"]
    body = [
        ["answers, all compared with those one by one", f"{found['answers']:,}"],
        ["answers that differ", f"{found['different']:,}"],
        ["bad inputs, each refused in its sentence", f"{found['refused']:,}"],
        ["told that many are asking", f"{found['busy']:,}"],
        ["other errors", f"{len(found['errors']):,}"],
        *([f"{share} % answered within", f"{found['seconds'][share]:.2f} s"] for share in SHARES),
        ["memory after a third, at the end", _pair(found["memory"], "{:,.0f} MB")],
        ["temporary files after a third, at the end", _pair(found["files"], "{:,}")],
    ]
    told = f"{found['users']} users for {found['length']:.0f} s"
    return f"{tables.table(head, body)}\n\n{told} on {_where(found)}"


SHARES = ("50", "90", "99")
"""Percentiles that are told."""


def _pair(values: list[float], form: str) -> str:
    return ", ".join(form.format(value) for value in values)
