"""Keeps from Gradio what it would take for its own in the address of the page."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlencode

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
