"""The charts: those of one input as rows of HTML, all others as plotly figures. The one file that
imports plotly.

What a reader must know is in the shape or the place of a mark too, never in its colour alone. The
style sheets repaint the colours on a dark page.
"""

from __future__ import annotations

import html
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go
from gradio.components.plot import PlotData
from markupsafe import Markup

from semerge.ui import words
from semerge.ui.words import View

SE, STATIC, GREY, INK = "#0072B2", "#D55E00", "#9AA3B0", "#16181D"
FONT = "IBM Plex Sans, system-ui, sans-serif"
FOOT = 30  # px: height of the axis below
SHARES: dict[str, Any] = {"range": [0, 1.02], "tickformat": ".0%", "dtick": 0.25}
CONFIG = {"displayModeBar": False, "displaylogo": False, "scrollZoom": False, "doubleClick": False}
MARKS = (  # shape and colour of a task, as many as there are apart
    ("circle", "#0072B2"),
    ("square", "#D55E00"),
    ("diamond", "#007A5A"),
    ("triangle-up", "#9B4F96"),
    ("triangle-down", "#6F6200"),
    ("cross", "#16181D"),
    ("x", "#007A8A"),
    ("star", "#B3261E"),
)
Part = Mapping[str, Any]  # of a diagnosis
Axis = dict[str, Any]


def plot(figure: Any) -> PlotData:
    """A figure with the tool-bar options that `gr.Plot` itself can't pass on."""
    content = json.loads(figure.to_json())
    return PlotData(type="plotly", plot=json.dumps({**content, "config": CONFIG}))


def _layout(height: int, **margin: int) -> dict[str, Any]:
    """What all charts share; height and margins in px."""
    return {
        "template": None,
        "height": height,
        "margin": {"l": 12, "r": 12, "t": 0, "b": FOOT, "pad": 0} | margin,
        "paper_bgcolor": "white",
        "plot_bgcolor": "white",
        "font": {"family": FONT, "size": 13, "color": INK},
        "showlegend": False,
        "dragmode": False,
        "hoverlabel": {"font": {"family": FONT, "size": 13}},
    }


def _axis(title: str = "", **more: Any) -> Axis:
    """No zooming by drag, which would trap a finger that scrolls the page."""
    axis = {
        "fixedrange": True,
        "gridcolor": "#E3E7EC",
        "zeroline": True,
        "zerolinecolor": "#9AA3B0",
        "showline": False,
        "ticks": "",
        "tickfont": {"size": 12},
    }
    named = {"title": {"text": title, "font": {"size": 13}}} if title else {}
    return axis | named | more


def _marks(x: Sequence[Any], y: Sequence[Any], hover: str, marker: Part, **more: Any) -> go.Scatter:
    """One kind of mark; those at the ends of an axis are whole."""
    more = {"mode": "markers", "cliponaxis": False} | more
    return go.Scatter(x=list(x), y=list(y), hovertemplate=hover, marker=marker, **more)


# --------------------------------------------------------------------------------------------------
# One input: a row an expert, in the suite's order so that inputs can be compared. Drawn as HTML, by
# a template: these are on the first screen, and plotly weighs more than all else of the page.


@dataclass(frozen=True)
class Row:
    """An expert's bar, and the mark on it; places are shares of the axis."""

    title: str
    value: str  # what is read
    hint: str  # what else is known of it
    start: float
    length: float
    mark: float | None
    chosen: bool


@dataclass(frozen=True)
class Rows:
    """A chart. ticks: places along the axis, as shares of it, and what is written there. zero: the
    share at which bars start."""

    rows: tuple[Row, ...]
    ticks: tuple[tuple[float, str], ...]
    zero: float


def similarity(view: View) -> Rows:
    """Similarity of each expert at the probe layer, the chosen one marked by a word."""
    values = view.column("similarities")
    texts = [words.number(value) for value in values]
    texts[view.chosen] += " chosen"
    measured = "distance, or its estimate," if view.estimated else "distance"
    hints = [f"{measured} {words.distance(d)}" for d in view.column("distances")]
    return _rows(view, values, texts, hints)


def coefficients(view: View) -> Rows:
    """Coefficients of the experts: after (bars) against before, the static merge's (marks)."""
    before, after = view.column("static_coefficients"), view.column("coefficients")
    pairs = [(words.number(old), words.number(new)) for old, new in zip(before, after, strict=True)]
    texts = [f"{old} → {new}" for old, new in pairs]
    return _rows(view, after, texts, [f"before {old}, after {new}" for old, new in pairs], before)


def _rows(
    view: View,
    values: Sequence[float | None],
    texts: Sequence[str],
    hints: Sequence[str],
    marks: Sequence[float | None] = (),
) -> Rows:
    known = [v for v in (*values, *marks) if v is not None]
    low, high = min([0.0, *known]), max([0.0, *known])
    # similarities that were normalised and coefficients of mass 1 share the range 0 to 1
    high = 1.0 if high <= 1.0 else high

    def place(value: float) -> float:
        return (value - low) / (high - low)

    zero = place(0.0)
    rows = []
    for i, (title, value) in enumerate(zip(view.titles, values, strict=True)):
        at = zero if value is None else place(value)
        mark = marks[i] if marks else None
        rows.append(
            Row(
                title,
                texts[i],
                hints[i],
                min(zero, at),
                abs(at - zero),
                None if mark is None else place(mark),
                i == view.chosen,
            )
        )
    ticks = tuple((place(tick), f"{tick:g}".replace("-", "−")) for tick in _ticks(low, high))
    return Rows(tuple(rows), ticks, zero)


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers between two others, at the most six."""
    power = 10.0 ** math.floor(math.log10((high - low) / 5))
    steps = (factor * power for factor in (1, 2, 5, 10, 20))
    step = next(s for s in steps if math.floor(high / s) - math.ceil(low / s) <= 5)
    return [k * step for k in range(math.ceil(low / step), math.floor(high / step) + 1)]


def rows(chart: Rows) -> Markup:
    return words.macro("rows", chart, template="charts.html")


# --------------------------------------------------------------------------------------------------
# What was measured of a suite, and of ways to an answer.


def report(
    titles: Sequence[str],
    series: Mapping[str, Sequence[float | None]],
    names: Mapping[str, str],
    share: bool = True,
) -> go.Figure:
    """Figures of a suite: one row a task, one mark a model, each with its own shape. share: whether
    they are shares, as accuracies are; else any numbers from 0 on."""
    kinds = {
        "base": ("circle-open", GREY, 11),
        "static": ("diamond", STATIC, 12),
        "se": ("circle", SE, 13),
        "expert": ("line-ns", INK, 18),
    }
    rows = [html.escape(title) for title in titles]
    number = " %{x:.1%}" if share else " %{x:.3g}"
    figure = go.Figure()
    for kind, (symbol, colour, size) in kinds.items():
        if kind in series:
            line = {"width": 2.5, "color": colour}
            marker = {"symbol": symbol, "size": size, "color": colour, "line": line}
            hover = "%{y}<br>" + names[kind] + number + "<extra></extra>"
            figure.add_trace(_marks(series[kind], rows, hover, marker, name=names[kind]))
    figure.update_layout(
        **_layout(32 * len(rows) + 2 * FOOT, l=8, r=16, t=8),
        xaxis=_axis(**SHARES) if share else _axis(rangemode="tozero"),
        yaxis=_axis(autorange="reversed", automargin=True, ticksuffix="  "),
    )
    return figure


def cost(modes: Sequence[Part]) -> go.Figure:
    """Ways to an answer: agreement with the exact one by cost, in passes of the static merge."""
    kinds = {"fast": ("circle", SE), "static": ("diamond", STATIC), "exact": ("circle-open", INK)}
    figure = go.Figure()
    for row in modes:
        symbol, colour = kinds.get(row["mode"].partition(",")[0], ("square-open", GREY))
        marker = {"symbol": symbol, "size": 12, "color": colour, "line": {"width": 2}}
        hover = html.escape(row["mode"]) + "<br>cost %{x:.2f}, agrees %{y:.1%}<extra></extra>"
        place = [row["cost"]], [row["agreement"]]
        figure.add_trace(_marks(*place, hover, marker, name=row["mode"]))
    title = {"text": "cost, in static passes", "standoff": 12}
    figure.update_layout(
        **_layout(320, l=8, r=16, t=8, b=52),
        xaxis={"rangemode": "tozero", **_axis(), "title": title},
        yaxis=_axis(range=[0, 1.05], tickformat=".0%", automargin=True),
    )
    return figure


def field(lines: Sequence[Any]) -> go.Figure:
    """Rows of the table of methods: accuracy as the app answers, by cost in forward passes."""
    kinds = {
        "se": ("circle-open", INK),
        "rival": ("diamond", STATIC),
        "told": ("square-open", GREY),
    }
    figure = go.Figure()
    for kind, (symbol, colour) in kinds.items():
        own = [line for line in lines if line.kind == kind]
        figure.add_trace(
            _marks(
                [line.passes for line in own],
                [line.routed for line in own],
                "%{text}<br>%{x:.1f} passes, right %{y:.1%}<extra></extra>",
                {"symbol": symbol, "size": 11, "color": colour, "line": {"width": 2}},
                text=[html.escape(line.name) for line in own],
                name=kind,
            )
        )
    title = {"text": "forward passes a sample", "standoff": 12}
    figure.update_layout(
        **_layout(360, l=8, r=16, t=8, b=52),
        xaxis={"rangemode": "tozero", **_axis(), "title": title},
        yaxis=_axis(tickformat=".0%", automargin=True, range=[0, 1.05]),
    )
    return figure


# --------------------------------------------------------------------------------------------------
# A suite's diagnosis.


def margins(found: Part) -> go.Figure:
    """How clear the choice was: two histograms over the same margins, one above the other."""
    bins = found["bins"]
    figure = go.Figure()
    parts = (("right", "Right expert", SE, "y"), ("misrouted", "Wrong expert", STATIC, "y2"))
    for key, title, colour, place in parts:
        counts = found[key]
        figure.add_trace(
            go.Bar(
                x=[(i + 0.5) / bins for i in range(bins)],
                y=counts,
                yaxis=place,
                width=0.86 / bins,
                marker={"color": colour},
                hovertemplate=f"margin %{{x:.0%}}: %{{y}} samples<extra>{title}</extra>",
            )
        )
        figure.add_annotation(
            text=f"<b>{title}</b>, n = {sum(counts)}", x=0, xref="paper", xanchor="left",
            y=1, yref=f"{place} domain", yanchor="bottom", showarrow=False,
        )  # fmt: skip

    def counted(key: str, **more: Any) -> Axis:
        whole: Axis = {"dtick": 1} if max(found[key], default=0) < 4 else {}
        return _axis(rangemode="tozero", nticks=4, automargin=True, **whole, **more)

    figure.update_layout(
        **_layout(340, l=8, t=24, b=FOOT + 16),
        bargap=0,
        xaxis=_axis("margin", range=[0, 1], tickformat=".0%", anchor="y2"),
        yaxis=counted("right", domain=[0.6, 1]),
        yaxis2=counted("misrouted", domain=[0, 0.4], anchor="x"),
    )
    return figure


def task_map(found: Part, titles: Mapping[str, str]) -> go.Figure:
    """Representations in the plane: one shape and colour a task."""
    figure = go.Figure()
    for i, (task, title) in enumerate(titles.items()):
        at = [k for k, name in enumerate(found["tasks"]) if name == task]
        symbol, colour = MARKS[i % len(MARKS)]
        opened = "-open" if (i // len(MARKS)) % 2 else ""
        safe = html.escape(title)
        marker = {"symbol": symbol + opened, "size": 8, "color": colour}
        x, y = ([found[axis][k] for k in at] for axis in "xy")
        figure.add_trace(_marks(x, y, f"{safe}<extra></extra>", marker, name=safe))
    first, second = found["explained"][:2]
    layout = _layout(470, l=8, t=8, b=FOOT + 16) | {"showlegend": True}
    figure.update_layout(
        **layout,
        legend={
            "orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "itemclick": False,
            "itemdoubleclick": False, "font": {"size": 12.5},
        },
        xaxis=_axis(f"axis 1, {first:.0%} of the variance", nticks=6),
        yaxis=_axis(f"axis 2, {second:.0%}", nticks=6, automargin=True),
    )  # fmt: skip
    return figure


OVER_LAMBDA = {  # colour, dash and mark; what each is called stands in the legend
    "static": (STATIC, "solid", "diamond"),
    "nearest": (GREY, "dash", "circle-open"),
    "hard_given": (SE, "solid", "circle"),
    "hard_routed": (INK, "dot", "circle-open"),
}
FAMILIES = ((SE, "solid", "circle"), (STATIC, "dash", "diamond"), (INK, "dot", "circle-open"))


def over_lambda(
    series: Mapping[str, Sequence[tuple[float, float]]],
    styles: Sequence[tuple[str, str, str]],
    chosen: float | None = None,
) -> go.Figure:
    """Shares over λ, (λ, share) by name, and the λ = 1/2 at which theory has its threshold. chosen:
    the suite's λ, where the experts are its own."""
    figure = go.Figure()
    for (name, points), (colour, dash, symbol) in zip(series.items(), styles, strict=True):
        trace = _marks(
            [scale for scale, _ in points],
            [share for _, share in points],
            f"λ %{{x:g}}: {name} %{{y:.1%}}<extra></extra>",
            {"symbol": symbol, "size": 8, "color": colour},
            mode="lines+markers",
            line={"color": colour, "dash": dash, "width": 2.2},
        )
        figure.add_trace(trace)
    figure.add_vline(x=0.5, line={"color": GREY, "width": 1.2, "dash": "dot"})
    return _with_lambda(figure, "λ of the static merge, which is probed too", chosen)


def by_block(places: Sequence[str], series: Mapping[str, Sequence[float]]) -> go.Figure:
    """Figures of features by block, the final embedding last."""
    figure = go.Figure()
    for (name, values), (colour, dash, symbol) in zip(series.items(), FAMILIES, strict=True):
        trace = _marks(
            places,
            values,
            f"block %{{x}}: {name} %{{y:.3f}}<extra></extra>",
            {"symbol": symbol, "size": 8, "color": colour},
            mode="lines+markers",
            line={"color": colour, "dash": dash, "width": 2.2},
        )
        figure.add_trace(trace)
    every = [0.0, 1.0, *(value for values in series.values() for value in values)]
    figure.update_layout(
        **_layout(320, l=8, r=16, t=12, b=FOOT + 16),
        xaxis=_axis("block", type="category"),
        yaxis=_axis(range=[min(every) - 0.04, max(every) + 0.06], dtick=0.25, automargin=True),
    )
    return figure


def curve(rows: Sequence[Part], probe_lambda: float | None) -> go.Figure:
    """Right expert nearest, by the λ of the merged model that is probed."""
    figure = go.Figure()
    kinds = (
        ("predicted", GREY, {"dash": "dot", "width": 2}, "circle-open"),
        ("measured", SE, {"width": 2.5}, "circle"),
    )
    for key, colour, line, symbol in kinds:
        known = [row for row in rows if key in row]
        shares = [row[key] for row in known]
        edge = {"width": 2, "color": colour}
        error = {
            "type": "data",
            "array": [s["high"] - s["share"] for s in shares],
            "arrayminus": [s["share"] - s["low"] for s in shares],
            "thickness": 1.2,
            "width": 3,
            "color": colour,
        }
        trace = _marks(
            [row["lambda"] for row in known],
            [s["share"] for s in shares],
            f"λ %{{x:g}}: {key} %{{y:.1%}}<extra></extra>",
            {"symbol": symbol, "size": 9, "color": colour, "line": edge},
            mode="lines+markers",
            line={"color": colour, **line},
            error_y=error,
        )
        figure.add_trace(trace)
    return _with_lambda(figure, "λ of the probed merged model", probe_lambda)


def _with_lambda(figure: go.Figure, title: str, chosen: float | None) -> go.Figure:
    """Shares over λ laid out, with the suite's λ as a dashed line."""
    if chosen is not None:
        figure.add_vline(x=chosen, line={"color": INK, "width": 1.2, "dash": "dash"})
    figure.update_layout(
        **_layout(320, l=8, r=16, t=12, b=FOOT + 16),
        xaxis=_axis(title),
        yaxis=_axis(**SHARES, automargin=True),
    )
    return figure
