"""The About tab: the method, what the paper fixes and what is a reading, rates and costs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import Any

import gradio as gr
from markupsafe import Markup

from semerge import common
from semerge.evaluation.field.reading import read_field
from semerge.evaluation.tables import SHOWN, Rates, read_bench, read_rates
from semerge.settings import CACHED, FINAL, PRESETS
from semerge.suites.examples import SECTIONS
from semerge.ui import charts
from semerge.ui.context import Context
from semerge.ui.parts import chart_card, html
from semerge.ui.tabs import Tab
from semerge.ui.words import button, macro

PAPER = "https://arxiv.org/abs/2506.18135"
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
    if field := read_field(suite):
        html(macro("helped", field, template="methods.html"))
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
    html(brief(suites))
    with gr.Accordion("Every figure that was measured", open=False, elem_classes="se-fold"):
        html(figures(suites))
        html(times(suites))
        html(growth(suites))
    with gr.Accordion("What each figure is", open=False, elem_classes="se-fold"):
        html(meanings(suites))
    for number, found in enumerate(suites):
        if modes := found.get("labelled", {}).get("modes"):
            title = f"Ways to an answer of {found['suite']}"
            chart_card(title, COST, f"cost-{number}", charts.plot(charts.cost(modes)), MARKS)
            html(ways(found))


def brief(suites: Sequence[Bench]) -> Markup:
    """What one answer takes, for who did not measure it."""
    timed = [found for found in suites if {"static", "exact", "fast"} <= set(found["cases_ms"])]
    return part("brief", timed, {found["suite"]: found["machine"] for found in timed}, common)


def figures(suites: Sequence[Bench]) -> Markup:
    """Every figure by suite, with its limit, and what they were measured on."""
    alike: dict[str, list[str]] = {}  # suites of one kind of weights on one machine
    for found in suites:
        on = found["machine"]
        where = f"{on['processor']}, {on['threads']} threads, torch {on['torch']}"
        alike.setdefault(f"{found['weights']} weights; {where}", []).append(
            f"{found['suite']} ({found['experts']} experts)"
        )
    names = {name: _called(name) for name in _in_order(found["figures"] for found in suites)}
    return part("figures", suites, names, alike.items(), common)


def meanings(suites: Sequence[Bench]) -> Markup:
    """What every figure is, and its name in the files of the bench, by which others mention it."""
    about = {name: text for found in suites for name, text in found["about"].items()}
    return part("meanings", [(_called(name), name, about[name]) for name in _in_order([about])])


def times(suites: Sequence[Bench]) -> Markup:
    """Where the milliseconds of an exact answer and of a start go, by suite."""
    keys = ("stages_ms", "start_ms", "cases_ms")
    stages = {key: _union(found.get(key) or {} for found in suites) for key in keys}
    return part("times", suites, stages, common)


def growth(suites: Sequence[Bench]) -> Markup:
    """Milliseconds of an answer by the number of experts; nothing where nobody measured it."""
    grown = (row for found in suites for row in found.get("growth", ()))
    counts = sorted({row["experts"] for row in grown if "experts" in row})
    return part("growth", suites, counts, common) if counts else Markup()


def ways(found: Bench) -> Markup:
    """Every way to an answer: cost, agreement, accuracy."""
    return part("modes", found["suite"], found["labelled"])


def _called(name: str) -> str:
    """A figure in words; by its own name where it has none."""
    phrase = common.FIGURES.get(name, {}).get("called", "")
    return phrase[:1].upper() + phrase[1:] or name


def _in_order(names: Iterable[Iterable[str]]) -> list[str]:
    """Each figure once, in the order in which their words are to be read; others last."""
    found = _union(names)
    known = [name for name in common.FIGURES if name in found]
    return [*known, *(name for name in found if name not in common.FIGURES)]


def _union(keys: Iterable[Iterable[Any]]) -> list[Any]:
    """Each key once, in the order of its first appearance."""
    return list(dict.fromkeys(chain.from_iterable(keys)))
