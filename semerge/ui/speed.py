"""What an answer costs, on the About tab: the figures of `python -m semerge bench --write`."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from semerge.suites import Suite
from semerge.ui import charts, words
from semerge.ui.markup import esc, table
from semerge.ui.result_panel import chart_card, html, plot

BENCH = Path(__file__).resolve().parents[2] / "assets" / "bench.json"
FAST = "fast"
COST = (
    "How often each agrees with exact, by its cost in passes of the static merge; the table below "
    "has the numbers."
)
MOST = {"sweep_over_loop": "sweep_limit"}  # a figure, and what it can be here at most
MARKS = (
    ("exact", "exact"),
    ("se", "fast"),
    ("static", "static merge"),
    ("other", "the suite's default, full ensemble"),
)
_log = logging.getLogger(__name__)


def show_speed(file: Path = BENCH) -> None:
    """Built inside a column. Nothing where nobody has measured yet."""
    suites = read_bench(file)
    if not suites:
        return
    html(
        '<h2 id="speed">What it costs</h2><p>Ratios of times on one machine, measured in turns by '
        "<code>python -m semerge bench</code>; what ends in ms is in milliseconds. Exact is "
        "SE-Merging with the probe experts; the fast mode drops experts early and may answer "
        "otherwise: how often it agrees is told.</p>"
    )
    for number, found in enumerate(suites):
        html(figures(found))
        html(times(found))
        modes = found.get("labelled", {}).get("modes", ())
        if modes:
            title = f"Ways to an answer of {found['suite']}"
            drawn = plot(charts.cost(modes))
            chart_card(title, COST, f"cost-{number}", drawn, MARKS)
            html(ways(found))


def read_bench(file: Path) -> Sequence[dict[str, Any]]:
    """The figures by suite; none where the file is not there or can't be read."""
    try:
        raw = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return ()
    except (OSError, ValueError):
        _log.exception("%s can't be read", file)
        return ()
    return [found for name, found in raw.items() if "figures" in found and name == found["suite"]]


def fast_agreement(suite: Suite, file: Path = BENCH) -> str:
    """How often the fast mode answers as the exact one does, as it was measured; a sentence."""
    for found in read_bench(file):
        data = found.get("labelled", {})
        row = next((row for row in data.get("modes", ()) if row["mode"] == FAST), None)
        if found["suite"] == suite.name and row is not None:
            return (
                "With the probe experts at its best layer and the preset sharp, "
                f"{words.percent(row['agreement'])} of {data['n']} {data['split']} samples got the "
                "same answer as without it; see About."
            )
    return "How often the answer is the same was not measured for this suite."


def figures(found: dict[str, Any]) -> str:
    """One suite's ratios with their limits and what they mean, and the machine."""
    limits = {row["figure"]: row for row in found["acceptance"]}
    rows = []
    for name, value in found["figures"].items():
        row = limits.get(name, {})
        met = {True: "met", False: "missed"}.get(row.get("met"), "")
        shown = "not measured" if value is None else f"{value:.3g}"
        told = f"{esc(row['limit'])} {met}" if row else ""
        if met == "missed" and name in MOST:
            told += f"; at most {found['figures'][MOST[name]]:.3g} here"
        rows.append((esc(name), shown, told, esc(found["about"].get(name, ""))))
    on = found["machine"]
    where = f"{on['processor']}, {on['threads']} threads, torch {on['torch']}"
    caption = f"{found['suite']}, {found['weights']} weights, {found['experts']} experts; {where}"
    return table(caption, ("Figure", "Value", "Limit", "What it is"), rows, kind="words")


def times(found: dict[str, Any]) -> str:
    """Where the milliseconds of an exact answer and of a start go."""
    rows = [
        (esc(what), esc(stage), f"{ms:.3g}")
        for what, key in (("an exact answer", "stages_ms"), ("a start", "start_ms"))
        for stage, ms in (found.get(key) or {}).items()
    ]
    caption = f"{found['suite']}: milliseconds by stage, medians"
    return table(caption, ("Of", "Stage", "ms"), rows, kind="words")


def ways(found: dict[str, Any]) -> str:
    """Every way to an answer: cost, agreement, accuracy."""
    data = found["labelled"]
    rows = [
        (
            esc(row["mode"]),
            f"{row['cost']:.2f}",
            words.percent(row["agreement"]),
            words.percent(row["default_agreement"]),
            words.percent(row["accuracy"]),
            words.percent(row["alone"]),
        )
        for row in data["modes"]
    ]
    heads = ("Way", "Cost", "Agrees with exact", "with the default", "Right", "Expert alone")
    return table(f"{found['suite']}, {data['split']}: {data['n']} samples", heads, rows)
