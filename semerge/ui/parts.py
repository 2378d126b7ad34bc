"""Components that several tabs use: HTML of our own, headings, folds, places for charts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr

from semerge.ui.words import macro


def html(value: str = "", **options: Any) -> gr.HTML:
    """Static HTML of our own: no script, no default styling."""
    return gr.HTML(value, apply_default_css=False, js_on_load=None, **options)


def heading(text: str) -> gr.HTML:
    return html(macro("heading", text))


def fold(title: str, **options: Any) -> gr.Accordion:
    """What is closed until somebody asks for it."""
    return gr.Accordion(title, open=False, elem_classes="se-fold", **options)


def chart(drawn: Any, name: str) -> gr.Plot:
    """drawn: what `plot` makes, or a figure; empty while there is nothing to draw."""
    return gr.Plot(
        drawn or None, show_label=False, container=False, elem_id=name, elem_classes="se-plot"
    )


def chart_card(
    title: str, summary: str, name: str, drawn: Any, legend: Sequence[tuple[str, str]]
) -> None:
    """A chart of the About tab with its heading, its words, its legend and its save buttons."""
    with gr.Column(elem_classes="se-chart"):
        html(macro("chart_head", title, summary, "about", name, legend))
        chart(drawn, f"about-{name}")
