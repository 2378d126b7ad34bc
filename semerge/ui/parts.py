"""What tabs are built from: components of our own, and events: one queue for all that asks the
models, and one way for bad input to be told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, Literal

import gradio as gr

from semerge.common import UserError
from semerge.ui.tabs import Update
from semerge.ui.words import macro, without_folders

Trigger = Literal["once", "always_last"]


def html(value: str = "", **options: Any) -> gr.HTML:
    """Static HTML of our own: no script, no default styling."""
    return gr.HTML(value, apply_default_css=False, js_on_load=None, **options)


def heading(text: str) -> gr.HTML:
    return html(macro("heading", text))


def fold(title: str, **options: Any) -> gr.Accordion:
    """What is closed until somebody asks for it."""
    return gr.Accordion(title, open=False, elem_classes="se-fold", **options)


def chart(drawn: Any, name: str) -> gr.Plot:
    """drawn: what `plot` makes, or a figure; empty while there is nothing to draw."""
    return gr.Plot(
        drawn or None, show_label=False, container=False, elem_id=name, elem_classes="se-plot"
    )


def chart_card(
    title: str, summary: str, name: str, drawn: Any, legend: Sequence[tuple[str, str]]
) -> None:
    """A chart of the About tab with its heading, its words, its legend and its save buttons."""
    with gr.Column(elem_classes="se-chart"):
        html(macro("chart_head", title, summary, "about", name, legend))
        chart(drawn, f"about-{name}")


# --------------------------------------------------------------------------------------------------
# Events.


def model_event(
    progress_on: Any = None, trigger: Trigger = "once", **options: Any
) -> dict[str, Any]:
    """Keyword arguments of every event that runs a model.

    They share one place in the queue: two cores serve one request at a time best. That sheds load
    and is no lock; the engine needs none. `always_last` is for inputs that change quickly: the
    latest change is answered, those between are dropped.
    """
    return {
        "concurrency_id": "model",
        "concurrency_limit": 1,
        "trigger_mode": trigger,
        "show_progress": "minimal" if progress_on is not None else "hidden",
        "show_progress_on": progress_on,
        "api_visibility": "private",
        **options,
    }


def page_event(**options: Any) -> dict[str, Any]:
    """Keyword arguments of events that touch no model."""
    return {"show_progress": "hidden", "queue": False, "api_visibility": "private", **options}


def told(error: Exception) -> gr.Error:
    """A UserError as the message that a client of the API gets, without a traceback in the log."""
    return gr.Error(without_folders(str(error)), print_exception=False)


def told_in_place(handler: Callable[..., Update]) -> Callable[..., Update]:
    """A method of a tab: what can't be used is told as the tab's `_failed(error)` says."""

    @wraps(handler)
    def handle(tab: Any, *values: Any) -> Update:
        try:
            return handler(tab, *values)
        except UserError as error:
            found: Update = tab._failed(error)
            return found

    return handle


# --------------------------------------------------------------------------------------------------
# A tab that answers when it is opened, not before: a page of many tabs must not run them all.


def when_opened(part: Any, show: Callable[..., Any], inputs: list[Any], outputs: list[Any]) -> None:
    """Call `show(*inputs)` whenever the tab that `part` lies in is opened; it is to skip what is
    shown already. Does nothing where `part` lies in no tab."""
    while part is not None and not isinstance(part, gr.Tab):
        part = part.parent
    if part is not None:
        part.select(show, inputs, outputs, **model_event())
