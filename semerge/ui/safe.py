"""Components and a page that leave judging what comes from a browser to us."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

import gradio as gr
from gradio.data_classes import ImageData
from gradio.utils import get_upload_folder
from pydantic import ValidationError

# --------------------------------------------------------------------------------------------------
# Controls whose choices or range follow another field. Where two changes come quickly, an event
# still brings a value of before; Gradio's own would end that in a bare "Error", and the change
# would be lost. What does not fit is replaced or refused by who reads it.


def as_sent(self: Any, payload: Any) -> Any:
    return payload


class SafeDropdown(gr.Dropdown):
    is_template = True  # the browser shows it as the list that it is
    preprocess = as_sent


class AnyChoice(gr.Radio):
    is_template = True
    preprocess = as_sent


class AnyNumber(gr.Slider):
    """Of a layer, a number above the range is the final embedding."""

    is_template = True
    preprocess = as_sent


# --------------------------------------------------------------------------------------------------
# A page that takes files from its own uploads alone.

FORGED = "This file was not uploaded here; choose or upload one."


class SafePage(gr.Blocks):
    """Refuses, in one sentence, a file that is no upload.

    A client names a file by its path. Gradio lets an image's pass unchecked where the mark of a
    file is missing, fetches an address, and ends other forgeries in a bare "Error".

    A handler that answers with an update of nothing, `{}`, leaves the page as it is.
    """

    async def preprocess_data(self, block_fn: Any, inputs: Any, *rest: Any, **more: Any) -> Any:
        if not all(uploaded(path) for path in _paths(inputs)):
            raise gr.Error(FORGED, print_exception=False)
        try:
            return await super().preprocess_data(block_fn, inputs, *rest, **more)
        except ValidationError:  # something else in a file's place
            raise gr.Error(FORGED, print_exception=False) from None

    async def postprocess_data(self, block_fn: Any, predictions: Any, *rest: Any) -> Any:
        if isinstance(predictions, dict) and not predictions:
            predictions = gr.skip()
        return await super().postprocess_data(block_fn, predictions, *rest)


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


# --------------------------------------------------------------------------------------------------
# An image input that leaves judging a file to us.


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


# --------------------------------------------------------------------------------------------------
# Keeps from Gradio what it would take for its own in the address of the page.

RESERVED = ("page", "deep_link")
"""Gradio's own: the name of one of several pages, and of a state that it has stored. The page has
neither, and where an address names one, Gradio ends in an error or a warning, not in the page."""


class OwnQuery:
    """ASGI middleware: the page itself is asked for without them. Other requests are untouched."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and scope["path"].endswith("/") and scope["query_string"]:
            scope = {**scope, "query_string": without_reserved(scope["query_string"])}
        await self.app(scope, receive, send)


def without_reserved(query: bytes) -> bytes:
    """A query string without the reserved names; to the byte the same where it has none."""
    pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True, encoding="latin-1")
    kept = [(key, value) for key, value in pairs if key not in RESERVED]
    return query if len(kept) == len(pairs) else urlencode(kept, encoding="latin-1").encode()
