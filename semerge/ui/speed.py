"""What an answer costs, on the About tab: the figures of `python -m semerge bench --write`."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import gradio as gr

from semerge import phrases
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
SWEPT = {"loop": "one by one", "sweep": "in batches", "passes": "in batches, the passes alone"}
MARKS = (
    ("exact", "exact"),
    ("se", "fast"),
    ("static", "static merge"),
    ("other", "the suite's default, full ensemble"),
)
_log = logging.getLogger(__name__)


def show_speed(order: Sequence[str] = (), file: Path = BENCH) -> None:
    """Built inside a column. Nothing where nobody has measured yet.

    order: names of suites; those with trained weights come first.
    """
    measured = read_bench(file)
    if not measured:
        return
    place = {name: number for number, name in enumerate(order)}
    last = len(place)
    suites = sorted(
        measured, key=lambda found: (found["weights"] != "trained", place.get(found["suite"], last))
    )
    html(
        '<h2 id="speed">What it costs</h2><p>Ratios of times on one machine, measured in turns by '
        "<code>python -m semerge bench</code>; what ends in ms is in milliseconds. Exact is "
        "SE-Merging with the probe experts; the fast mode drops experts early and may answer "
        "otherwise: how often it agrees is told.</p>"
    )
    html(figures(suites))
    with gr.Accordion("What each figure is", open=False, elem_classes="se-fold"):
        html(meanings(suites))
    html(times(suites))
    if grown := growth(suites):
        html(grown)
    for number, found in enumerate(suites):
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
            share, samples = words.percent(row["agreement"]), f"{data['n']:,} {data['split']}"
            return (
                "With the probe experts at its best layer and the preset sharp, "
                f"{share} of {samples} samples got the same answer as without it; see About."
            )
    return "How often the answer is the same was not measured for this suite."


def figures(suites: Sequence[dict[str, Any]]) -> str:
    """Every figure by suite, with its limit, and what they were measured on."""
    rows = [
        (esc(_called(name)), *(_figure(found, name) for found in suites))
        for name in _in_order(found["figures"] for found in suites)
    ]
    heads = ("Figure", *_heads(suites))
    return table("Figures, and what was wanted", heads, rows, kind="stacked") + _places(suites)


def _figure(found: dict[str, Any], name: str) -> str:
    """A value and its limit; empty where the suite has no such figure."""
    if name not in found["figures"]:
        return ""
    value = found["figures"][name]
    shown = "not measured" if value is None else phrases.figure(name, value)
    row = next((row for row in found["acceptance"] if row["figure"] == name), None)
    if row is None:
        return shown
    met = {True: ", met", False: ", missed"}.get(row["met"], "")
    hints = [phrases.wanted(row) + met]
    most = found["figures"].get(MOST.get(name, ""))
    if row["met"] is False and most is not None:
        hints.append(f"at most {phrases.measured(most)} here")
    return "<br>".join([shown, *(f'<span class="se-hint">{esc(hint)}</span>' for hint in hints)])


def meanings(suites: Sequence[dict[str, Any]]) -> str:
    """What every figure is, and its name in the files of the bench, by which others mention it."""
    about = {name: text for found in suites for name, text in found["about"].items()}
    terms = "".join(
        f"<div><dt>{esc(_called(name))} <code>{esc(name)}</code></dt>"
        f"<dd>{esc(about[name])}</dd></div>"
        for name in _in_order([about])
    )
    return f'<dl class="se-facts long">{terms}</dl>'


def times(suites: Sequence[dict[str, Any]]) -> str:
    """Where the milliseconds of an exact answer and of a start go, by suite."""
    rows = []
    for what, key in (("an exact answer", "stages_ms"), ("a start", "start_ms")):
        parts = [found.get(key) or {} for found in suites]
        for stage in _union(parts):
            cells = (phrases.measured(part[stage]) if stage in part else "" for part in parts)
            rows.append((f"{what}: {esc(stage)}", *cells))
    for case, what in SWEPT.items():
        if case in _union(found.get("cases_ms", {}) for found in suites):
            cells = (_milliseconds(found.get("cases_ms", {}).get(case)) for found in suites)
            rows.append((f"an input of a set: {what}", *cells))
    return table("Milliseconds by stage, medians", ("Stage", *_heads(suites)), rows)


def growth(suites: Sequence[dict[str, Any]]) -> str:
    """Milliseconds of an answer by the number of experts; nothing where nobody measured it."""
    rows = []
    for found in suites:
        measured = [row for row in found.get("growth", ()) if "experts" in row]
        for case in ("exact", "static") if measured else ():
            by_count = {row["experts"]: row[case] for row in measured}
            rows.append((f"{esc(found['suite'])}: {case}", by_count))
        for row in found.get("growth", ()):
            if "left_out" in row:
                rows.append((f"{esc(found['suite'])}: {esc(row['left_out'])}", {}))
    counts = sorted({count for _, by_count in rows for count in by_count})
    if not counts:
        return ""
    body = [(name, *(_milliseconds(found.get(n)) for n in counts)) for name, found in rows]
    heads = ("Experts", *map(str, counts))
    return table("Milliseconds by the number of experts, on random weights", heads, body)


def _milliseconds(value: float | None) -> str:
    return "" if value is None else phrases.measured(value)


def _heads(suites: Sequence[dict[str, Any]]) -> list[str]:
    return [found["suite"] for found in suites]


def _places(suites: Sequence[dict[str, Any]]) -> str:
    """What was measured where: a line for all suites of one kind on one machine."""
    alike: dict[str, list[str]] = {}
    for found in suites:
        on = found["machine"]
        where = f"{on['processor']}, {on['threads']} threads, torch {on['torch']}"
        alike.setdefault(f"{found['weights']} weights; {where}", []).append(
            f"{found['suite']} ({found['experts']} experts)"
        )
    lines = "<br>".join(esc(f"{words.listed(who)}: {what}.") for what, who in alike.items())
    return f'<p class="se-hint">{lines}</p>'


def _called(name: str) -> str:
    """A figure in words; by its own name where it has none."""
    phrase = phrases.FIGURES.get(name)
    return phrase[:1].upper() + phrase[1:] if phrase else name


def _in_order(names: Iterable[Iterable[str]]) -> list[str]:
    """Each figure once, in the order in which their words are to be read; others last."""
    found = _union(names)
    known = [name for name in phrases.FIGURES if name in found]
    return [*known, *(name for name in found if name not in phrases.FIGURES)]


def _union(names: Iterable[Iterable[str]]) -> list[str]:
    """Each name once, in the order of its first appearance."""
    return list(dict.fromkeys(chain.from_iterable(names)))


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
    return table(f"{found['suite']}, {data['split']}: {data['n']:,} samples", heads, rows)
