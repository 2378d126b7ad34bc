"""The one panel that shows a Result. Every tab that shows one uses this class."""

from __future__ import annotations

import json
from typing import Any

import gradio as gr
from gradio.components.plot import PlotData

from semerge.ui import charts, markup, words
from semerge.ui.markup import echo, esc
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
            answer(view) + markup.answers(view),
            markup.references(view),
            probe(view),
            similarity(view)
            + markup.chart_head(title, words.similarity_summary(view), self.name, "similarity"),
            plot(charts.similarity(view)),
            rescale(view)
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


# --------------------------------------------------------------------------------------------------
# The four steps of the method for one input: a sentence and a number each, for presenting.
#
# Each is part of the Result panel and hidden until the page is presented (`?present=1`): then the
# page's script shows one step at a time, by the `data-step` of these parts.

STEPS = ("probe", "similarity", "rescale", "answer")
COMPARED = {
    "experts": "the merged model's representation of this input is compared with each expert's",
    "base": "the base model's representation of this input is compared with each expert's",
    "cache": "the merged model's representation of this input is compared with stored samples",
}


def probe(view: View) -> str:
    """Which expert is nearest, and the distances of all."""
    distances = view.column("distances")
    nearest = distances[view.chosen]
    where = words.reached(view)
    text = (
        f"{esc(where[0].upper() + where[1:])}, {COMPARED[view.result['probe']]}: {_named(view)} is "
        f"the nearest, at distance {_number(words.distance(nearest))}."
    )
    if view.estimated:
        text += f" {esc(words.ESTIMATES)}"
    known = [d for d in distances if d is not None]
    most = max(known, default=0.0) or 1.0
    rows = "".join(
        f'<li{" class=nearest" if i == view.chosen else ""}><span class="se-label">{echo(title)}'
        f'</span><span class="se-bar" aria-hidden="true"><i style="width:'
        f'{100 * (d or 0.0) / most:.2f}%"></i></span><span class="se-value">{words.distance(d)}'
        f"{' nearest' if i == view.chosen else ''}</span></li>"
        for i, (title, d) in enumerate(zip(view.titles, distances, strict=True))
    )
    return _step("probe", "Probe", text) + f'<ol class="se-scores se-distances">{rows}</ol>'


def similarity(view: View) -> str:
    """How similar the nearest expert is, and the next."""
    values = view.column("similarities")
    text = (
        f"The smaller the distance, the more similar: {_named(view)} has "
        f"{_number(words.number(values[view.chosen]))}"
    )
    rest = [
        (value, title)
        for i, (value, title) in enumerate(zip(values, view.titles, strict=True))
        if i != view.chosen and value is not None
    ]
    if rest:
        value, title = max(rest)
        text += f", the next, {echo(title)}, {words.number(value)}"
    return _step("similarity", "Similarity", text + ".")


def rescale(view: View) -> str:
    """What becomes of the chosen expert's coefficient, and of the others'."""
    verb, old, new = words.change(view)
    change = f"stays at {_number(new)}" if verb == "kept" else f"goes from {old} to {_number(new)}"
    rest = [v for i, v in enumerate(view.column("coefficients")) if i != view.chosen and v]
    text = f"Similarities become coefficients: that of {_named(view)} {change}"
    text += f"; the others sum to {words.number(sum(rest))}"
    return _step("rescale", "Rescale", text + ".")


def answer(view: View) -> str:
    """What the model answers that was merged with these coefficients."""
    best = view.result["predictions"]["se"][0]
    text = (
        f"Merged with these coefficients, the model answers <strong>{echo(best['label'])}</strong> "
        f"with a score of {_number(words.percent(best['score']))}; the static merge answers "
    )
    text += "the same." if view.same else f"{echo(view.answer('static'))}."
    truth = markup.truth(view) if view.example is not None else ""
    return _step("answer", "Merge and answer", text, truth)


def _step(name: str, title: str, text: str, more: str = "") -> str:
    number = STEPS.index(name) + 1
    return (
        f'<div class="se-step" data-step="{name}"><p><b>{number} {title}</b> '
        f"<span>{text}</span></p>{more}</div>"
    )


def _named(view: View) -> str:
    return f"<strong>{echo(view.titles[view.chosen])}</strong>"


def _number(text: str) -> str:
    return f'<strong class="is-number">{text}</strong>'
