"""Controls whose range follows the suite, and that must not fail while it changes."""

from __future__ import annotations

from typing import Any

import gradio as gr


class AnyChoice(gr.Radio):
    """Takes a value of the suite before, too: while other choices are on their way to the
    page, an event may still bring the old one. What does not fit is replaced or refused."""

    is_template = True

    def preprocess(self, payload: Any) -> Any:
        return payload


class AnyNumber(gr.Slider):
    """As `AnyChoice`; a number above the range is the final embedding."""

    is_template = True

    def preprocess(self, payload: Any) -> Any:
        return payload
