"""A drop-down list that leaves judging a value to us."""

from __future__ import annotations

from typing import Any

import gradio as gr


class SafeDropdown(gr.Dropdown):
    """For a list whose choices follow another field. Where two changes come quickly, the second is
    sent before the page has taken over the choices that the first has led to; `gr.Dropdown` would
    end that in a bare "Error", and the change would be lost."""

    is_template = True  # the browser shows it as the list it is

    def preprocess(self, payload: Any) -> Any:
        return payload
