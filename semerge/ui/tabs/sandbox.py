"""The Sandbox tab: set the coefficients by hand, and the merged model answers as they move."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from math import sqrt
from time import perf_counter
from typing import Any

import gradio as gr

from semerge.common import UserError
from semerge.settings import AUTO, Settings, checked_coefficients
from semerge.suites import Suite
from semerge.ui import markup, options, words
from semerge.ui.context import Context, Source, example_of, on_gpu, sample_of
from semerge.ui.events import model_event, when_opened
from semerge.ui.links import Query, button
from semerge.ui.markup import card, echo, esc, given, notes, table, truth
from semerge.ui.options import Coefficients
from semerge.ui.panel import html
from semerge.ui.picker import InputPicker
from semerge.ui.tabs import Tab, listed
from semerge.ui.view import View

AUTO_HEAD = ("auto: the expert that SE-Merging chooses", AUTO)
HINT = (
    '<p class="se-hint">From −0.5 to 1.5, in steps of 0.01; numbers can be typed. What SE-Merging '
    "sets is rounded to that step.</p>"
)
WAITING = markup.waiting("Waiting for the models")
Known = dict[str, Any] | None  # SE-Merging's Result: of which source, which head, and itself


class SandboxTab(Tab):
    label, place, takes = "Sandbox", 50, True

    def __init__(self, context: Context) -> None:
        self.context = context
        self.merge = on_gpu(self._merge)
        self.products = cache(self._products)
        self.known = gr.State(None)
        with gr.Row(elem_classes="se-desk", equal_height=False):
            with gr.Column(scale=5, min_width=320, elem_classes="se-ask"):
                self.picker = InputPicker(context, self.name)
                self._layout(self.picker.suites)
            with gr.Column(scale=8, min_width=320, elem_classes="se-tell"):
                html('<h2 class="se-title">What these coefficients answer</h2>')
                self.told = html(WAITING, elem_id="sandbox-told")
                with gr.Column(visible=False, elem_classes="se-body") as self.body:
                    self.given = html(elem_id="sandbox-given")
                    self.cards = html(elem_id="sandbox-cards")
                    self.readout = html(elem_id="sandbox-readout")
                self.link = html(button(self.name, {}), elem_id="sandbox-link")
        self._wire()

    def _layout(self, suites: Sequence[Suite]) -> None:
        first = suites[0]
        with gr.Column(elem_classes="se-input", elem_id="sandbox-coefficients"):
            html('<h2 class="se-title">Coefficients</h2>')
            self.own = html(elem_id="sandbox-own")
            with gr.Row(elem_classes="se-starts"):
                self.static = gr.Button("Static", size="sm", elem_id="sandbox-static")
                self.se = gr.Button("SE-Merging", size="sm", elem_id="sandbox-se")
                self.base = gr.Button("Base", size="sm", elem_id="sandbox-base")
            with gr.Row(elem_classes="se-starts"):
                self.expert = gr.Dropdown(
                    _tasks(first), value=first.task_names[0], label="Expert", min_width=140
                )
                self.alone = gr.Button("Expert alone", size="sm", elem_id="sandbox-alone")
            html(HINT)
            self.sliders = Coefficients(suites, self.name)
            self.head = gr.Dropdown(
                [AUTO_HEAD, *_tasks(first)],
                value=AUTO,
                label="Head",
                info="Which classes the answers are read with",
            )

    def _wire(self) -> None:
        latest = model_event(trigger="always_last")
        picker, sliders = self.picker, self.sliders.inputs
        asked = [picker.suite, picker.source, self.known, self.head, *sliders]
        self.picker.on(self._chosen, [self.known, self.head, *sliders], self._outputs)
        when_opened(self.known, self._opened, asked, self._outputs)
        self.head.input(self._again, asked, self._outputs, **latest)
        gr.on([slider.input for slider in sliders], self._moved, asked, self._answers, **latest)
        self._start(self.static, lambda suite, expert, result: options.static(suite))
        self._start(self.base, lambda suite, expert, result: [0.0] * len(suite.tasks))
        self._start(
            self.alone,
            lambda suite, expert, result: options.alone(suite, suite.task(expert).name),
        )
        self._start(self.se, lambda suite, expert, result: options.on_grid(result["coefficients"]))

    def _start(self, part: gr.Button, values: Callable[[Suite, str, Any], list[float]]) -> None:
        """Let a button set all coefficients."""

        def start(name: str, source: Source, known: Known, head: str, expert: str) -> list[Any]:
            suite = self.context.suite(name)
            try:
                known = self._ask(suite, source, known, head)[0]
                own = values(suite, expert, known["result"])
            except UserError as error:
                return [*_kept(sliders), *self._failed(error)]
            return [*self._slide(suite, own), *self._answer(suite, source, known, head, own)]

        picker, sliders = self.picker, self.sliders.inputs
        inputs = [picker.suite, picker.source, self.known, self.head, self.expert]
        part.click(start, inputs, [*sliders, *self._answers], **model_event())

    def _slide(self, suite: Suite, own: Sequence[Any]) -> list[Any]:
        return listed(self.sliders.inputs, self.sliders.put(suite, own))

    # ---- what an answer fills ----------------------------------------------------------------

    @property
    def _answers(self) -> list[Any]:
        """What moves with a slider."""
        return [
            self.known, self.body, self.told, self.own, self.given, self.cards, self.readout,
            self.link,
        ]  # fmt: skip

    @property
    def _outputs(self) -> list[Any]:
        """Everything but the input."""
        return [*self.sliders.inputs, self.expert, self.head, *self._answers]

    def _failed(self, error: UserError) -> list[Any]:
        """Values of `_answers`: one sentence in their place."""
        told = markup.failure(str(error))
        return [gr.skip(), gr.update(visible=False), told, "", *_kept([*self._answers[4:]])]

    # ---- handlers ----------------------------------------------------------------------------

    def _chosen(
        self, suite: Suite, source: Source, known: Known, head: str, *own: Any
    ) -> list[Any]:
        """Another input: the coefficients stay, unless it is of another suite."""
        if known is None or known["result"]["suite"] != suite.name:
            return self._show(suite, source, AUTO, options.static(suite))
        return self._show(suite, source, head, Coefficients.of(suite, own))

    def _opened(self, name: str, source: Source, known: Known, head: str, *own: Any) -> list[Any]:
        if known is not None:
            return _kept(self._outputs)
        return self._again(name, source, known, head, *own)

    def _again(self, name: str, source: Source, known: Known, head: str, *own: Any) -> list[Any]:
        suite = self.context.suite(name)
        return self._show(suite, source, head, Coefficients.of(suite, own))

    def _moved(self, name: str, source: Source, known: Known, head: str, *own: Any) -> list[Any]:
        suite = self.context.suite(name)
        return self._answer(suite, source, known, head, Coefficients.of(suite, own))

    def _show(self, suite: Suite, source: Source, head: str, own: Sequence[Any]) -> list[Any]:
        """Values of `_outputs`."""
        answers = self._answer(suite, source, None, head, own)
        failed = bool(answers[2])  # sliders keep what was refused, so that it can be mended
        sliders = _kept(self.sliders.inputs) if failed else self._slide(suite, own)
        expert = gr.update(choices=_tasks(suite), value=suite.task_names[0])
        heads = gr.update(choices=[AUTO_HEAD, *_tasks(suite)], value=head)
        return [*sliders, gr.skip() if failed else expert, heads, *answers]

    def _answer(
        self, suite: Suite, source: Source, known: Known, head: str, own: Sequence[Any]
    ) -> list[Any]:
        """Values of `_answers` for one input and coefficients."""
        try:
            known, seen = self._ask(suite, source, known, head)
            view = View(known["result"], suite, example_of(source, suite, self.context.examples))
            began = perf_counter()
            sample = sample_of(source, suite, self.context.examples)
            own = checked_coefficients(own, suite, options.LOW, options.HIGH)
            found = self.merge(suite.name, sample, own, view.result["head"])
            spent = 1e3 * (perf_counter() - began)
            products = self.products(suite.name)
        except UserError as error:
            return self._failed(error)
        view = with_own(view, found)
        return [
            known,
            gr.update(visible=True),
            "",
            answer(view),
            seen,
            cards(view),
            readout(view, own, products, spent),
            self._link(suite, source, head, own),
        ]

    def _ask(self, suite: Suite, source: Source, known: Known, head: str) -> tuple[Any, Any]:
        """SE-Merging's Result for this input and head, and the input as it is shown; what is
        `known` is not asked again.

        Raises:
            UserError: nothing was chosen, or what was can't be used.
        """
        if (
            known is not None
            and (known["source"], known["head"]) == (source, head)
            and known["result"]["suite"] == suite.name
        ):
            return known, gr.skip()
        view, picture = self.context.ask(suite.name, source, Settings(head=head))
        shown = given(sample_of(source, suite, self.context.examples), picture)
        return {"source": source, "head": head, "result": dict(view.result)}, shown

    def _merge(self, name: str, sample: Any, own: Sequence[Any], head: str) -> list[dict[str, Any]]:
        found = self.context.engines.get(name).answer_with(sample, own, head)
        return [prediction.to_dict() for prediction in found]

    def _products(self, name: str) -> Any:
        """Inner products of a suite's task vectors: they never change, so they are kept."""
        return self.context.engines.get(name).inner_products()

    # ---- links -------------------------------------------------------------------------------

    def _link(self, suite: Suite, source: Source, head: str, own: Sequence[float]) -> str:
        values, note = self.picker.link(suite, source)
        for task, value in zip(suite.task_names, own, strict=True):
            values[_key(task)] = f"{value:g}"
        return button(self.name, {**values, "head": head if head != AUTO else None}, note)

    @property
    def restored(self) -> list[Any]:
        return [*self.picker.outputs, *self._outputs]

    def take(self, suite: Suite, source: Source) -> list[Any]:
        """Values of `restored` for an input of another tab."""
        shown = self._show(suite, source, AUTO, options.static(suite))
        return [*listed(self.picker.outputs, self.picker.put(suite, source)), *shown]

    def restore(self, query: Query) -> list[Any]:
        suite, source = self.picker.read(query)
        low, high = options.LOW, options.HIGH
        own = [
            query.number(_key(task), low, high, usual)
            for task, usual in zip(suite.task_names, options.static(suite), strict=True)
        ]
        head = query.one_of("head", (AUTO, *suite.task_names), AUTO)
        return [
            *listed(self.picker.outputs, self.picker.put(suite, source)),
            *self._show(suite, source, head, own),
        ]


def _key(task: str) -> str:
    """A task's coefficient in a link."""
    return f"c.{task}"


def _tasks(suite: Suite) -> list[tuple[str, str]]:
    return [(task.title, task.name) for task in suite.tasks]


def _kept(components: Sequence[Any]) -> list[Any]:
    return [gr.skip() for _ in components]


# --------------------------------------------------------------------------------------------------
# What the Sandbox says of coefficients: the answer, three cards, and the figures. No gradio here.
#
# A View of SE-Merging's own Result for the same input and head, with the predictions of the
# visitor's coefficients beside the others as `own`.

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
