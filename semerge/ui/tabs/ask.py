"""The Vision and the Language tab: input, examples and options on one side, the Result panel on
the other, and every way to ask wired to the one panel."""

from __future__ import annotations

from abc import abstractmethod
from collections import defaultdict
from functools import partial
from typing import Any, ClassVar

import gradio as gr
from markupsafe import Markup

from semerge.common import UserError
from semerge.suites import Suite
from semerge.suites.examples import Example
from semerge.ui import charts, links, picker
from semerge.ui.context import (
    NO_IMAGE,
    Chosen,
    Context,
    Source,
    example_of,
    first_source,
    of_source,
    reads_pairs,
)
from semerge.ui.engines import FAILED, State
from semerge.ui.links import Query
from semerge.ui.options import Options
from semerge.ui.parts import fold, heading, html, model_event, page_event, told
from semerge.ui.safe import SafeImage
from semerge.ui.scene import picture
from semerge.ui.tabs import Tab, Update, registry
from semerge.ui.words import View, button, macro, seen


class Desk(Tab):
    """`panel` shows the answer, `source` remembers what was asked. `hand_over` has a button for
    each tab that can take this input over, by its label."""

    needs_suite = False  # it says so
    modality: ClassVar[str]
    waiting: ClassVar[str]  # shown while the models load

    def __init__(self, context: Context) -> None:
        self.context = context
        self.suites = context.of(self.modality)
        self.suite = self.suites[0]
        example = context.examples.opening(self.modality, self.suite.task_names)
        first = first_source(self.suite, context.examples)
        self.source = gr.State(first)
        self.asking: set[str] = set()  # sessions whose own input is waiting for its answer
        with gr.Row(elem_classes="se-desk", equal_height=False):
            with gr.Column(scale=5, min_width=320, elem_classes="se-ask"):
                with gr.Column(elem_classes="se-input"):
                    self.layout(example)
                self.gallery = picker.gallery(self.suite, context.examples, self.name)
                self.options = Options(self.suites, self.name, fast=True)
                self.fields = self.options.keys
            with gr.Column(scale=8, min_width=320, elem_classes="se-tell"):
                view = context.opening.get(self.suite.name)
                self.panel = ResultPanel(self.name, view, self.waiting)
                with gr.Row(elem_classes="se-share"):
                    usual = [part.value for part in self.options.choices]
                    link = self._link(self.suite, first, Chosen.by(self.suite, self.fields, usual))
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

    given: list[Any]
    """Input components that an example fills, and that the API takes."""

    around: tuple[Any, ...] = ()
    """What else an example fills."""

    @abstractmethod
    def fill(self, example: Example) -> Update:
        """An example in the boxes of the input."""

    @abstractmethod
    def own(self, source: Source, suite: Suite) -> Update:
        """A visitor's own input that a link holds, in its boxes."""

    @abstractmethod
    def read(self, *values: Any) -> Source | None:
        """Values of `given` -> what is asked; None where there is nothing to ask."""

    def fit(self, suite: Suite) -> Update:
        """The boxes of the input for another suite."""
        return {}

    extras: tuple[Any, ...] = ()
    """Components of HTML that an answer fills, and a refusal empties."""

    def show(self, picture: Any) -> Update:
        """The `extras`. picture: the input as the model sees it (PIL); None for text."""
        return {}

    # ---- wiring ------------------------------------------------------------------------------

    @property
    def answered(self) -> list[Any]:
        """What an answer updates."""
        return [*self.panel.outputs, *self.extras, self.source, self.gallery, self.link]

    def on(self, event: Any, fn: Any, inputs: list[Any], **options: Any) -> None:
        """Let an event ask: `fn(*values of inputs)` gives a source, or None to do nothing."""

        def ask(request: gr.Request, *values: Any) -> Update:
            own, (suite, *choices) = values[: len(inputs)], values[len(inputs) :]
            session = request.session_hash or ""
            self.asking.add(session)
            try:
                source = fn(*own)
                return self._ask(source, suite, choices) if source else {}
            except UserError as error:
                return self._failed(error, {})
            finally:
                self.asking.discard(session)

        event(ask, [*inputs, *self.options.inputs], self.answered, **model_event(**options))

    def _wire(self) -> None:
        options, latest = self.options, model_event(trigger="always_last")
        again = (self._again, [self.source, *options.inputs], self.answered)
        filled = [*self.answered, *self.given, *self.around]
        self.gallery.select(self._example, options.inputs, filled, **latest)
        changes = [component.input for component in options.choices]
        gr.on(changes, self._follow, options.inputs, options.followers, **page_event())
        gr.on(changes, *again, **latest)
        outputs = [*options.outputs, self.gallery, *self.given]
        options.suite.input(self._change_suite, options.suite, outputs, **page_event()).then(
            *again, **latest
        )
        options.reset.click(
            lambda name: options.defaults(self.context.suite(name)),
            options.suite,
            options.outputs,
            **page_event(),
        ).then(*again, **latest)

    def _api(self) -> None:
        """The JSON object of `predict --json`, for clients of the API."""
        count = len(self.given)

        def predict(*values: Any) -> dict[str, Any]:
            try:
                suite = self.context.suite(values[count])
                settings = Chosen.by(suite, self.fields, values[count + 1 :]).settings
                source = self.read(*values[:count]) or {}
                return dict(self.context.ask(suite.name, source, settings)[0].result)
            except UserError as error:
                raise told(error) from None

        event = model_event(api_visibility="public", api_name=f"predict_{self.modality}")
        inputs = [*self.given, *self.options.inputs]
        gr.Button(visible=False).click(predict, inputs, gr.JSON(visible=False), **event)

    # ---- links ------------------------------------------------------------------------------

    @property
    def outputs(self) -> list[Any]:
        filled = [*self.options.outputs, *self.given, *self.around]
        return list(dict.fromkeys([*self.answered, *filled]))

    def restore(self, query: Query) -> Update:
        names = [suite.name for suite in self.suites]
        suite = self.context.suite(query.one_of("suite", names, self.suite.name))
        settings = links.read_settings(query, suite, fast=True)
        source = links.read_source(query, suite, self.context.examples)
        source = source or first_source(suite, self.context.examples)
        if not source:
            return {}
        example = example_of(source, suite, self.context.examples)
        current = example.index if example else -1
        # the content too has the mark: see the gallery's script
        content = picker.content(suite, self.context.examples, current)
        try:
            chosen = Chosen.of(suite, settings)
            view, picture = self.context.ask(suite.name, source, chosen.settings)
            answer = self._answer(source, chosen, view, picture)
        except UserError as error:
            answer = self._failed(error, source)
        return {
            **answer,
            **self.options.put(suite, settings),
            **(self.fill(example) if example else self.own(source, suite)),
            self.gallery: gr.update(value=content, current=current),
        }

    def _link(self, suite: Suite, source: Source, chosen: Chosen) -> str:
        held, note = of_source(source)
        return button(self.name, {"suite": suite.name, **held, **chosen.link}, note)

    # ---- handlers ----------------------------------------------------------------------------

    def _example(self, event: gr.EventData, suite: str, *choices: Any) -> Update:
        example = picker.selected(event, self.context.examples.shown(self.modality))
        if example is None:
            return {}
        return {**self._ask({"example": example.index}, suite, choices), **self.fill(example)}

    def _again(self, source: Source, suite: str, *choices: Any) -> Update:
        """The same input with other options."""
        return self._ask(source, suite, choices) if source else {}

    def _follow(self, name: str, *choices: Any) -> Update:
        """What of the options follows from the others."""
        try:
            suite = self.context.suite(name)
            return self.options.follow(suite, self.options.read(suite, choices))
        except UserError:  # told in the panel's place
            return {}

    def _change_suite(self, name: str) -> Update:
        suite = self.context.suite(name)
        content = gr.update(value=picker.content(suite, self.context.examples))
        return {**self.options.defaults(suite), self.gallery: content, **self.fit(suite)}

    def _ask(self, source: Source, name: str, choices: Any) -> Update:
        try:
            suite = self.context.suite(name)
            chosen = Chosen.by(suite, self.fields, choices)
            view, picture = self.context.ask(name, source, chosen.settings)
        except UserError as error:
            return self._failed(error, source)
        return self._answer(source, chosen, view, picture)

    def _answer(self, source: Source, chosen: Chosen, view: View, picture: Any) -> Update:
        """picture: the input as the model sees it (PIL); None for text."""
        link = self._link(view.suite, source, chosen)
        shown = {**self.panel.show(view), **self.show(picture), self.link: link}
        return {**shown, **self._asked(source)}

    def _failed(self, error: UserError, source: Source) -> Update:
        """One clear sentence in the panel's place, where it stays until the next answer. There is
        nothing to link to, and what an earlier input left must not stand beside the one that was
        refused."""
        empty = dict.fromkeys((*self.extras, self.link), "")
        return {**self.panel.fail(str(error)), **empty, **self._asked(source)}

    def _asked(self, source: Source) -> Update:
        """Remembered, and marked among the examples where it is one."""
        current = source.get("example", -1)
        return {self.source: source, self.gallery: gr.update(current=current)}

    def settled(self, state: State) -> Update:
        """Once the first suite's engine is there, or can't be had: the opening example, or a
        sentence in its place."""
        view = self.context.opening.get(self.suite.name)
        if state.phase == FAILED:
            return self.panel.fail(state.message)
        if view is None:
            return self.panel.invite()
        return {**self.panel.show(view), **self.show(self.context.seen.get(self.suite.name))}


class VisionTab(Desk):
    """A picture by upload, clipboard, camera or pen."""

    label, place, modality = "Vision", 10, "image"
    waiting = "Loading the vision experts"

    def layout(self, example: Example | None) -> None:
        heading("Your image")
        with gr.Row(elem_classes="se-look"):
            drawn = example is not None and bool(example.strokes)
            with gr.Tabs(selected=_way(drawn), elem_classes="se-how") as self.how:
                with gr.Tab("Image", id="image"):
                    self.image = SafeImage(
                        str(example.file) if example else None,
                        type="filepath",
                        image_mode=None,
                        sources=["upload", "clipboard", "webcam"],
                        label="Image",
                        show_label=False,
                        buttons=["fullscreen"],
                        height=220,
                        placeholder="Drop an image here\n\nor click to choose one",
                        alt_text="The image that was asked about",
                        elem_id="vision-image",
                        elem_classes="se-drop",
                    )
                    self.run = gr.Button("Run", variant="primary", elem_id="vision-run")
                with gr.Tab("Draw", id="draw"):
                    self.pad = picker.sketch_pad("vision-pad", example)
            picture = self.context.seen.get(self.suite.name)
            self.seen = html(seen(picture) if picture else "", elem_id="vision-seen")
        self.given, self.extras = [self.image], (self.seen,)
        self.around = self.how, self.pad

    def fill(self, example: Example) -> Update:
        shown = {
            self.image: str(example.file),
            self.how: gr.Tabs(selected=_way(bool(example.strokes))),
        }
        if example.strokes:
            shown[self.pad] = gr.update(drawing=picker.drawing(example))
        return shown

    def own(self, source: Source, suite: Suite) -> Update:
        return {self.image: None, self.how: gr.Tabs(selected=_way(False))}  # no link holds an image

    def wire(self) -> None:
        calm = {"progress_on": self.panel.headline}
        self.on(self.run.click, self.read, [self.image], validator=_chosen, **calm)
        # files, drops, pastes and the camera; `input` would also fire as an image is taken away
        self.on(self.image.upload, self.read, [self.image], **calm)
        self.on(self.pad.submit, _drawn, [self.pad], trigger="always_last")

    def read(self, *values: Any) -> Source | None:
        """An uploaded, pasted or photographed image. Taking it away asks nothing."""
        return {"file": values[0]} if values[0] is not None else None

    def show(self, picture: Any) -> Update:
        return {self.seen: seen(picture)}


def _way(drawn: bool) -> str:
    """Of the ways to ask, the one that an input came by."""
    return "draw" if drawn else "image"


def _drawn(value: Any) -> Source:
    return {"png": picker.png(value)}


def _chosen(path: str | None, *rest: Any) -> Any:
    """The cheap check that runs before a place in the queue is taken."""
    return [gr.validate(path is not None, NO_IMAGE), *(gr.validate(True, "") for _ in rest)]


class LanguageTab(Desk):
    """One sentence, or two where a task of the suite reads pairs."""

    label, place, modality = "Language", 20, "text"
    waiting = "Loading the language experts"

    def layout(self, example: Example | None) -> None:
        heading("Your sentence")
        self.text = gr.Textbox(
            example.text if example else "",
            label="Sentence",
            placeholder="Type a sentence and press Enter",
            lines=1,  # so that Enter asks; the style sheet makes room for two
            max_lines=6,
            elem_id="language-text",
        )
        self.text_b = gr.Textbox(
            (example.text_b if example else None) or "",
            label="Second sentence (for tasks that compare two)",
            lines=1,
            max_lines=4,
            visible=reads_pairs(self.suite),
            elem_id="language-text-b",
        )
        self.run = gr.Button("Run", variant="primary", elem_id="language-run")
        self.given = [self.text, self.text_b]

    def fill(self, example: Example) -> Update:
        return {self.text: example.text, self.text_b: example.text_b or ""}

    def own(self, source: Source, suite: Suite) -> Update:
        second = gr.update(value=source["text_b"], visible=reads_pairs(suite))
        return {self.text: source["text"], self.text_b: second}

    def fit(self, suite: Suite) -> Update:
        return {self.text_b: gr.update(visible=reads_pairs(suite))}

    def wire(self) -> None:
        calm = {"progress_on": self.panel.headline}
        for event in (self.run.click, self.text.submit, self.text_b.submit):
            self.on(event, self.read, self.given, validator=_typed, **calm)

    def read(self, *values: Any) -> Source:
        return {"text": values[0], "text_b": values[1]}


def _typed(text: Any, *rest: Any) -> Any:
    """The cheap check that runs before a place in the queue is taken."""
    empty = not isinstance(text, str) or not text.strip()
    return [gr.validate(not empty, "Type a sentence."), *(gr.validate(True, "") for _ in rest)]


# --------------------------------------------------------------------------------------------------
# The answer.

TEMPLATE = "panel.html"


class ResultPanel:
    """The panel that shows a Result, here and in other tabs: sentence, both answers, the picture of
    how the method came to them, references, two charts, the figures, timings and the download."""

    def __init__(self, name: str, view: View | None = None, waiting: str = "") -> None:
        self.name = name
        parts = defaultdict(str, self._parts(view) if view else {})
        sentence = parts["headline"] or macro("waiting", waiting)
        with gr.Column(elem_classes="se-result", elem_id=f"{name}-result"):
            heading("What happened")
            self.headline = html(sentence, elem_id=f"{name}-sentence")
            with gr.Column(visible=view is not None, elem_classes="se-body") as self.body:
                with gr.Row(elem_classes="se-show", equal_height=False):
                    self.answers = html(parts["answers"], elem_id=f"{name}-answers")
                    self.scene = html(parts["scene"], elem_id=f"{name}-scene")
                with fold("Chosen expert alone and base model"):
                    self.references = html(parts["references"])
                self.distances = html(parts["distances"], elem_id=f"{name}-distances")
                with gr.Row(elem_classes="se-charts"):
                    with gr.Column(elem_classes="se-chart se-at-similarity", min_width=280):
                        self.reach = html(parts["reach"], elem_id=f"{name}-reach")
                        self.similar_head = html(parts["similar_head"])
                        self.similar = html(parts["similar"], elem_id=f"{name}-similarity")
                    with gr.Column(elem_classes="se-chart se-at-rescale", min_width=280):
                        self.weights_head = html(parts["weights_head"])
                        self.weights = html(parts["weights"], elem_id=f"{name}-coefficients")
                with fold("All figures as a table"):
                    self.figures = html(parts["figures"])
                self.footer = html(parts["footer"], elem_id=f"{name}-footer")

    @property
    def outputs(self) -> list[Any]:
        """What the updates below are of."""
        return [
            self.body, self.headline, self.answers, self.scene, self.references, self.distances,
            self.reach, self.similar_head, self.similar, self.weights_head, self.weights,
            self.figures, self.footer,
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
            "scene": picture(view),
            "references": show("references", view),
            "distances": show("probe", view),
            "reach": show("reach", view),
            "similar_head": show("similarity", view, self.name),
            "similar": charts.rows(charts.similarity(view)),
            "weights_head": show("rescale", view, self.name),
            "weights": charts.rows(charts.coefficients(view)),
            "figures": show("figures", view),
            "footer": show("footer", view),
        }
