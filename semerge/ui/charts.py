"""The charts, as plotly figures. The one file that imports plotly."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from semerge.ui import words
from semerge.ui.view import View

SE, STATIC, GREY, INK = "#0072B2", "#D55E00", "#9AA3B0", "#16181D"
FONT = "IBM Plex Sans, system-ui, sans-serif"
ROW, FOOT = 42, 30  # px: height of one expert's row, of the axis below
BAR, RISE = 0.26, 0.42  # in rows: thickness of a bar, height of its text above it
SHARES = {"range": [0, 1.02], "tickformat": ".0%", "dtick": 0.25}
CONFIG = {"displayModeBar": False, "displaylogo": False, "scrollZoom": False, "doubleClick": False}


def similarity(view: View) -> go.Figure:
    """Similarity of each expert at the probe layer, the chosen one marked by a word."""
    values = view.column("similarities")
    texts = [words.number(value) for value in values]
    texts[view.chosen] += "  chosen"
    figure = _rows(view, values, texts)
    bars = figure.data[0]
    bars.customdata = [words.distance(d) for d in view.column("distances")]
    measured = "distance, or its estimate," if view.estimated else "distance"
    bars.hovertemplate = f"similarity %{{x:.3f}}<br>{measured} %{{customdata}}<extra></extra>"
    return figure


def coefficients(view: View) -> go.Figure:
    """Coefficients of the experts: after (bars) against before, the static merge's (ticks)."""
    before, after = view.column("static_coefficients"), view.column("coefficients")
    texts = [
        f"{words.number(old)} → {words.number(new)}" for old, new in zip(before, after, strict=True)
    ]
    figure = _rows(view, after, texts, also=before)
    figure.data[0].hovertemplate = "after %{x:.3f}<extra></extra>"
    figure.add_trace(
        go.Scatter(
            x=list(before),
            y=list(range(len(before))),
            mode="markers",
            marker={"symbol": "line-ns", "size": 14, "line": {"width": 3, "color": STATIC}},
            hovertemplate="before %{x:.3f}<extra></extra>",
            cliponaxis=False,
        )
    )
    return figure


def _rows(
    view: View,
    values: Sequence[float | None],
    texts: Sequence[str],
    also: Sequence[float | None] = (),
) -> go.Figure:
    """Horizontal bars, one an expert, in the suite's order so that inputs can be compared.

    Name and number stand above each bar: a column of names beside the bars would leave them half
    of a phone's width.
    """
    known = [v for v in (*values, *also) if v is not None]
    low, high = min([0.0, *known]), max([0.0, *known])
    # similarities that were normalised and coefficients of mass 1 share the range 0 to 1
    high = 1.0 if high <= 1.0 else high
    count = len(values)
    figure = go.Figure(
        go.Bar(
            x=list(values),
            y=list(range(count)),
            orientation="h",
            marker={
                "color": [SE if i == view.chosen else GREY for i in range(count)],
                "cornerradius": 3,
            },
            width=BAR,
        )
    )
    for i, (title, text) in enumerate(zip(view.titles, texts, strict=True)):
        _label(figure, i, title, 0, "left", bold=i == view.chosen)
        _label(figure, i, text, 1, "right", bold=i == view.chosen)
    figure.update_layout(
        **base(ROW * count + FOOT),
        xaxis={"range": [low, high], "nticks": 6, **axis()},
        yaxis={"range": [count - 1 + BAR, -0.75], "visible": False, "fixedrange": True},
    )
    return figure


def _label(figure: go.Figure, row: int, text: str, x: int, anchor: str, bold: bool) -> None:
    """One text of a row. Escaped, because plotly reads a few HTML tags in text."""
    safe = html.escape(text)
    figure.add_annotation(
        text=f"<b>{safe}</b>" if bold else safe,
        x=x, xref="paper", xanchor=anchor, y=row - RISE, yref="y", yanchor="middle",
        align=anchor, showarrow=False, borderpad=0,
    )  # fmt: skip


def base(height: int) -> dict[str, Any]:
    """The layout that all charts share; height in px."""
    return {
        "template": None,
        "height": height,
        "margin": {"l": 12, "r": 12, "t": 0, "b": FOOT, "pad": 0},
        "paper_bgcolor": "white",
        "plot_bgcolor": "white",
        "font": {"family": FONT, "size": 13, "color": INK},
        "showlegend": False,
        "dragmode": False,
        "hoverlabel": {"font": {"family": FONT, "size": 13}},
    }


def axis() -> dict[str, Any]:
    """No zooming by drag, which would trap a finger that scrolls the page."""
    return {
        "fixedrange": True,
        "gridcolor": "#E3E7EC",
        "zeroline": True,
        "zerolinecolor": "#9AA3B0",
        "showline": False,
        "ticks": "",
        "tickfont": {"size": 12},
    }


def report(
    titles: Sequence[str],
    series: Mapping[str, Sequence[float | None]],
    names: Mapping[str, str],
    share: bool = True,
) -> go.Figure:
    """Figures of a suite: one row a task, one mark a model, each with its own shape.

    share: whether they are shares, as accuracies are; else any numbers from 0 on.
    """
    marks = {
        "base": ("circle-open", GREY, 11),
        "static": ("diamond", STATIC, 12),
        "se": ("circle", SE, 13),
        "expert": ("line-ns", INK, 18),
    }
    rows = [html.escape(title) for title in titles]
    number = " %{x:.1%}" if share else " %{x:.3g}"
    figure = go.Figure()
    for kind, (symbol, color, size) in marks.items():
        if kind not in series:
            continue
        figure.add_trace(
            go.Scatter(
                x=list(series[kind]),
                y=rows,
                mode="markers",
                name=names[kind],
                marker={"symbol": symbol, "size": size, "color": color,
                        "line": {"width": 2.5, "color": color}},
                hovertemplate="%{y}<br>" + names[kind] + number + "<extra></extra>",
                cliponaxis=False,
            )
        )  # fmt: skip
    layout = base(32 * len(rows) + 2 * FOOT)
    layout["margin"] |= {"l": 8, "r": 16, "t": 8}
    figure.update_layout(
        **layout,
        xaxis={**(SHARES if share else {"rangemode": "tozero"}), **axis()},
        yaxis={"autorange": "reversed", "automargin": True, "ticksuffix": "  ", **axis()},
    )
    return figure


def cost(modes: Sequence[Mapping[str, Any]]) -> go.Figure:
    """Ways to an answer: agreement with the exact one by cost, in passes of the static merge."""
    marks = {"fast": ("circle", SE), "static": ("diamond", STATIC), "exact": ("circle-open", INK)}
    figure = go.Figure()
    for row in modes:
        symbol, color = marks.get(row["mode"].partition(",")[0], ("square-open", GREY))
        figure.add_trace(
            go.Scatter(
                x=[row["cost"]],
                y=[row["agreement"]],
                mode="markers",
                name=row["mode"],
                marker={"symbol": symbol, "size": 12, "color": color, "line": {"width": 2}},
                hovertemplate=html.escape(row["mode"])
                + "<br>cost %{x:.2f}, agrees %{y:.1%}<extra></extra>",
                cliponaxis=False,
            )
        )
    layout = base(320)
    layout["margin"] |= {"l": 8, "r": 16, "t": 8, "b": 52}
    title = {"text": "cost, in static passes", "standoff": 12}
    figure.update_layout(
        **layout,
        xaxis={"rangemode": "tozero", "title": title, **axis()},
        yaxis={"range": [0, 1.05], "tickformat": ".0%", "automargin": True, **axis()},
    )
    return figure


# --------------------------------------------------------------------------------------------------
# The charts of a suite's diagnosis, as plotly figures. Beside `charts` the one file with plotly.
#
# What a reader must know is in the shape or the place of a mark too, never in its colour alone.

Part = Mapping[str, Any]
# pairs of shape and colour; assets/styles/layers.css repaints them on a dark page
MARKS = (
    ("circle", "#0072B2"),
    ("square", "#D55E00"),
    ("diamond", "#007A5A"),
    ("triangle-up", "#9B4F96"),
    ("triangle-down", "#6F6200"),
    ("cross", "#16181D"),
    ("x", "#007A8A"),
    ("star", "#B3261E"),
)


def margins(found: Part) -> go.Figure:
    """How clear the choice was: two histograms over the same margins, one above the other."""
    bins = found["bins"]
    centres = [(i + 0.5) / bins for i in range(bins)]
    figure = go.Figure()
    parts = (("right", "Right expert", SE, "y"), ("misrouted", "Wrong expert", STATIC, "y2"))
    for key, title, colour, place in parts:
        counts = found[key]
        figure.add_trace(
            go.Bar(
                x=centres,
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
    layout = base(340)
    layout["margin"] |= {"l": 8, "r": 12, "t": 24, "b": FOOT + 16}
    figure.update_layout(
        **layout,
        bargap=0,
        xaxis={"range": [0, 1], "tickformat": ".0%", **_titled("margin"), "anchor": "y2"},
        yaxis={"domain": [0.6, 1], "rangemode": "tozero", "nticks": 4, **_side()},
        yaxis2={"domain": [0, 0.4], "anchor": "x", "rangemode": "tozero", "nticks": 4, **_side()},
    )
    # counts are whole
    for key, _, _, place in parts:
        if max(found[key], default=0) < 4:
            figure.update_layout({place.replace("y", "yaxis"): {"dtick": 1}})
    return figure


def task_map(found: Part, titles: Mapping[str, str]) -> go.Figure:
    """Representations in the plane: one shape and colour a task."""
    figure = go.Figure()
    for i, (task, title) in enumerate(titles.items()):
        at = [k for k, name in enumerate(found["tasks"]) if name == task]
        symbol, colour = MARKS[i % len(MARKS)]
        opened = "-open" if (i // len(MARKS)) % 2 else ""
        safe = html.escape(title)
        figure.add_trace(
            go.Scatter(
                x=[found["x"][k] for k in at],
                y=[found["y"][k] for k in at],
                mode="markers",
                name=safe,
                marker={"symbol": symbol + opened, "size": 8, "color": colour},
                hovertemplate=f"{safe}<extra></extra>",
                cliponaxis=False,
            )
        )
    layout = base(470) | {"showlegend": True}
    layout["margin"] |= {"l": 8, "r": 12, "t": 8, "b": FOOT + 16}
    figure.update_layout(
        **layout,
        legend={
            "orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "itemclick": False,
            "itemdoubleclick": False, "font": {"size": 12.5},
        },
        xaxis={"nticks": 6, **_titled(f"axis 1, {found['explained'][0]:.0%} of the variance")},
        yaxis={"nticks": 6, **_titled(f"axis 2, {found['explained'][1]:.0%}"), "automargin": True},
    )  # fmt: skip
    return figure


def curve(rows: Sequence[Part], probe_lambda: float | None) -> go.Figure:
    """Right expert nearest, by the λ of the merged model that is probed."""
    figure = go.Figure()
    kinds = (
        ("predicted", "base", GREY, {"dash": "dot", "width": 2}, "circle-open"),
        ("measured", "se", SE, {"width": 2.5}, "circle"),
    )
    for key, _, colour, line, symbol in kinds:
        given = [row for row in rows if key in row]
        shares = [row[key] for row in given]
        figure.add_trace(
            go.Scatter(
                x=[row["lambda"] for row in given],
                y=[s["share"] for s in shares],
                error_y={
                    "type": "data",
                    "array": [s["high"] - s["share"] for s in shares],
                    "arrayminus": [s["share"] - s["low"] for s in shares],
                    "thickness": 1.2,
                    "width": 3,
                    "color": colour,
                },
                mode="lines+markers",
                line={"color": colour, **line},
                marker={
                    "symbol": symbol,
                    "size": 9,
                    "color": colour,
                    "line": {"width": 2, "color": colour},
                },
                hovertemplate=f"λ %{{x:g}}: {key} %{{y:.1%}}<extra></extra>",
                cliponaxis=False,
            )
        )
    if probe_lambda is not None:
        figure.add_vline(x=probe_lambda, line={"color": INK, "width": 1.2, "dash": "dash"})
    layout = base(320)
    layout["margin"] |= {"l": 8, "r": 16, "t": 12, "b": FOOT + 16}
    figure.update_layout(
        **layout,
        xaxis=_titled("λ of the probed merged model"),
        yaxis={**SHARES, **_side()},
    )
    return figure


def _titled(text: str) -> dict[str, Any]:
    return {"title": {"text": text, "font": {"size": 13}}, **axis()}


def _side() -> dict[str, Any]:
    return {"automargin": True, **axis()}
