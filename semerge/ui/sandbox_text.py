"""What the Sandbox says of coefficients: the answer, three cards, and the figures. No gradio here.

A View of SE-Merging's own Result for the same input and head, with the predictions of the visitor's
coefficients beside the others as `own`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import sqrt
from typing import Any

from semerge.ui import words
from semerge.ui.markup import card, echo, esc, notes, table, truth
from semerge.ui.view import View

Products = Sequence[Sequence[float]]


def with_own(view: View, own: Sequence[Mapping[str, Any]]) -> View:
    """The View with a visitor's predictions as a further kind, `own`."""
    predictions = {**view.result["predictions"], "own": list(own)}
    return replace(view, result={**view.result, "predictions": predictions})


def length(coefficients: Sequence[float], products: Products) -> float:
    """‖Σt λt τt‖₂: how far the merge lies from the base, all weights as one vector."""
    square = sum(
        a * b * products[i][j]
        for i, a in enumerate(coefficients)
        for j, b in enumerate(coefficients)
    )
    return sqrt(max(square, 0.0))  # rounding may leave a little less than nothing


def answer(view: View) -> str:
    """The visitor's answer in one sentence, where the sliders are."""
    best = view.result["predictions"]["own"][0]
    return (
        '<p class="se-own" aria-live="polite"><span>These coefficients answer </span>'
        f"<strong>{echo(best['label'])}</strong>"
        f'<span class="se-own-score">score {words.percent(best["score"])}</span></p>'
    )


def cards(view: View) -> str:
    """The visitor's answer beside those of the static merge and of SE-Merging."""
    right = truth(view) if view.example is not None else ""
    warned = notes(view.result["notices"]) if view.result["notices"] else ""
    three = "".join(card(view, kind) for kind in ("own", "static", "se"))
    return (
        f'<p class="se-summary">{head(view)}</p>{right}{warned}<div class="se-trio">{three}</div>'
    )


def head(view: View) -> str:
    """Which head reads all three answers, and why that one."""
    why = "the expert that SE-Merging chooses here" if view.routed else "the one you chose"
    return f"All three are read with the {echo(view.title(view.result['head']))} head, {why}."


def readout(view: View, own: Sequence[float], products: Products, milliseconds: float) -> str:
    """Sums and lengths, then every coefficient as a table."""
    static, se = (
        [value or 0.0 for value in view.column(key)]
        for key in ("static_coefficients", "coefficients")
    )
    unit = length(static, products)
    columns = (own, static, se)
    rows = [
        ["Sum", *(words.number(sum(column)) for column in columns)],
        [
            "Length (ℓ₂ norm)",
            *(words.number(sqrt(sum(x * x for x in column))) for column in columns),
        ],
        [
            "Distance from the base, static merge = 1",
            *(words.number(length(c, products) / unit if unit else None) for c in columns),
        ],
    ]
    each = [
        [echo(title), *(words.number(column[t], 3) for column in columns)]
        for t, title in enumerate(view.titles)
    ]
    heads = ("", "Yours", "Static", "SE-Merging")
    return (
        table("Sum and norm of the coefficients", heads, rows)
        + '<p class="se-hint">Distance from the base: the length of the merged task vector '
        "Σ<sub>t</sub> λ<sub>t</sub> τ<sub>t</sub> over all weights, in units of the static "
        f"merge's. This answer took {esc(words.milliseconds(milliseconds))} on the server.</p>"
        + '<details class="se-details"><summary>Every coefficient</summary>'
        + table("Coefficients by expert", ("Expert", *heads[1:]), each, view.chosen)
        + "</details>"
    )
