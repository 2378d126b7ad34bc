"""Examples and inputs: the gallery of a suite's tasks, and the one input of other tabs."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from semerge.suites import Suite, Task
from semerge.suites.examples import Example, Examples
from semerge.ui.context import Context, Source, first_source, reads_pairs
from semerge.ui.events import model_event
from semerge.ui.links import Query, of_source, read_source
from semerge.ui.markup import echo, esc
from semerge.ui.safe import SafeImage

# --------------------------------------------------------------------------------------------------
# The tasks that a suite knows, each with its examples: the pictures or sentences are buttons.
#
# A custom HTML component, because the examples need names of their own: `gr.Gallery` and
# `gr.Dataset` leave thumbnails without a text that a screen reader could say.

THUMBNAIL = 96  # px

# A click selects; `current` (an index, or -1 for an input of the visitor's own) marks the example
# that is shown. Delegated to the component's root, so it outlives a redraw of the content.
SCRIPT = """
// a tab not opened yet loses the property with its first update; the content has it too
const initial = () => Number(element.querySelector('.se-examples').dataset.current);
const current = () => props.current ?? initial();
const mark = () => element.querySelectorAll('[data-example]').forEach(b => {
  const shown = Number(b.dataset.example) === current();
  b.setAttribute('aria-pressed', String(shown));
  const list = b.closest('[data-of]');
  if (shown && list) open(list.dataset.of);
  const strip = b.closest('.se-tasks');  // on a phone the tasks are one strip that scrolls
  if (shown && strip) strip.scrollLeft = b.closest('.se-task').offsetLeft - strip.offsetLeft;
});
// What an event carries, always the same object: while an answer is awaited, Gradio holds back the
// next event and then sends the first one once more, which has to name the last choice.
const chosen = {};
const open = task => {
  element.querySelectorAll('[data-task]').forEach(b =>
    b.setAttribute('aria-pressed', String(b.dataset.task === task)));
  element.querySelectorAll('[data-of]').forEach(l => { l.hidden = l.dataset.of !== task; });
};
element.addEventListener('click', event => {
  const example = event.target.closest('[data-example]');
  const task = event.target.closest('[data-task]');
  if (example) {
    props.current = Number(example.dataset.example);
    mark();
    chosen.index = props.current;
    trigger('select', chosen);
  } else if (task) {
    open(task.dataset.task);
  }
});
watch(['current', 'value'], mark);
mark();
"""


def gallery(suite: Suite, examples: Examples, name: str) -> gr.HTML:
    """The component. Its `select` event carries {"index": position of the example}."""
    first = examples.opening(suite.modality)
    return gr.HTML(
        content(suite, examples),
        apply_default_css=False,
        js_on_load=SCRIPT,
        elem_id=f"{name}-examples",
        current=first.index if first else -1,
    )


def selected(event: gr.EventData, examples: tuple[Example, ...]) -> Example | None:
    """The example of a `select` event; None if a client sent something else."""
    index = getattr(event, "_data", {}).get("index")
    return examples[index] if type(index) is int and 0 <= index < len(examples) else None


def content(suite: Suite, examples: Examples, current: int | None = None) -> str:
    """The gallery's HTML. current: the example that is shown; the one that opens where None."""
    groups = examples.by_task(suite.modality, suite.task_names)
    first = examples.opening(suite.modality)
    opening = first.index if first else -1
    current = opening if current is None else current
    draw = _pictures if suite.modality == "image" else _sentences
    return (
        f'<div class="se-examples" data-current="{current}" data-opening="{opening}">'
        f'<h2 class="se-title">Examples</h2><p class="se-hint">{esc(suite.title)} knows '
        f"{len(suite.tasks)} tasks. Choose one of their examples, or use your own.</p>"
        f"{draw(suite, groups, examples.notes)}</div>"
    )


def _pictures(suite: Suite, groups: dict[str, tuple[Example, ...]], notes: Any) -> str:
    cells = ""
    for task in suite.tasks:
        buttons = "".join(_picture(task, example) for example in groups[task.name])
        note = notes.get(task.name)
        small = f"<small>{esc(note)}</small>" if note else ""
        cells += (
            f'<div class="se-task"><div title="{esc(_about(task))}"><h3>{echo(task.title)}</h3>'
            f"<p>{len(task.classes)} classes</p></div><div>{buttons}</div>{small}</div>"
        )
    return f'<div class="se-tasks">{cells}</div>'


def _picture(task: Task, example: Example) -> str:
    assert example.file is not None
    kind = "drawing of " if example.drawing else ""
    name = esc(f"{task.title}: {kind}{example.label}")
    return (
        f'<button type="button" class="se-thumb" data-example="{example.index}" title="{name}">'
        f'<img alt="{name}" src="{_thumbnail(example.file)}" width="44" height="44"></button>'
    )


def _sentences(suite: Suite, groups: dict[str, tuple[Example, ...]], notes: Any) -> str:
    tabs, lists = "", ""
    for i, task in enumerate(suite.tasks):
        pressed = "true" if i == 0 else "false"
        tabs += (
            f'<button type="button" class="se-chip" data-task="{esc(task.name)}" '
            f'aria-pressed="{pressed}">{echo(task.title)}</button>'
        )
        items = "".join(
            f'<li><button type="button" class="se-line" data-example="{e.index}">'
            f"{echo(e.text)}{_second(e)}</button></li>"
            for e in groups[task.name]
        )
        hidden = "" if i == 0 else " hidden"
        lists += (
            f'<div class="se-list" data-of="{esc(task.name)}"{hidden}>'
            f"<p>{esc(_about(task))}</p><ul>{items}</ul>"
            + (f"<small>{esc(notes[task.name])}</small>" if task.name in notes else "")
            + "</div>"
        )
    return f'<div class="se-chips" role="group" aria-label="Tasks">{tabs}</div>{lists}'


def _second(example: Example) -> str:
    return f" <em>{echo(example.text_b)}</em>" if example.text_b else ""


def _about(task: Task) -> str:
    about = task.about[:1].upper() + task.about[1:].rstrip(".")
    count = str(len(task.classes))
    return about if count in about else f"{about}; {count} classes"


@lru_cache(maxsize=512)
def _thumbnail(file: Path) -> str:
    """A small copy inside the page, so that no file of the server has to be served."""
    with Image.open(file) as image:
        small = image.convert("RGB")
        small.thumbnail((THUMBNAIL, THUMBNAIL))
        data = io.BytesIO()
        small.save(data, "WEBP", quality=82)
    return "data:image/webp;base64," + base64.b64encode(data.getvalue()).decode("ascii")


# --------------------------------------------------------------------------------------------------
# One input for the tabs that look at one: a suite, then an example of it or an input of one's own.
#
#     self.picker = InputPicker(context, "layers")
#     self.picker.on(self.show, [self.layer], self.outputs)   # show(suite, source, layer) ->
#     values
#
# Vision and Language have more ways in (camera, pen, pictures to click); their inputs come here
# too,
# by `take`.

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
