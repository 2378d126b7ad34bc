"""Examples and inputs: the gallery of a suite's tasks, and the one input of other tabs."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

import gradio as gr
from markupsafe import Markup

from semerge.common import ASSETS, UserError
from semerge.inputs import thumbnail
from semerge.suites import Suite
from semerge.suites.examples import Example, Examples
from semerge.ui.context import Context, Source, first_source, of_source, reads_pairs
from semerge.ui.links import Query, read_source
from semerge.ui.parts import model_event
from semerge.ui.safe import SafeImage
from semerge.ui.tabs import Update
from semerge.ui.words import macro

# --------------------------------------------------------------------------------------------------
# The tasks that a suite knows, each with its examples: the pictures or sentences are buttons.
#
# A custom HTML component, because the examples need names of their own: `gr.Gallery` and
# `gr.Dataset` leave thumbnails without a text that a screen reader could say.

SCRIPTS = ASSETS / "scripts"


def gallery(suite: Suite, examples: Examples, name: str) -> gr.HTML:
    """The component. Its `select` event carries {"index": position of the example}."""
    first = examples.opening(suite.modality, suite.task_names)
    return gr.HTML(
        content(suite, examples),
        apply_default_css=False,
        js_on_load=(SCRIPTS / "gallery.js").read_text(encoding="utf-8"),
        elem_id=f"{name}-examples",
        current=first.index if first else -1,
    )


def selected(event: gr.EventData, examples: tuple[Example, ...]) -> Example | None:
    """The example of a `select` event; None if a client sent something else."""
    index = getattr(event, "_data", {}).get("index")
    return examples[index] if type(index) is int and 0 <= index < len(examples) else None


def content(suite: Suite, examples: Examples, current: int | None = None) -> Markup:
    """The gallery's HTML. current: the example that is shown; the one that opens where None."""
    groups = examples.by_task(suite.modality, suite.task_names)
    first = examples.opening(suite.modality, suite.task_names)
    opening = first.index if first else -1
    tasks = [
        (
            task,
            task.about[:1].upper() + task.about[1:].rstrip("."),
            [(example, example.file and thumbnail(example.file)) for example in groups[task.name]],
            examples.notes.get(task.name, ""),
        )
        for task in suite.tasks
    ]
    shown = opening if current is None else current
    itself = first if first and first.strokes else None
    return macro("gallery", suite, tasks, shown, opening, itself, template="picker.html")


# --------------------------------------------------------------------------------------------------
# A pad to draw on, with mouse, pen or finger. Its value is a PNG as a data URL, or "".
#
# A canvas of our own rather than `gr.Sketchpad`: two boards (white chalk on black as in MNIST,
# black ink on paper as in Omniglot), opaque pixels, and nothing else on it.

PAD_SCRIPT = SCRIPTS / "sketch.js"
PREFIX = "data:image/png;base64,"
MAX_CHARACTERS = 2_000_000  # of the data URL; the pad's own drawings are below 100,000


def sketch_pad(name: str, example: Example | None = None) -> gr.HTML:
    """The component. Its `submit` event fires a moment after a stroke ends. example: one that draws
    itself on it, as `drawing` says."""
    return gr.HTML(
        "",
        html_template=macro("pad", template="picker.html"),
        js_on_load=PAD_SCRIPT.read_text(encoding="utf-8"),
        apply_default_css=False,
        elem_id=name,
        drawing=drawing(example),
    )


_times = count()


def drawing(example: Example | None) -> dict[str, Any] | None:
    """What the pad draws by itself, as its property `drawing`: each time another value, so that it
    draws it again. None: nothing."""
    if example is None or not example.strokes:
        return None
    return {"strokes": example.strokes, "time": next(_times)}


def png(value: object) -> bytes:
    """The PNG file behind the pad's value. Raises UserError where nothing was drawn, or the value
    is no PNG."""
    if value is None or value == "":
        raise UserError("Draw something first.")
    if not isinstance(value, str) or not value.startswith(PREFIX):
        raise UserError("This drawing is not a readable image.")
    if len(value) > MAX_CHARACTERS:
        raise UserError("This drawing is too large.")
    try:
        return base64.b64decode(value[len(PREFIX) :], validate=True)
    except (binascii.Error, ValueError):
        raise UserError("This drawing is not a readable image.") from None


# --------------------------------------------------------------------------------------------------
# One input for the tabs that look at one: a suite, then an example of it or an input of one's own.
#
#     self.picker = InputPicker(context, "layers")
#     self.picker.on(self.show, [self.layer], self.outputs)  # show(suite, source, layer): an Update
#
# Vision and Language have more ways in (camera, pen, pictures to click); their inputs come here
# too, by `take`.

OWN = "own"  # in the list of examples: an input of the visitor's own
Show = Callable[..., Update]


class InputPicker:
    """The components, and the one state behind them: `source`, what is asked about."""

    def __init__(self, context: Context, name: str, suites: Sequence[Suite] | None = None) -> None:
        self.context, self.name = context, name
        bundled = [s for s in context.suites.values() if not s.published]
        self.suites = bundled if suites is None else list(suites)
        suite = self.suites[0]
        source = first_source(suite, context.examples)
        self.source = gr.State(source)
        shown = self._shown(suite, source)
        with gr.Column(elem_classes="se-input se-picker"):
            self.suite = gr.Dropdown(
                [(s.title, s.name) for s in self.suites],
                value=suite.name,
                label="Suite",
                visible=len(self.suites) > 1,
                elem_id=f"{name}-suite",
            )
            self.example = gr.Dropdown(**shown["example"], label="Input", elem_id=f"{name}-example")
            self.image = SafeImage(
                **shown["image"],
                type="filepath",
                image_mode=None,
                sources=["upload", "clipboard"],
                label="Your image",
                height=160,
                elem_id=f"{name}-image",
                elem_classes="se-drop",
            )
            self.text = gr.Textbox(
                **shown["text"], label="Your sentence", lines=1, max_lines=6,
                placeholder="Type a sentence and press Enter", elem_id=f"{name}-text",
            )  # fmt: skip
            self.text_b = gr.Textbox(
                **shown["text_b"], label="Second sentence", lines=1, max_lines=4,
                elem_id=f"{name}-text-b",
            )  # fmt: skip

    @property
    def outputs(self) -> list[Any]:
        """What `put` fills."""
        return [self.suite, self.example, self.image, self.text, self.text_b, self.source]

    def put(self, suite: Suite, source: Source) -> Update:
        """The boxes with this input."""
        shown = self._shown(suite, source).items()
        boxes = {getattr(self, name): gr.update(**options) for name, options in shown}
        return {self.suite: suite.name, self.source: source, **boxes}

    def _shown(self, suite: Suite, source: Source) -> dict[str, dict[str, Any]]:
        """What each box shows of an input, by its name here."""
        image, example = suite.modality == "image", source.get("example", OWN)
        pairs = not image and reads_pairs(suite)
        return {
            "example": {"choices": self._choices(suite, example), "value": example},
            "image": {"value": source.get("file"), "visible": image},
            "text": {"value": source.get("text") or "", "visible": not image},
            "text_b": {"value": source.get("text_b") or "", "visible": pairs},
        }

    def on(self, show: Show, inputs: list[Any], outputs: list[Any], **options: Any) -> None:
        """Call `show(suite, source, *values of inputs)` for every way to choose an input. It
        updates some of `outputs`, and raises UserError nowhere: what can't be used is to be told in
        the tab's own place."""
        event = model_event(trigger="always_last", **options)
        everything = [*self.outputs, *outputs]

        def ask(name: str, source: Source, *values: Any) -> Update:
            suite = self.context.suite(name)
            return {**self.put(suite, source), **show(suite, source, *values)}

        def changed_suite(name: str, *values: Any) -> Update:
            return ask(name, first_source(self.context.suite(name), self.context.examples), *values)

        def chosen(name: str, example: Any, *values: Any) -> Update:
            if example == OWN:  # nothing to ask before something is typed or uploaded
                return self.put(self.context.suite(name), {})
            return ask(name, {"example": example}, *values)

        def uploaded(name: str, path: Any, *values: Any) -> Update:
            return ask(name, {"file": path} if path else {}, *values)

        def typed(name: str, text: Any, text_b: Any, *values: Any) -> Update:
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

    def _choices(self, suite: Suite, asked: Any) -> list[tuple[str, Any]]:
        """Examples of the suite's tasks, and the one that is asked about, whatever its task."""
        tasks = list(suite.task_names)
        if asked != OWN:
            tasks.append(self.context.examples.shown(suite.modality)[asked].task)
        examples = self.context.examples
        groups = examples.by_task(suite.modality, tasks)
        itself = examples.drawn
        if itself and itself in examples.shown(suite.modality) and itself.task in groups:
            groups[itself.task] = (*groups[itself.task], itself)
        named = [
            (f"{suite.task_title(task)}: {_called(example, i, len(group))}", example.index)
            for task, group in groups.items()
            for i, example in enumerate(group)
            if task in suite.task_names or example.index == asked
        ]
        return [("your own, below", OWN), *named]


def _called(example: Example, i: int, count: int) -> str:
    if example.file is None:
        text = example.text
        return text if len(text) <= 48 else f"{text[:47]}…"
    return f"{example.label} ({i + 1} of {count})"
