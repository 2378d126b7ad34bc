"""The Layers tab's view of what the theory of merging assumes: two measures of pairs of tasks.

Both are in a suite's report.json, where `evaluate --disentanglement --diagnose` puts them: how far
two task vectors get in each other's way, and how far the features of a merged pair are the mean of
the two experts'. One pair is looked at; a table has all of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import gradio as gr
from jinja2 import UndefinedError
from markupsafe import Markup

from semerge.suites import Suite
from semerge.suites.report import read_report
from semerge.ui import charts
from semerge.ui.parts import chart, html
from semerge.ui.safe import SafeDropdown
from semerge.ui.tabs import Update
from semerge.ui.tabs.layers_report import Part, command, part
from semerge.ui.words import macro

THEORY = "theory"
FULL = 1.0  # of either task vector
LINES = {  # of a pair, by block; what each is called stands in the legend
    "cosine": "merge and mean, cosine",
    "experts": "the two experts, cosine",
    "coefficient": "merge along the mean, length",
}
WRONG = (ValueError, LookupError, TypeError, AttributeError, UndefinedError)
Pair = tuple[str, str]


class Measured(NamedTuple):
    """What a report has of pairs of tasks: the parts as they are, each None where there is none."""

    disentanglement: Part | None
    linearity: Part | None

    @classmethod
    def of(cls, suite: Suite) -> Measured:
        """Raises ValueError, LookupError, TypeError or AttributeError where they can't be read."""
        report = read_report(suite) or {}
        found = cls(report.get("disentanglement"), report.get("linearity"))
        for pair in found.pairs:
            for task in pair:
                suite.task(task)
        return found

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """Those that either part has, in the suite's order."""
        rows = [row for of in self if of is not None for row in of["pairs"]]
        return tuple(dict.fromkeys((str(a), str(b)) for a, b in (row["tasks"] for row in rows)))


def named(pair: Pair) -> str:
    """A pair as a link has it."""
    return ",".join(pair)


def row_of(measured: Part | None, pair: Pair) -> Part | None:
    """The figures of one pair."""
    rows = () if measured is None else measured["pairs"]
    return next((row for row in rows if tuple(row["tasks"]) == pair), None)


def in_full(measured: Part) -> dict[Pair, float]:
    """ξ(1, 1) of every pair; empty where the grid does not hold it."""
    alphas = list(measured["alphas"])
    if FULL not in alphas:
        return {}
    i = alphas.index(FULL)
    return {(a, b): row["error"][i][i] for row in measured["pairs"] for a, b in [row["tasks"]]}


def grid(measured: Part, pair: Pair, suite: Suite) -> Markup:
    """The heat map of one pair, and that of all pairs at (1, 1)."""
    row = row_of(measured, pair)
    titles = {task.name: task.title for task in suite.tasks}
    full = in_full(measured)
    tasks = [name for name in titles if any(name in each for each in full)]
    return part("disentangled", measured, row, full, tasks, titles, pair)


def lines(measured: Part, pair: Pair) -> Any:
    """The figure of one pair by block, plotly's; None where it was not measured."""
    row = row_of(measured, pair)
    if row is None:
        return None
    places = [str(layer) for layer in measured["layers"]]
    return charts.by_block(places, {text: row[key] for key, text in LINES.items()})


class Theory:
    """The components, built inside a `gr.Tabs`."""

    def __init__(self, suite: Suite) -> None:
        shown = contents(suite)
        with (
            gr.Tab("Theory", id=THEORY) as self.tab,
            gr.Column(elem_classes="se-set", elem_id="layers-theory"),
        ):
            self.top = html(shown["top"])
            with gr.Column(visible=shown["body"], elem_classes="se-set") as self.body:
                self.pair = SafeDropdown(
                    shown["pairs"],
                    value=shown["pair"],
                    label="Pair of tasks",
                    elem_id="layers-pair",
                )
                self.grid = html(shown["grid"], elem_id="layers-grid")
                with gr.Column(
                    visible=shown["place"], elem_classes="se-chart", min_width=280
                ) as self.place:
                    self.head = html(shown["head"])
                    self.chart = chart(shown["chart"], "layers-linearity")
                self.below = html(shown["below"])

    @property
    def of_pair(self) -> list[Any]:
        """What another pair changes."""
        return [self.grid, self.place, self.head, self.chart, self.below]

    @property
    def outputs(self) -> list[Any]:
        return [self.top, self.body, self.pair, *self.of_pair]

    def show(self, suite: Suite, pair: str = "") -> Update:
        """The view of a suite, at a pair where it has that, else at its first."""
        shown = contents(suite, pair)
        return {
            self.top: shown["top"],
            self.body: gr.update(visible=shown["body"]),
            self.pair: gr.update(choices=shown["pairs"], value=shown["pair"]),
            **self._pair(shown),
        }

    def turn(self, suite: Suite, pair: str) -> Update:
        """Another pair."""
        return self._pair(contents(suite, pair))

    def _pair(self, shown: Mapping[str, Any]) -> Update:
        update = {
            self.grid: shown["grid"],
            self.place: gr.update(visible=shown["place"]),
            self.below: shown["below"],
        }
        if shown["place"]:
            update |= {self.head: shown["head"], self.chart: shown["chart"]}
        return update


def names(suite: Suite) -> tuple[str, ...]:
    """The pairs of a suite as links have them, the first one being the default."""
    try:
        return tuple(map(named, Measured.of(suite).pairs))
    except WRONG:
        return ()


def contents(suite: Suite, chosen: str = "") -> dict[str, Any]:
    """What the components show. chosen: a pair as a link has it."""
    nothing: dict[str, Any] = {
        **dict.fromkeys(("grid", "head", "below"), ""),
        **{"pairs": [], "pair": None, "chart": None, "body": False, "place": False},
    }
    made = command(suite, "--disentanglement ")
    try:
        measured = Measured.of(suite)
        if not measured.pairs:
            what = "has no figures of pairs of tasks yet"
            return nothing | {"top": part("missing", suite.title, what, made)}
        return nothing | _contents(suite, measured, chosen, made)
    except WRONG:
        what = "has figures of pairs of tasks that can't be read"
        return nothing | {"top": part("missing", suite.title, what, made)}


def _contents(suite: Suite, measured: Measured, chosen: str, made: str) -> dict[str, Any]:
    pairs = measured.pairs
    pair = next((each for each in pairs if named(each) == chosen), pairs[0])
    first, second = map(suite.task_title, pair)
    shown: dict[str, Any] = {
        "top": part("theory", measured, suite.title, made),
        "body": True,
        "pairs": [(" and ".join(map(suite.task_title, each)), named(each)) for each in pairs],
        "pair": named(pair),
    }
    if measured.disentanglement is not None:
        shown["grid"] = grid(measured.disentanglement, pair, suite)
    row = row_of(measured.linearity, pair)
    if measured.linearity is not None and row is not None:
        title, layers = "Cross-task linearity, by block", measured.linearity["layers"]
        told = part("linear", row, layers, first, second, _size(measured.linearity, pair))
        shown["place"] = True
        shown["head"] = macro("chart_head", title, told, "layers", "linearity")
        shown["chart"] = charts.plot(lines(measured.linearity, pair))
        shown["below"] = part("linear_figures", row, layers, LINES, first, second)
    return shown


def _size(measured: Part, pair: Sequence[str]) -> int:
    """Samples of a pair."""
    return sum(int(measured["samples"][task]) for task in pair)
