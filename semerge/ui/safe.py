"""Components and a page that leave judging what comes from a browser to us."""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import brotli  # which Gradio brings
import gradio as gr
from gradio.context import LocalContext
from gradio.data_classes import ImageData
from gradio.utils import get_upload_folder
from pydantic import ValidationError
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, PlainTextResponse

from semerge.common import quoted

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
UNFIT = "These values do not fit the page; load it anew, or see its API."
KINDS: dict[type, tuple[type, str]] = {
    gr.Textbox: (str, "text"),
    gr.Checkbox: (bool, "true or false"),
}
"""Components that would turn anything into a value of theirs, and what they are to get."""


class SafePage(gr.Blocks):
    """Refuses, in one sentence, a file that is no upload, and what is no value of a component.

    A client names a file by its path. Gradio lets an image's pass unchecked where the mark of a
    file is missing, fetches an address, decodes a `data:` URL past every limit, and ends other
    forgeries in a bare "Error".

    A handler that answers with an update of nothing, `{}`, leaves the page as it is.
    """

    async def preprocess_data(self, block_fn: Any, inputs: Any, *rest: Any, **more: Any) -> Any:
        if not all(uploaded(path) for path in _named(inputs)):
            raise gr.Error(FORGED, print_exception=False)
        for part, value in zip(block_fn.inputs, inputs, strict=False):
            kind, valid = next((KINDS[k] for k in KINDS if isinstance(part, k)), (object, ""))
            if value is not None and not isinstance(value, kind):
                text = f"{part.label} must be {valid}, not {quoted(value)}."
                raise gr.Error(text, print_exception=False)
        try:
            return await super().preprocess_data(block_fn, inputs, *rest, **more)
        except ValidationError:  # something else in a file's place
            raise gr.Error(FORGED, print_exception=False) from None
        except gr.Error:
            raise
        except Exception:  # too few values, or one that Gradio's component can't read
            raise gr.Error(UNFIT, print_exception=False) from None

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


def _named(value: Any) -> Iterator[str]:
    """The files that a request names, by a path or by a `data:` URL, which is none."""
    waiting = [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            for key, start in (("path", ""), ("url", "data:")):
                name = value.get(key)
                if isinstance(name, str) and name.lower().startswith(start):
                    yield name
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value


def no_such(request: Any, error: Exception) -> PlainTextResponse:
    """A client named an event, or a part of the page, that there is not."""
    return PlainTextResponse("There is no such event.", 404)


BUSY = "Many are asking here at the moment; please try again in a minute."


def busy(request: Any, error: Exception) -> JSONResponse:
    """The queue is full; Gradio says by how many, and its page words of its own for a 503."""
    return JSONResponse({"detail": BUSY}, 429)


# --------------------------------------------------------------------------------------------------
# An image input that leaves judging a file to us.


class SafeImage(gr.Image):
    """An image input that hands on the uploaded file unopened: `decode_image` alone decodes.

    `gr.Image` opens the file while it reads the request: one that is no image would end in a bare
    "Error", and a `data:` URL be decoded, before any code of ours runs. So a path is looked at
    here: only an upload's is handed on, whatever the page around lets pass.
    """

    is_template = True  # the browser shows it as the image component it is

    def preprocess(self, payload: ImageData | None) -> Any:
        if payload is None:
            return None
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


class FirstPaint:
    """ASGI middleware: the page has something to show before its scripts are there, `Page.first`,
    and says what it needs to a browser without scripts. Its `head` comes by one.

    The page comes compressed. Gradio does that by the endings of names alone, and the page, which
    has none, is the heaviest of all that comes.
    """

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        start: dict[str, Any] = {}

        async def told(message: Any) -> None:
            if (b"content-type", b"text/html; charset=utf-8") in message.get("headers", ()):
                start.update(message)
                return
            if start:
                query = dict(parse_qsl(scope["query_string"].decode("latin-1")))
                text = scope["app"].get_blocks().first(query)
                body = message["body"].replace(b"<gradio-app", f"{text}<gradio-app".encode(), 1)
                headers = MutableHeaders(raw=start["headers"])
                if body:
                    body, coding = compressed(body, Headers(scope=scope).get("accept-encoding", ""))
                    headers.update({"content-encoding": coding} if coding else {})
                headers.add_vary_header("accept-encoding")
                headers["content-length"] = str(len(body))
                message = {**message, "body": body}
                await send({**start})
                start.clear()
            await send(message)

        page = scope["type"] == "http" and scope["path"].endswith("/")
        await self.app(scope, receive, told if page else send)


def compressed(body: bytes, accepted: str) -> tuple[bytes, str]:
    """In what a browser accepts, by an `Accept-Encoding`, and its name; as it is where that is
    neither."""
    names = {part.partition(";")[0].strip() for part in accepted.split(",")}
    if "br" in names:
        return brotli.compress(body, quality=5), "br"
    if "gzip" in names:
        return gzip.compress(body, 6), "gzip"
    return body, ""


def without_reserved(query: bytes) -> bytes:
    """A query string without the reserved names; to the byte the same where it has none."""
    pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True, encoding="latin-1")
    kept = [(key, value) for key, value in pairs if key not in RESERVED]
    return query if len(kept) == len(pairs) else urlencode(kept, encoding="latin-1").encode()


# --------------------------------------------------------------------------------------------------
# A server of this computer alone is asked by a name of this computer: a website whose name was
# bound to 127.0.0.1 would read it as its own ("DNS rebinding").

FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip")
"""Headers of who sits elsewhere and is let through by a proxy."""


def is_loopback(host: str) -> bool:
    """Whether a host, with a port or without, is this computer: "127.0.0.1:7860", "localhost"."""
    try:
        name = urlsplit(f"//[{host}]" if host.count(":") > 1 and "[" not in host else f"//{host}")
        return name.hostname == "localhost" or ip_address(name.hostname or "").is_loopback
    except ValueError:
        return False


def on_this_computer() -> bool:
    """Whether who opens the page sits at the computer that serves it: not on a Space, not where
    other machines may ask, nor through a proxy. Only then may a visitor name files of the server.
    """
    request = LocalContext.request.get(None)  # none while the page is built
    elsewhere = request is not None and any(name in request.headers for name in FORWARDED)
    bound = is_loopback(os.environ.get("GRADIO_SERVER_NAME") or "localhost")
    return bound and not elsewhere and "SPACE_ID" not in os.environ


NOT_HERE = "This page is open on its own computer alone; --host 0.0.0.0 opens it to others."


class OwnHost:
    """ASGI middleware: requests to another name are refused."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        app = self.app
        if scope["type"] in ("http", "websocket"):
            hosts = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
            if len(hosts) != 1 or not is_loopback(hosts[0]):
                app = PlainTextResponse(NOT_HERE, 403)
        await app(scope, receive, send)
