"""The one panel that shows a Result. Every tab that shows one uses this class.

panel = ResultPanel("vision", waiting="Loading the vision experts")
button.click(handler, inputs, panel.outputs)      # handler returns panel.show(view)
"""

from __future__ import annotations

import json
from typing import Any

import gradio as gr
from gradio.components.plot import PlotData

from semerge.ui import charts, markup, steps, words
from semerge.ui.view import View


def plot(figure: Any) -> PlotData:
    """A figure with the tool-bar options that `gr.Plot` itself can't pass on."""
    content = json.loads(figure.to_json())
    return PlotData(type="plotly", plot=json.dumps({**content, "config": charts.CONFIG}))


def html(value: str = "", **options: Any) -> gr.HTML:
    """Static HTML of our own: no script, no default styling."""
    return gr.HTML(value, apply_default_css=False, js_on_load=None, **options)


def chart_card(title: str, summary: str, chart: str, drawn: Any, legend: markup.Legend) -> None:
    """A chart of the About tab with its heading, its words, its legend and its save buttons."""
    with gr.Column(elem_classes="se-chart"):
        html(markup.chart_head(title, summary, "about", chart, legend))
        gr.Plot(
            drawn,
            show_label=False,
            container=False,
            elem_id=f"about-{chart}",
            elem_classes="se-plot",
        )


class ResultPanel:
    """Sentence, both answers, references, two charts, the figures, timings and the download.

    Each part that belongs to a step of the method has the step's own sentence for presenting.
    """

    def __init__(self, name: str, view: View | None = None, waiting: str = "") -> None:
        self.name = name
        content = self._content(view) if view else None
        shown = content is not None
        values = content or [""] * 10
        with gr.Column(elem_classes="se-result", elem_id=f"{name}-result"):
            html('<h2 class="se-title">What happened</h2>')
            self.headline = html(
                values[0] if shown else markup.waiting(waiting), elem_id=f"{name}-sentence"
            )
            with gr.Column(visible=shown, elem_classes="se-body") as self.body:
                self.answers = html(values[1], elem_id=f"{name}-answers")
                with gr.Accordion(
                    "Chosen expert alone and base model", open=False, elem_classes="se-fold"
                ):
                    self.references = html(values[2])
                self.distances = html(values[3], elem_id=f"{name}-distances")
                with gr.Row(elem_classes="se-charts"):
                    with gr.Column(elem_classes="se-chart se-at-similarity", min_width=280):
                        self.similar_head = html(values[4])
                        self.similar = _chart(values[5], f"{name}-similarity")
                    with gr.Column(elem_classes="se-chart se-at-rescale", min_width=280):
                        self.weights_head = html(values[6])
                        self.weights = _chart(values[7], f"{name}-coefficients")
                with gr.Accordion("All figures as a table", open=False, elem_classes="se-fold"):
                    self.figures = html(values[8])
                self.footer = html(values[9], elem_id=f"{name}-footer")

    def invite(self) -> list[Any]:
        """`outputs` before anything was asked, where there is no example to open with."""
        return [gr.update(visible=False), markup.INVITATION, *([gr.skip()] * 9)]

    @property
    def outputs(self) -> list[Any]:
        """The components that `show` updates, in its order."""
        return [
            self.body, self.headline, self.answers, self.references, self.distances,
            self.similar_head, self.similar, self.weights_head, self.weights, self.figures,
            self.footer,
        ]  # fmt: skip

    def show(self, view: View) -> list[Any]:
        """Values for `outputs`."""
        return [gr.update(visible=True), *self._content(view)]

    def skip(self) -> list[Any]:
        """`outputs` as they are."""
        return [gr.skip() for _ in self.outputs]

    def fail(self, message: str) -> list[Any]:
        """`outputs` that show one sentence instead of a result."""
        return [gr.update(visible=False), markup.failure(message), *([gr.skip()] * 9)]

    def _content(self, view: View) -> list[Any]:
        title = f"Similarity {words.reached(view)}"
        return [
            markup.headline(view),
            steps.answer(view) + markup.answers(view),
            markup.references(view),
            steps.probe(view),
            steps.similarity(view)
            + markup.chart_head(title, words.similarity_summary(view), self.name, "similarity"),
            plot(charts.similarity(view)),
            steps.rescale(view)
            + markup.chart_head(
                "Coefficients before and after",
                words.coefficient_summary(view),
                self.name,
                "coefficients",
            ),
            plot(charts.coefficients(view)),
            markup.figures(view),
            markup.footer(view),
        ]


def _chart(value: Any, name: str) -> gr.Plot:
    return gr.Plot(
        value or None, show_label=False, container=False, elem_id=name, elem_classes="se-plot"
    )
