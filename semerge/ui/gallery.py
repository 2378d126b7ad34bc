"""The tasks that a suite knows, each with its examples: the pictures or sentences are buttons.

A custom HTML component, because the examples need names of their own: `gr.Gallery` and
`gr.Dataset` leave thumbnails without a text that a screen reader could say.
"""

from __future__ import annotations

import base64
import io
from functools import lru_cache
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from semerge.examples import Example, Examples
from semerge.suites import Suite, Task
from semerge.ui.markup import echo, esc

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


def seen(image: Any, size: str = "") -> str:
    """The image as the model sees it (PIL), every pixel as it is."""
    data = io.BytesIO()
    image.save(data, "PNG")
    url = "data:image/png;base64," + base64.b64encode(data.getvalue()).decode("ascii")
    size = size or f"{image.width}\u00a0×\u00a0{image.height}\u00a0px"
    return (
        f'<figure class="se-seen"><img alt="The input as the model sees it, {size}" src="{url}">'
        f"<figcaption>As the model<br>sees it: {size}</figcaption></figure>"
    )
