"""The charts of a suite's diagnosis, as plotly figures. Beside `charts` the one file with plotly.

What a reader must know is in the shape or the place of a mark too, never in its colour alone.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from semerge.ui.charts import FOOT, GREY, INK, SE, SHARES, STATIC, axis, base

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
