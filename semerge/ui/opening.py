"""A tab that answers when it is opened, not before: a page of many tabs must not run them all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr

from semerge.ui.events import model_event


def when_opened(
    part: Any, show: Callable[..., list[Any]], inputs: list[Any], outputs: list[Any]
) -> None:
    """Call `show(*inputs)` whenever the tab that `part` lies in is opened; it is to skip what is
    shown already. Does nothing where `part` lies in no tab."""
    while part is not None and not isinstance(part, gr.Tab):
        part = part.parent
    if part is not None:
        part.select(show, inputs, outputs, **model_event())
