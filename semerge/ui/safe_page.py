"""A page that takes files from its own uploads alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.utils import get_upload_folder
from pydantic import ValidationError

FORGED = "This file was not uploaded here; choose or upload one."


class SafePage(gr.Blocks):
    """Refuses, in one sentence, a file that is no upload.

    A client names a file by its path. Gradio lets an image's pass unchecked where the mark of a
    file is missing, fetches an address, and ends other forgeries in a bare "Error".
    """

    async def preprocess_data(self, block_fn: Any, inputs: Any, *rest: Any, **more: Any) -> Any:
        if not all(uploaded(path) for path in _paths(inputs)):
            raise gr.Error(FORGED, print_exception=False)
        try:
            return await super().preprocess_data(block_fn, inputs, *rest, **more)
        except ValidationError:  # something else in a file's place
            raise gr.Error(FORGED, print_exception=False) from None


def uploaded(path: str) -> bool:
    """Whether a path is that of an upload, or of a file that the page itself has shown."""
    try:
        return Path(path).resolve().is_relative_to(Path(get_upload_folder()).resolve())
    except (OSError, ValueError):  # too long a name, a NUL
        return False


def _paths(value: Any) -> Iterator[str]:
    """The paths of the files that a request names."""
    waiting = [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            if isinstance(path := value.get("path"), str):
                yield path
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
