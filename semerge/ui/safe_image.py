"""An image input that leaves judging a file to us."""

from __future__ import annotations

from typing import Any

import gradio as gr
from gradio.data_classes import ImageData

from semerge.ui.safe_page import FORGED, uploaded


class SafeImage(gr.Image):
    """An image input that hands on the uploaded file unopened: `decode_image` judges it.

    `gr.Image` opens the file while it reads the request, so a file that is no image would end in a
    bare "Error" before any code of ours runs. So a path is looked at here: only an upload's is
    handed on, whatever the page around lets pass.
    """

    is_template = True  # the browser shows it as the image component it is

    def preprocess(self, payload: ImageData | None) -> Any:
        if payload is None:
            return None
        if payload.url and payload.url.startswith("data:"):
            try:
                return super().preprocess(payload)
            except Exception as error:
                text = "This file is not a readable image."
                raise gr.Error(text, print_exception=False) from error
        if payload.path is not None and not uploaded(payload.path):
            raise gr.Error(FORGED, print_exception=False)
        return payload.path
