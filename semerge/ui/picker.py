"""One input for the tabs that look at one: a suite, then an example of it or an input of one's own.

    self.picker = InputPicker(context, "layers")
    self.picker.on(self.show, [self.layer], self.outputs)   # show(suite, source, layer) -> values

Vision and Language have more ways in (camera, pen, pictures to click); their inputs come here too,
by `take`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr

from semerge.examples import Example
from semerge.suites import Suite
from semerge.ui.context import Context
from semerge.ui.events import model_event
from semerge.ui.links import Query, of_source, read_source
from semerge.ui.safe_image import SafeImage
from semerge.ui.sources import Source, first_source, reads_pairs

OWN = "own"  # in the list of examples: an input of the visitor's own
Show = Callable[..., list[Any]]


class InputPicker:
    """The components, and the one state behind them: `source`, what is asked about."""

    def __init__(self, context: Context, name: str, suites: Sequence[Suite] | None = None) -> None:
        self.context, self.name = context, name
        self.suites = [s for s in context.suites.values() if not s.published]
        self.suites = list(suites) if suites is not None else self.suites
        suite = self.suites[0]
        source = first_source(suite, context.examples)
        self.source = gr.State(source)
        own, image = _own({}), suite.modality == "image"
        with gr.Column(elem_classes="se-input se-picker"):
            self.suite = gr.Dropdown(
                [(s.title, s.name) for s in self.suites],
                value=suite.name,
                label="Suite",
                visible=len(self.suites) > 1,
                elem_id=f"{name}-suite",
            )
            self.example = gr.Dropdown(
                self._choices(suite),
                value=source.get("example", OWN),
                label="Input",
                elem_id=f"{name}-example",
            )
            self.image = SafeImage(
                own[0],
                type="filepath",
                image_mode=None,
                sources=["upload", "clipboard"],
                label="Your image",
                height=160,
                visible=image,
                elem_id=f"{name}-image",
                elem_classes="se-drop",
            )
            self.text = gr.Textbox(
                own[1], label="Your sentence", lines=1, max_lines=6, visible=not image,
                placeholder="Type a sentence and press Enter", elem_id=f"{name}-text",
            )  # fmt: skip
            self.text_b = gr.Textbox(
                own[2], label="Second sentence", lines=1, max_lines=4,
                visible=not image and reads_pairs(suite), elem_id=f"{name}-text-b",
            )  # fmt: skip

    @property
    def outputs(self) -> list[Any]:
        """What `put` fills."""
        return [self.suite, self.example, self.image, self.text, self.text_b, self.source]

    def put(self, suite: Suite, source: Source) -> list[Any]:
        """Values of `outputs` that show this input."""
        image = suite.modality == "image"
        own = _own(source)
        return [
            suite.name,
            gr.update(choices=self._choices(suite), value=source.get("example", OWN)),
            gr.update(value=own[0], visible=image),
            gr.update(value=own[1], visible=not image),
            gr.update(value=own[2], visible=not image and reads_pairs(suite)),
            source,
        ]

    def on(self, show: Show, inputs: list[Any], outputs: list[Any], **options: Any) -> None:
        """Call `show(suite, source, *values of inputs)` for every way to choose an input.

        It returns values for `outputs`, and raises UserError nowhere: what can't be used is to be
        told in the tab's own place.
        """
        event = model_event(trigger="always_last", **options)
        everything = [*self.outputs, *outputs]

        def ask(name: str, source: Source, *values: Any) -> list[Any]:
            suite = self.context.suite(name)
            return [*self.put(suite, source), *show(suite, source, *values)]

        def changed_suite(name: str, *values: Any) -> list[Any]:
            return ask(name, first_source(self.context.suite(name), self.context.examples), *values)

        def chosen(name: str, example: Any, *values: Any) -> list[Any]:
            if example == OWN:  # nothing to ask before something is typed or uploaded
                return [*self.put(self.context.suite(name), {}), *(gr.skip() for _ in outputs)]
            return ask(name, {"example": example}, *values)

        def uploaded(name: str, path: Any, *values: Any) -> list[Any]:
            return ask(name, {"file": path} if path else {}, *values)

        def typed(name: str, text: Any, text_b: Any, *values: Any) -> list[Any]:
            return ask(name, {"text": text, "text_b": text_b}, *values)

        self.suite.input(changed_suite, [self.suite, *inputs], everything, **event)
        self.example.input(chosen, [self.suite, self.example, *inputs], everything, **event)
        self.image.upload(uploaded, [self.suite, self.image, *inputs], everything, **event)
        texts = [self.suite, self.text, self.text_b, *inputs]
        for box in (self.text, self.text_b):
            box.submit(typed, texts, everything, **event)

    def read(self, query: Query) -> tuple[Suite, Source]:
        """The suite and input that a link names."""
        first = self.suites[0]
        names = [suite.name for suite in self.suites]
        suite = self.context.suite(query.one_of("suite", names, first.name))
        source = read_source(query, suite, self.context.examples)
        return suite, source or first_source(suite, self.context.examples)

    @staticmethod
    def link(suite: Suite, source: Source) -> tuple[dict[str, Any], str]:
        """The input as values of a link, and what of it the link can't hold."""
        values, note = of_source(source)
        return {"suite": suite.name, **values}, note

    def _choices(self, suite: Suite) -> list[tuple[str, Any]]:
        groups = self.context.examples.by_task(suite.modality, suite.task_names)
        named = [
            (f"{suite.task(task).title}: {_called(example, i, len(group))}", example.index)
            for task, group in groups.items()
            for i, example in enumerate(group)
        ]
        return [("your own, below", OWN), *named]


def _own(source: Source) -> tuple[Any, str, str]:
    """Values of the boxes for an input of one's own: image, text, second text."""
    return source.get("file"), source.get("text") or "", source.get("text_b") or ""


def _called(example: Example, i: int, count: int) -> str:
    if example.file is None:
        text = example.text
        return text if len(text) <= 48 else f"{text[:47]}…"
    return f"{example.label} ({i + 1} of {count})"
