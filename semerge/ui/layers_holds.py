"""When the hypothesis holds: how far its own expert and the others move an input."""

from __future__ import annotations

from typing import Any

from semerge.suites import Suite
from semerge.ui import charts, set_charts, words
from semerge.ui.heat import Cell, Row, heat
from semerge.ui.layers_page import Page, Part, fold, interval, point, sampled, title
from semerge.ui.markup import chart_head, echo, esc, table


def page(diagnosis: Part, suite: Suite) -> Page:
    """The verdict, displacements, λ, and how alike the drifts are."""
    found, at = diagnosis["displacement"], diagnosis["at"]
    top = (
        '<h2 class="se-title">When does the hypothesis hold</h2>'
        f'<p class="se-sentence">{esc(found["verdict"])}</p>'
        "<p>An expert moves the representation of an input away from where the base model has it. "
        "For a small λ the nearest expert is the one that moves the input least: that has to be "
        "the input's own. For a larger λ the merged model drifts along what the experts' moves "
        "have in common, away from the one that did not move.</p>"
    )
    top += sampled(diagnosis)
    scale = at["probe_lambda"] if at["probe"] != "base" else None
    return Page(
        f'<div class="se-said">{top}</div>',
        {
            "moves": (_moves_head(found), _moves(found, suite)),
            "curve": (_curve_head(found, scale), set_charts.curve(found["curve"], scale)),
        },
        _moved(found, suite) + fold("How alike the experts' moves are", _alike(found, suite)),
    )


def _moves_head(found: Part) -> str:
    place = point({**found, "probe_lambda": 0})
    summary = (
        f"Mean distance that its own expert, and the others, move a task's samples, at {place} "
        f"(n = {found['n']:,}). Its own moves it least for {interval(found['moves_least'], False)}."
    )
    return chart_head("How far the experts move an input", summary, "layers", "moves")


def _moves(found: Part, suite: Suite) -> Any:
    series = {
        "base": [row["others"] for row in found["tasks"].values()],
        "se": [row["own"] for row in found["tasks"].values()],
    }
    names = {"base": "the others, mean", "se": "its own expert"}
    return charts.report([title(suite, t) for t in found["tasks"]], series, names, share=False)


def _curve_head(found: Part, scale: float | None) -> str:
    measured = [row for row in found["curve"] if "measured" in row]
    best = max(measured, key=lambda row: row["measured"]["share"])
    last = measured[-1]
    summary = (
        f"Right expert nearest: {interval(best['measured'], False)} at λ {best['lambda']:g}, "
        f"{words.percent(last['measured']['share'])} at λ {last['lambda']:g} (n = {found['n']:,}). "
        + (f"The dashed line is the suite's λ, {scale:g}." if scale else "λ 0 is the probe base.")
    )
    return chart_head("The λ of the merged model that is probed", summary, "layers", "curve")


def _moved(found: Part, suite: Suite) -> str:
    rows = [
        [
            echo(title(suite, task)),
            f"{row['own']:#.3g}",
            f"{row['others']:#.3g}",
            "–" if row["ratio"] is None else f"{row['ratio']:.2f}",
            interval(row["moves_least"]),
        ]
        for task, row in found["tasks"].items()
    ]
    heads = ("Task", "Own expert moves it by", "Others, mean", "Ratio", "Own moves it least")
    text = table("How far experts move a task's samples", heads, rows)
    curve = [
        [
            f"{row['lambda']:g}",
            interval(row["predicted"]),
            interval(row["measured"]) if "measured" in row else "–",
        ]
        for row in found["curve"]
    ]
    return text + fold(
        "Figures by λ",
        table("Right expert nearest, by λ", ("λ", "Predicted, to first order", "Measured"), curve),
    )


def _alike(found: Part, suite: Suite) -> str:
    titles = [echo(task.title) for task in suite.tasks]
    rows = [
        Row(name, [Cell(words.number(c), abs(c) ** 2 if i != j else 0.0) for j, c in enumerate(r)])
        for i, (name, r) in enumerate(zip(titles, found["correlations"], strict=True))
    ]
    caption = (
        f"Mean cosine between two experts' displacements of the same input (n = {found['n']:,}); "
        f"{found['drift_correlation']:.2f} on average"
    )
    return heat(caption, ["Expert", *titles], rows)
