"""What the Vision and the Language tab have in common: input, examples and options on one side,
the Result panel on the other, and every way to ask wired to the one panel."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

import gradio as gr

from semerge.common import UserError
from semerge.settings import Settings
from semerge.suites import Suite
from semerge.suites.examples import Example
from semerge.ui import links, picker
from semerge.ui.context import Context, Source, example_of, first_source
from semerge.ui.engines import FAILED, State
from semerge.ui.events import model_event, page_event, told
from semerge.ui.links import Query
from semerge.ui.options import Options
from semerge.ui.panel import ResultPanel, html
from semerge.ui.tabs import Tab, registry
from semerge.ui.view import View


class Desk(Tab):
    """Built inside a `gr.Tab`. `panel` shows the answer, `source` remembers what was asked.
    `hand_over` has a button for each tab that can take this input over, by its label.
    """

    needs_suite = False  # it says so
    modality: ClassVar[str]
    waiting: ClassVar[str]  # shown while the models load

    def __init__(self, context: Context) -> None:
        self.context = context
        self.suites = context.of(self.modality)
        self.suite = self.suites[0]
        example = context.examples.opening(self.modality)
        first = first_source(self.suite, context.examples)
        self.source = gr.State(first)
        self.asking: set[str] = set()  # sessions whose own input is waiting for its answer
        with gr.Row(elem_classes="se-desk", equal_height=False):
            with gr.Column(scale=5, min_width=320, elem_classes="se-ask"):
                with gr.Column(elem_classes="se-input"):
                    self.layout(example)
                self.gallery = picker.gallery(self.suite, context.examples, self.name)
                self.options = Options(self.suites, self.name, fast=True)
            with gr.Column(scale=8, min_width=320, elem_classes="se-tell"):
                view = context.opening.get(self.suite.name)
                self.panel = ResultPanel(self.name, view, self.waiting)
                with gr.Row(elem_classes="se-share"):
                    link = self._link(self.suite, first, Settings())
                    self.link = html(link, elem_id=f"{self.name}-link")
                    self.hand_over = {
                        tab.label: gr.Button(
                            tab.label, size="sm", elem_id=f"{self.name}-to-{tab.name}"
                        )
                        for tab in registry()
                        if tab.takes
                    }
        self._wire()
        self.wire()
        self._api()

    # ---- what a tab has of its own -----------------------------------------------------------

    @abstractmethod
    def layout(self, example: Example | None) -> None:
        """The components of the input."""

    @abstractmethod
    def wire(self) -> None:
        """The events of the input, by `self.on`."""

    @property
    @abstractmethod
    def given(self) -> list[Any]:
        """Input components that an example fills, and that the API takes."""

    @abstractmethod
    def fill(self, example: Example) -> list[Any]:
        """Values of `given` for an example."""

    @abstractmethod
    def own(self, source: Source, suite: Suite) -> list[Any]:
        """Values of `given` for a visitor's own input that a link holds."""

    @property
    def extras(self) -> list[Any]:
        """Further components of HTML that an answer fills, and a refusal empties."""
        return []

    @abstractmethod
    def answer(self, source: Source, suite: Suite, settings: Settings) -> tuple[View, list[Any]]:
        """A View and the values of `extras`. Raises UserError for input that can't be used."""

    @abstractmethod
    def read(self, *values: Any) -> Source | None:
        """Values of `given` -> what is asked; None where there is nothing to ask."""

    def listing(self, suite: Suite) -> list[Any]:
        """Updates of `given` for another suite."""
        return [gr.skip() for _ in self.given]

    # ---- wiring ------------------------------------------------------------------------------

    @property
    def outputs(self) -> list[Any]:
        followers = self.options.followers
        extras = [*self.extras, self.source, self.gallery, self.link]
        return [*self.panel.outputs, *followers, *extras]

    def on(self, event: Any, fn: Any, inputs: list[Any], **options: Any) -> None:
        """Let an event ask: `fn(*values of inputs)` gives a source, or None to do nothing."""

        def ask(request: gr.Request, *values: Any) -> list[Any]:
            own, (suite, *choices) = values[: len(inputs)], values[len(inputs) :]
            session = request.session_hash or ""
            self.asking.add(session)
            try:
                source = fn(*own)
                return self._ask(source, suite, choices) if source else self._kept(self.outputs)
            except UserError as error:
                return self._failed(error, {})
            finally:
                self.asking.discard(session)

        event(ask, [*inputs, *self.options.inputs], self.outputs, **model_event(**options))

    def _wire(self) -> None:
        options, latest = self.options, model_event(trigger="always_last")
        again = (self._again, [self.source, *options.inputs], self.outputs)
        settings = [*options.inputs, options.preset_about]
        self.gallery.select(self._example, options.inputs, [*self.outputs, *self.given], **latest)
        gr.on([component.input for component in options.choices], *again, **latest)
        options.suite.input(
            self._change_suite,
            options.suite,
            [*settings, self.gallery, *self.given],
            **page_event(),
        ).then(*again, **latest)
        options.reset.click(
            lambda name: options.defaults(self.context.suite(name)),
            options.suite,
            settings,
            **page_event(),
        ).then(*again, **latest)

    def _api(self) -> None:
        """The JSON object of `predict --json`, for clients of the API."""
        count = len(self.given)

        def predict(*values: Any) -> dict[str, Any]:
            try:
                suite = self.context.suite(values[count])
                settings = Options.read(suite, values[count + 1 :])
                source = self.read(*values[:count]) or {}
                return dict(self.answer(source, suite, settings)[0].result)
            except UserError as error:
                raise told(error) from None

        event = model_event(api_visibility="public", api_name=f"predict_{self.modality}")
        inputs = [*self.given, *self.options.inputs]
        gr.Button(visible=False).click(predict, inputs, gr.JSON(visible=False), **event)

    # ---- links ------------------------------------------------------------------------------

    @property
    def restored(self) -> list[Any]:
        options = self.options
        extras = [*self.extras, self.source, self.gallery, self.link, *self.given]
        return [*self.panel.outputs, *options.inputs, options.preset_about, *extras]

    def restore(self, query: Query) -> list[Any]:
        names = [suite.name for suite in self.suites]
        suite = self.context.suite(query.one_of("suite", names, self.suite.name))
        settings = links.read_settings(query, suite, fast=True)
        source = links.read_source(query, suite, self.context.examples)
        source = source or first_source(suite, self.context.examples)
        if not source:
            return self._kept(self.restored)
        values = self._answer(source, suite, settings)
        shown, rest = values[: len(self.panel.outputs)], values[-len(self.extras) - 3 :]
        example = example_of(source, suite, self.context.examples)
        # the content too has the mark: see the gallery's script
        current = example.index if example else -1
        content = picker.content(suite, self.context.examples, current)
        rest[-2] = gr.update(value=content, current=current)
        given = self.fill(example) if example else self.own(source, suite)
        return [*shown, *self.options.put(suite, settings), *rest, *given]

    def _link(self, suite: Suite, source: Source, settings: Settings) -> str:
        held, note = links.of_source(source)
        chosen = settings.resolve(suite)
        settings = Settings(
            *(chosen.probe, chosen.layer, chosen.pool, chosen.preset, chosen.head),
            fast=chosen.fast,
            fallback=chosen.fallback,
        )
        state = {"suite": suite.name, **held, **links.of_settings(settings)}
        return links.button(self.name, state, note)

    # ---- handlers ----------------------------------------------------------------------------

    def _example(self, event: gr.EventData, suite: str, *choices: Any) -> list[Any]:
        example = picker.selected(event, self.context.examples.of(self.modality))
        if example is None:
            return self._kept([*self.outputs, *self.given])
        return [*self._ask({"example": example.index}, suite, choices), *self.fill(example)]

    def _again(self, source: Source, suite: str, *choices: Any) -> list[Any]:
        """The same input with other options."""
        return self._ask(source, suite, choices) if source else self._kept(self.outputs)

    def _change_suite(self, name: str) -> list[Any]:
        suite = self.context.suite(name)
        content = picker.content(suite, self.context.examples)
        return [*self.options.defaults(suite), gr.update(value=content), *self.listing(suite)]

    def _ask(self, source: Source, name: str, choices: Any) -> list[Any]:
        try:
            suite = self.context.suite(name)
            settings = Options.read(suite, choices)
        except UserError as error:
            return self._failed(error, source)
        return self._answer(source, suite, settings)

    def _answer(self, source: Source, suite: Suite, settings: Settings) -> list[Any]:
        """Values of `outputs`."""
        try:
            view, extras = self.answer(source, suite, settings)
            link = self._link(suite, source, settings)
        except UserError as error:
            return self._failed(error, source)
        follow = self.options.follow(suite, settings.resolve(suite))
        return [*self.panel.show(view), *follow, *extras, source, self._mark(source), link]

    def _failed(self, error: UserError, source: Source) -> list[Any]:
        """One clear sentence in the panel's place, where it stays until the next answer. There
        is nothing to link to."""
        kept = self._kept(self.options.followers)
        # what an earlier input left must not stand beside the one that was refused
        empty = [""] * len(self.extras)
        return [*self.panel.fail(str(error)), *kept, *empty, source, self._mark(source), ""]

    @staticmethod
    def _mark(source: Source) -> Any:
        return gr.update(current=source.get("example", -1))

    @staticmethod
    def _kept(components: list[Any]) -> list[Any]:
        return [gr.skip() for _ in components]

    def settled(self, state: State) -> list[Any]:
        """Values of `outputs` once the first suite's engine is there, or can't be had: the
        opening example, or a sentence in its place."""
        view = self.context.opening.get(self.suite.name)
        values = self._kept(self.outputs)
        if state.phase == FAILED:
            shown = self.panel.fail(state.message)
        elif view is None:
            shown = self.panel.invite()
        else:
            shown = self.panel.show(view)
        values[: len(shown)] = shown
        if state.phase == FAILED or view is None:
            return values
        start = len(shown) + len(self.options.followers)
        extras = self.opening_extras()
        values[start : start + len(extras)] = extras
        return values

    def opening_extras(self) -> list[Any]:
        """Values of `extras` for the opening example."""
        return []
