"""How the page asks the models: one queue for all, and one way for bad input to be told."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Literal

import gradio as gr

from semerge.common import UserError
from semerge.ui.tabs import Update
from semerge.ui.words import without_folders

Trigger = Literal["once", "always_last"]


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
