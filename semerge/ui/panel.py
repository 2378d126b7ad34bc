"""The one panel that shows a Result. Every tab that shows one uses this class."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from typing import Any

import gradio as gr
from gradio.components.plot import PlotData
from markupsafe import Markup

from semerge.ui import charts
from semerge.ui.tabs import Update
from semerge.ui.words import View, macro

TEMPLATE = "panel.html"


def plot(figure: Any) -> PlotData:
    """A figure with the tool-bar options that `gr.Plot` itself can't pass on."""
    content = json.loads(figure.to_json())
    return PlotData(type="plotly", plot=json.dumps({**content, "config": charts.CONFIG}))


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


class ResultPanel:
    """Sentence, both answers, references, two charts, the figures, timings and the download.

    Each part that belongs to a step of the method has the step's own sentence for presenting.
    """

    def __init__(self, name: str, view: View | None = None, waiting: str = "") -> None:
        self.name = name
        parts = defaultdict(str, self._parts(view) if view else {})
        sentence = parts["headline"] or macro("waiting", waiting)
        with gr.Column(elem_classes="se-result", elem_id=f"{name}-result"):
            heading("What happened")
            self.headline = html(sentence, elem_id=f"{name}-sentence")
            with gr.Column(visible=view is not None, elem_classes="se-body") as self.body:
                self.answers = html(parts["answers"], elem_id=f"{name}-answers")
                with fold("Chosen expert alone and base model"):
                    self.references = html(parts["references"])
                self.distances = html(parts["distances"], elem_id=f"{name}-distances")
                with gr.Row(elem_classes="se-charts"):
                    with gr.Column(elem_classes="se-chart se-at-similarity", min_width=280):
                        self.similar_head = html(parts["similar_head"])
                        self.similar = chart(parts["similar"], f"{name}-similarity")
                    with gr.Column(elem_classes="se-chart se-at-rescale", min_width=280):
                        self.weights_head = html(parts["weights_head"])
                        self.weights = chart(parts["weights"], f"{name}-coefficients")
                with fold("All figures as a table"):
                    self.figures = html(parts["figures"])
                self.footer = html(parts["footer"], elem_id=f"{name}-footer")

    @property
    def outputs(self) -> list[Any]:
        """What the updates below are of."""
        return [
            self.body, self.headline, self.answers, self.references, self.distances,
            self.similar_head, self.similar, self.weights_head, self.weights, self.figures,
            self.footer,
        ]  # fmt: skip

    def show(self, view: View) -> Update:
        parts = self._parts(view)
        shown = {getattr(self, name): value for name, value in parts.items()}
        return {self.body: gr.update(visible=True), **shown}

    def fail(self, message: str) -> Update:
        """One sentence instead of a result."""
        return self._only(macro("failure", message))

    def invite(self) -> Update:
        """Before anything was asked, where there is no example to open with."""
        return self._only(macro("invitation", template=TEMPLATE))

    def _only(self, sentence: Markup) -> Update:
        return {self.body: gr.update(visible=False), self.headline: sentence}

    def _parts(self, view: View) -> dict[str, Any]:
        """What each part shows, by its name here."""
        show = partial(macro, template=TEMPLATE)
        return {
            "headline": show("headline", view),
            "answers": show("answers", view),
            "references": show("references", view),
            "distances": show("probe", view),
            "similar_head": show("similarity", view, self.name),
            "similar": plot(charts.similarity(view)),
            "weights_head": show("rescale", view, self.name),
            "weights": plot(charts.coefficients(view)),
            "figures": show("figures", view),
            "footer": show("footer", view),
        }
