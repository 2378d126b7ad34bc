"""The Sandbox tab: set the coefficients by hand, and the merged model answers as they move."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from math import hypot, inf, sqrt
from time import perf_counter
from typing import Any

import gradio as gr
from markupsafe import Markup

from semerge.common import UserError, quoted
from semerge.methods import METHODS
from semerge.registry import TASK_ARITHMETIC
from semerge.settings import AUTO, Settings, checked_coefficients
from semerge.suites import Suite
from semerge.ui import options
from semerge.ui.context import Context, Source, example_of, of_settings, on_gpu, sample_of
from semerge.ui.links import Query
from semerge.ui.options import Coefficients, Entries
from semerge.ui.parts import heading, html, model_event, told_in_place, when_opened
from semerge.ui.picker import InputPicker
from semerge.ui.safe import AnyNumber, SafeDropdown
from semerge.ui.tabs import Tab, Update
from semerge.ui.words import View, button, given, macro

AUTO_HEAD = ("auto: the expert that SE-Merging chooses", AUTO)
Known = dict[str, Any] | None  # of which suite, source, head, method, and SE-Merging's Result
Products = Sequence[Sequence[float]]  # ⟨τs, τt⟩, (T, T)
# suite, method, expert and SE-Merging's Result -> the coefficients that a button sets
Start = Callable[[Suite, str, str, Any], list[float]]
Pair = tuple[str, str]  # two experts: From and To of the preference
part = partial(macro, template="sandbox.html")


class SandboxTab(Tab):
    label, place, takes = "Sandbox", 50, True

    def __init__(self, context: Context) -> None:
        self.context = context
        self.merge = on_gpu(self._merge)
        self.products: Callable[[str, str], Products] = lru_cache(maxsize=16)(  # they never change
            lambda name, method: context.engines.get(name).inner_products(method)
        )
        self.known = gr.State(None)
        with gr.Row(elem_classes="se-desk", equal_height=False):
            with gr.Column(scale=5, min_width=320, elem_classes="se-ask"):
                self.picker = InputPicker(context, self.name)
                self._lay_out(self.picker.suites)
            with gr.Column(
                scale=8, min_width=320, elem_classes="se-tell", elem_id="sandbox-answer"
            ):
                heading("What these coefficients answer")
                waiting = macro("waiting", "Waiting for the models")
                self.told = html(waiting, elem_id="sandbox-told")
                with gr.Column(visible=False, elem_classes="se-body") as self.body:
                    self.given = html(elem_id="sandbox-given")
                    self.cards = html(elem_id="sandbox-cards")
                    self.readout = html(elem_id="sandbox-readout")
                self.link = html(button(self.name, {}), elem_id="sandbox-link")
        self._wire()

    def _lay_out(self, suites: Sequence[Suite]) -> None:
        first = suites[0]
        with gr.Column(elem_classes="se-input", elem_id="sandbox-coefficients"):
            heading("Coefficients")
            self.own = html(elem_id="sandbox-own")
            self.method = Entries("method", first, self.name)
            with gr.Row(elem_classes="se-starts"):
                self.static = gr.Button("Static", size="sm", elem_id="sandbox-static")
                self.se = gr.Button("SE-Merging", size="sm", elem_id="sandbox-se")
                self.base = gr.Button("Base", size="sm", elem_id="sandbox-base")
            with gr.Row(elem_classes="se-starts"):
                self.expert = gr.Dropdown(
                    _tasks(first), value=first.task_names[0], label="Expert", min_width=140
                )
                self.alone = gr.Button("Expert alone", size="sm", elem_id="sandbox-alone")
            with gr.Column(elem_classes="se-preference"):
                with gr.Row(elem_classes="se-starts"):
                    self.ends = [
                        SafeDropdown(
                            _tasks(first), value=first.task_names[at], label=label, min_width=120,
                            elem_id=f"sandbox-{label.lower()}",
                        )
                        for at, label in enumerate(("From", "To"))
                    ]  # fmt: skip
                self.preference = AnyNumber(
                    0, 1, 0.5, step=options.STEP, label="Preference", elem_id="sandbox-preference",
                    info="0 is the first expert alone, 1 the second",
                )  # fmt: skip
                self.line = html(elem_id="sandbox-line")
            html(part("hint"))
            # whose slider is the first: in the page beside them, so that both change at once
            self.leads = gr.Textbox("", visible=False)
            self.sliders = Coefficients(suites, self.name)
            self.head = gr.Dropdown(
                [AUTO_HEAD, *_tasks(first)],
                value=AUTO,
                label="Head",
                info="Which classes the answers are read with",
            )

    def _wire(self) -> None:
        latest = model_event(trigger="always_last")
        picker, sliders, methods = self.picker, self.sliders.inputs, self.method.inputs
        state = [picker.suite, picker.source, self.known, self.head, *self.ends, self.leads]
        state += methods
        asked, everything = [*state, *sliders], [*methods, *sliders, *self._answers]
        self.picker.on(self._chosen, asked[2:], self._filled)
        when_opened(self.known, self._moved_if_new, asked, everything)
        moves = [part.input for part in (self.head, *self.ends, *sliders)]
        gr.on(moves, self._moved, asked, everything, **latest)
        others = [part.input for part in methods]
        gr.on(others, self._other_method, asked, everything, **latest)
        self.preference.input(self._prefer, [self.preference, *state], everything, **latest)
        starts: dict[Any, Start] = {
            self.static: lambda suite, method, expert, result: options.static(suite, method),
            self.base: lambda suite, method, expert, result: [0.0] * len(suite.tasks),
            self.alone: lambda suite, method, expert, result: options.alone(suite, expert),
            self.se: lambda suite, method, expert, result: options.on_grid(result["coefficients"]),
        }
        for start, values in starts.items():
            handler = partial(self._start, values)
            start.click(handler, [self.expert, *state], everything, **model_event())

    # ---- what an answer fills ----------------------------------------------------------------

    @property
    def _answers(self) -> list[Any]:
        """What moves with a slider."""
        shown = [self.body, self.told, self.own, self.given, self.cards, self.readout, self.link]
        return [self.known, self.leads, *self.ends, self.preference, self.line, *shown]

    @property
    def _filled(self) -> list[Any]:
        """Everything but the input."""
        parts = [self.expert, self.head, *self.method.inputs]
        return [*self.sliders.inputs, *parts, *self._answers]

    @property
    def outputs(self) -> list[Any]:
        return [*self.picker.outputs, *self._filled]

    def _failed(self, error: UserError) -> Update:
        """One sentence in an answer's place."""
        told = macro("failure", str(error))
        return {self.body: gr.update(visible=False), self.told: told, self.own: ""}

    # ---- handlers ----------------------------------------------------------------------------

    def _chosen(
        self, suite: Suite, source: Source, known: Known, head: str, first: str, second: str,
        leads: str, *rest: Any,
    ) -> Update:  # fmt: skip
        """Another input: the coefficients stay, unless it is of another suite; and the preference's
        experts, where somebody has chosen them."""
        if known is None or known["suite"] != suite.name:
            return self._show(Asked(suite, source), options.static(suite))
        ends = (first, second) if (first, second) != pair(known["result"]) else ("", "")
        return self._moved(suite.name, source, None, head, *ends, leads, *rest)

    def _moved_if_new(self, name: str, source: Source, known: Known, *rest: Any) -> Update:
        return {} if known else self._moved(name, source, known, *rest)

    @told_in_place
    def _moved(
        self, name: str, source: Source, known: Known, head: str, first: str, second: str,
        leads: str, *rest: Any,
    ) -> Update:  # fmt: skip
        suite = self.context.suite(name)
        method, own = self._read(suite, leads, rest)
        asked = Asked(suite, source, head, method, first, second)
        return self._answer(asked, known, own, leads)

    def _other_method(
        self, name: str, source: Source, known: Known, head: str, first: str, second: str,
        leads: str, *rest: Any,
    ) -> Update:  # fmt: skip
        """Another method, or other options of it: coefficients of its static merge become those of
        the new one's, others stay."""
        suite = self.context.suite(name)
        before = known and known["method"]
        try:
            method, own = self._read(suite, leads, rest)
        except UserError as error:
            return {**self._failed(error), self.known: known and {**known, "method": None}}
        if before == method:
            return {}  # a menu may tell a choice twice, with coefficients of before
        put = self.method.follow(suite, method, method, rest[0])
        if before and own == options.static(suite, before):
            own = options.static(suite, method)
            put |= self.sliders.put(suite, own, leads)
        asked = Asked(suite, source, head, method, first, second)
        return {**put, **self._answer(asked, known, own, leads)}

    @told_in_place
    def _prefer(
        self, share: Any, name: str, source: Source, known: Known, head: str, first: str,
        second: str, leads: str, *methods: Any,
    ) -> Update:  # fmt: skip
        """The preference is moved, and all coefficients with it: onto the line between its two
        experts. It stays where it is itself, as somebody may be dragging it."""
        suite = self.context.suite(name)
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
            raise UserError(f"The preference must be a number from 0 to 1, not {quoted(share)}.")
        asked = Asked(suite, source, head, self.method.read(methods), first, second)
        known, seen = self._ask(asked, known)
        own = options.between(suite, *pair(known["result"], first, second), share)
        put = self.sliders.put(suite, own, leads)
        update = {**put, **seen, **self._answer(asked, known, own, leads)}
        update.pop(self.preference, None)
        return update

    @told_in_place
    def _start(
        self, values: Start, expert: str, name: str, source: Source, known: Known, head: str,
        first: str, second: str, leads: str, *methods: Any,
    ) -> Update:  # fmt: skip
        """A button sets all coefficients."""
        suite = self.context.suite(name)
        asked = Asked(suite, source, head, self.method.read(methods), first, second)
        known, seen = self._ask(asked, known)
        own = values(suite, asked.method, suite.task(expert).name, known["result"])
        put = self.sliders.put(suite, own, leads)
        return {**put, **seen, **self._answer(asked, known, own, leads)}

    def _read(self, suite: Suite, leads: str, values: Sequence[Any]) -> tuple[str, list[Any]]:
        """The method and the coefficients. Raises UserError, of the method alone."""
        count = len(self.method.inputs)
        return self.method.read(values[:count]), Coefficients.of(suite, values[count:], leads)

    def _show(self, asked: Asked, own: Sequence[float]) -> Update:
        """An input with a method and coefficients of its own."""
        suite, tasks = asked.suite, _tasks(asked.suite)
        ends = (asked.first or suite.task_names[0], asked.second or suite.task_names[1])
        return {
            **self.method.put(suite, asked.method, asked.method),
            **self.sliders.put(suite, own),
            self.leads: "",
            **self._put_ends(suite, ends),
            self.expert: gr.update(choices=tasks, value=suite.task_names[0]),
            self.head: gr.update(choices=[AUTO_HEAD, *tasks], value=asked.head),
            **self._answer(asked, None, own, ""),
        }

    def _put_ends(self, suite: Suite, ends: Pair) -> Update:
        tasks = _tasks(suite)
        return {
            part: gr.update(choices=tasks, value=task)
            for part, task in zip(self.ends, ends, strict=True)
        }

    @told_in_place
    def _answer(self, asked: Asked, known: Known, own: Sequence[Any], leads: str) -> Update:
        """What one input and these coefficients answer. leads: whose slider is the first now."""
        suite, source, method = asked.suite, asked.source, asked.method
        known, seen = self._ask(asked, known)
        view = View(known["result"], suite, example_of(source, suite, self.context.examples))
        began = perf_counter()
        sample = sample_of(source, suite, self.context.examples)
        own = checked_coefficients(own, suite, options.LOW, options.HIGH)
        view = with_own(view, self.merge(suite.name, sample, own, view.result["head"], method))
        spent = 1e3 * (perf_counter() - began)
        ends = pair(view.result, asked.first, asked.second)
        share, on_line = place_on_line(suite, own, ends)
        update: Update = {}
        if leads != (chosen := view.result["chosen"]):
            update |= {self.leads: chosen, **self.sliders.put(suite, own, chosen)}
        if ends != (asked.first, asked.second):
            update |= self._put_ends(suite, ends)
        return {
            **update,
            self.known: known,
            self.body: gr.update(visible=True),
            self.told: "",
            self.own: part("answer", view),
            self.preference: share,
            self.line: part("line", *map(view.title, ends), share, on_line),
            **seen,
            self.cards: part("cards", view),
            self.readout: readout(view, own, self.products(suite.name, method), spent),
            self.link: self._link(asked, own, ends),
        }

    def _ask(self, asked: Asked, known: Known) -> tuple[dict[str, Any], Update]:
        """SE-Merging's Result for what is asked, with the input as it is shown where that is
        another; what is `known` is not asked again. Raises UserError where nothing was chosen, or
        what was can't be used."""
        suite, source = asked.suite, asked.source
        values = {"suite": suite.name, "source": source, "head": asked.head}
        values["method"] = asked.method
        if known and values.items() <= known.items():
            return known, {}
        view, picture = self.context.ask(suite.name, source, asked.settings)
        shown = given(sample_of(source, suite, self.context.examples), picture)
        return {**values, "result": dict(view.result)}, {self.given: shown}

    def _merge(
        self, name: str, sample: Any, own: Sequence[Any], head: str, method: str
    ) -> list[dict[str, Any]]:
        answers = self.context.engines.get(name).answer_with(sample, own, head, method)
        return [prediction.to_dict() for prediction in answers]

    # ---- links -------------------------------------------------------------------------------

    def _link(self, asked: Asked, own: Sequence[float], ends: Pair) -> str:
        """The experts of the preference are named also where they are those that are raised most:
        which these are may change with the weights."""
        values, note = self.picker.link(asked.suite, asked.source)
        for task, value in zip(asked.suite.task_names, own, strict=True):
            values[_key(task)] = f"{value:g}"
        values |= dict(zip(ENDS, ends, strict=True))
        return button(self.name, values | of_settings(asked.settings), note)

    def restore(self, query: Query) -> Update:
        suite, source = self.picker.read(query)
        method = query.spec("method", METHODS, METHODS.names, TASK_ARITHMETIC)
        own = [
            query.number(_key(task), options.LOW, options.HIGH, usual)
            for task, usual in zip(suite.task_names, options.static(suite, method), strict=True)
        ]
        head = query.one_of("head", (AUTO, *suite.task_names), AUTO)
        ends = (query.one_of(key, suite.task_names, "") for key in ENDS)
        shown = self._show(Asked(suite, source, head, method, *ends), own)
        return {**self.picker.put(suite, source), **shown}

    def take(self, suite: Suite, source: Source) -> Update:
        shown = self._show(Asked(suite, source), options.static(suite))
        return {**self.picker.put(suite, source), **shown}


@dataclass(frozen=True)
class Asked:
    """An input, the head that its answers are read with, the static method's spec, and the experts
    of the preference; "" for those that SE-Merging raises most."""

    suite: Suite
    source: Source
    head: str = AUTO
    method: str = TASK_ARITHMETIC
    first: str = ""
    second: str = ""

    @property
    def settings(self) -> Settings:
        return Settings(head=self.head, method=self.method)


ENDS = ("from", "to")
"""The experts of the preference in a link."""


def _key(task: str) -> str:
    """A task's coefficient in a link."""
    return f"c.{task}"


def _tasks(suite: Suite) -> list[tuple[str, str]]:
    return [(task.title, task.name) for task in suite.tasks]


# --------------------------------------------------------------------------------------------------
# The preference: the line between two experts, each by itself.


def raised(result: Mapping[str, Any]) -> list[str]:
    """The tasks, that first whose coefficient SE-Merging raises most; of equal ones, as all but one
    are with the preset `hard`, the nearest."""

    def rank(t: int) -> tuple[float, float]:
        after, before, far = (
            result[key][t] for key in ("coefficients", "static_coefficients", "distances")
        )
        return (before or 0.0) - (after or 0.0), inf if far is None else far

    return [result["tasks"][t] for t in sorted(range(len(result["tasks"])), key=rank)]


def pair(result: Mapping[str, Any], first: str = "", second: str = "") -> Pair:
    """The experts of the preference: those that are named, if they are two, else those that are
    raised most."""
    tasks = result["tasks"]
    named = [task for task in dict.fromkeys((first, second)) if task in tasks]
    if len(named) == 1 and second in named and first != second:
        other = next(task for task in raised(result) if task != second)
        return other, second
    one, two, *_ = dict.fromkeys((*named, *raised(result)))
    return one, two


def place_on_line(suite: Suite, own: Sequence[float], ends: Pair) -> tuple[float, bool]:
    """Where on the line the nearest point to some coefficients is, 0 to 1, and whether they are on
    it."""
    first, second = (own[suite.index(task)] for task in ends)
    share = round(min(max((1 + second - first) / 2, 0.0), 1.0), options.DIGITS)
    return share, list(own) == options.between(suite, *ends, share)


# --------------------------------------------------------------------------------------------------
# What is said of coefficients: a View of SE-Merging's own Result for the same input and head, with
# the predictions of the visitor's coefficients beside the others as `own`.


def with_own(view: View, own: Sequence[Mapping[str, Any]]) -> View:
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


def readout(view: View, own: Sequence[float], products: Products, spent: float) -> Markup:
    """Sums and lengths, then every coefficient as a table. spent: milliseconds of this answer."""
    others = (view.column(key) for key in ("static_coefficients", "coefficients"))
    columns = [[value or 0.0 for value in column] for column in (own, *others)]
    unit = length(columns[1], products)
    norms = [hypot(*column) for column in columns]
    far = [length(column, products) / unit if unit else None for column in columns]
    return part("readout", view, columns, norms, far, spent)
