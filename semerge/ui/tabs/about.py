"""The About tab: the method, what the paper fixes and what is a reading, rates and costs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import Any

import gradio as gr
from markupsafe import Markup

from semerge import common
from semerge.evaluation.tables import SHOWN, Rates, read_bench, read_rates
from semerge.settings import CACHED, FINAL, PRESETS
from semerge.suites.examples import SECTIONS
from semerge.ui import charts
from semerge.ui.context import Context
from semerge.ui.parts import chart_card, html
from semerge.ui.tabs import Tab
from semerge.ui.words import button, macro

PAPER = "https://arxiv.org/abs/2506.18135"
table = partial(macro, "table")
part = partial(macro, template="about.html")


class AboutTab(Tab):
    label, place, needs_suite = "About", 70, False

    def __init__(self, context: Context) -> None:
        suites = [*context.of("image"), *context.of("text")]
        with gr.Column(elem_classes="se-prose"):
            html(part("method", PAPER))
            html(part("readings", PRESETS.values()))
            html(part("accuracies"))
            rated = [found for suite in suites if (found := read_rates(suite))]
            for number, found in enumerate(rated):
                _show_rates(found, number)
            if not rated:
                html(part("hint", "No suite here has a report yet."))
            html(part("examples", SECTIONS.values(), context.examples.hits))
            _show_costs([suite.name for suite in suites])
            html(part("privacy", CACHED))
            html(button("about", {}), elem_id="about-link")


# --------------------------------------------------------------------------------------------------
# How often each suite is right, and how many of the examples.

MODELS = {"base": "Base", "static": "Static", "se": "SE-Merging", "expert": "Expert"}


def _show_rates(found: Rates, number: int) -> None:
    """One suite: chart, chart in words, table."""
    suite, series = found.suite, found.series()
    html(part("suite", suite.title, suite.about))
    if series:
        legend = [(kind, MODELS[kind]) for kind in series]
        drawn = charts.plot(charts.report(found.titles, series, MODELS))
        title = f"Accuracy of {suite.title} by task"
        chart_card(title, summary(found), f"report-{number}", drawn, legend)
    else:
        html(part("summary", summary(found)))
    html(rates(found) + part("missed", found.missed))
    if found.ways or found.layers:
        with gr.Accordion(f"More of {suite.title}", open=False, elem_classes="se-fold"):
            pools = [pool for pool in _union(found.layers.values()) if pool != FINAL]
            html(part("ways", found.ways) + part("layers", found.layers, pools))


def summary(found: Rates) -> Markup:
    """The rates in one sentence, from the average row."""
    return part("rated", next(iter(found.averages.values()), {}), found.suite.defaults.probe)


def rates(found: Rates) -> Markup:
    """The figures as a table, averages last."""
    return part("rates", found, SHOWN)


# --------------------------------------------------------------------------------------------------
# What an answer costs.

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
Bench = Mapping[str, Any]  # what `bench` measured of one suite


def _show_costs(order: Sequence[str]) -> None:
    """Nothing where nobody has measured yet. Suites with trained weights come first, then they are
    in the order of their names here."""
    place = {name: number for number, name in enumerate(order)}
    suites = sorted(
        read_bench(),
        key=lambda found: (found["weights"] != "trained", place.get(found["suite"], len(place))),
    )
    if not suites:
        return
    html(part("costs"))
    html(figures(suites))
    with gr.Accordion("What each figure is", open=False, elem_classes="se-fold"):
        html(meanings(suites))
    html(times(suites))
    if grown := growth(suites):
        html(grown)
    for number, found in enumerate(suites):
        if modes := found.get("labelled", {}).get("modes"):
            title = f"Ways to an answer of {found['suite']}"
            chart_card(title, COST, f"cost-{number}", charts.plot(charts.cost(modes)), MARKS)
            html(ways(found))


def figures(suites: Sequence[Bench]) -> Markup:
    """Every figure by suite, with its limit, and what they were measured on."""
    rows = [
        (_called(name), *(_figure(found, name) for found in suites))
        for name in _in_order(found["figures"] for found in suites)
    ]
    alike: dict[str, list[str]] = {}  # suites of one kind of weights on one machine
    for found in suites:
        on = found["machine"]
        where = f"{on['processor']}, {on['threads']} threads, torch {on['torch']}"
        alike.setdefault(f"{found['weights']} weights; {where}", []).append(
            f"{found['suite']} ({found['experts']} experts)"
        )
    return part("figures", ("Figure", *_heads(suites)), rows, alike.items())


def _figure(found: Bench, name: str) -> str:
    """A value and its limit; empty where the suite has no such figure."""
    if name not in found["figures"]:
        return ""
    value = found["figures"][name]
    shown = "not measured" if value is None else common.figure(name, value)
    row = next((row for row in found["acceptance"] if row["figure"] == name), None)
    hints = []
    if row is not None:
        hints.append(common.wanted(row) + {True: ", met", False: ", missed"}.get(row["met"], ""))
        most = found["figures"].get(MOST.get(name, ""))
        if row["met"] is False and most is not None:
            hints.append(f"at most {common.measured(most)} here")
    return part("figure", shown, hints)


def meanings(suites: Sequence[Bench]) -> Markup:
    """What every figure is, and its name in the files of the bench, by which others mention it."""
    about = {name: text for found in suites for name, text in found["about"].items()}
    return part("meanings", [(_called(name), name, about[name]) for name in _in_order([about])])


def times(suites: Sequence[Bench]) -> Markup:
    """Where the milliseconds of an exact answer and of a start go, by suite."""
    rows = []
    for what, key in (("an exact answer", "stages_ms"), ("a start", "start_ms")):
        parts = [found.get(key) or {} for found in suites]
        for stage in _union(parts):
            rows.append((f"{what}: {stage}", *(_milliseconds(each.get(stage)) for each in parts)))
    cases = [found.get("cases_ms", {}) for found in suites]
    for case, what in SWEPT.items():
        if case in _union(cases):
            cells = (_milliseconds(each.get(case)) for each in cases)
            rows.append((f"an input of a set: {what}", *cells))
    return table("Milliseconds by stage, medians", ("Stage", *_heads(suites)), rows)


def growth(suites: Sequence[Bench]) -> Markup:
    """Milliseconds of an answer by the number of experts; nothing where nobody measured it."""
    rows: list[tuple[str, dict[int, float]]] = []
    for found in suites:
        grown = found.get("growth", ())
        for case in ("exact", "static"):
            if by_count := {row["experts"]: row[case] for row in grown if "experts" in row}:
                rows.append((f"{found['suite']}: {case}", by_count))
        rows += [(f"{found['suite']}: {row['left_out']}", {}) for row in grown if "left_out" in row]
    counts = sorted(_union(by_count for _, by_count in rows))
    if not counts:
        return Markup()
    body = [(name, *(_milliseconds(by_count.get(n)) for n in counts)) for name, by_count in rows]
    heads = ("Experts", *map(str, counts))
    return table("Milliseconds by the number of experts, on random weights", heads, body)


def ways(found: Bench) -> Markup:
    """Every way to an answer: cost, agreement, accuracy."""
    return part("modes", found["suite"], found["labelled"])


def _milliseconds(value: float | None) -> str:
    return "" if value is None else common.measured(value)


def _heads(suites: Sequence[Bench]) -> list[str]:
    return [found["suite"] for found in suites]


def _called(name: str) -> str:
    """A figure in words; by its own name where it has none."""
    phrase = common.FIGURES.get(name)
    return phrase[:1].upper() + phrase[1:] if phrase else name


def _in_order(names: Iterable[Iterable[str]]) -> list[str]:
    """Each figure once, in the order in which their words are to be read; others last."""
    found = _union(names)
    known = [name for name in common.FIGURES if name in found]
    return [*known, *(name for name in found if name not in common.FIGURES)]


def _union(keys: Iterable[Iterable[Any]]) -> list[Any]:
    """Each key once, in the order of its first appearance."""
    return list(dict.fromkeys(chain.from_iterable(keys)))
