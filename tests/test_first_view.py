"""What the page's address gives before any script of it has run, and how it comes over the line."""

from __future__ import annotations

import asyncio
import gzip
from types import SimpleNamespace
from typing import Any

import brotli
import pytest
from fakes import fake_suite

from semerge.suites.examples import Examples
from semerge.ui import words
from semerge.ui.app import Page, make_context
from semerge.ui.context import Context
from semerge.ui.safe import FirstPaint, compressed

HTML = b"<html><body><gradio-app></gradio-app>" + b"x" * 5000 + b"</body></html>"
OPENINGS = {"br": brotli.decompress, "gzip": gzip.decompress, "": bytes}


def served(path: str, query: str = "", accepted: str = "", body: bytes = HTML) -> tuple[Any, bytes]:
    """Headers and body of an HTML page behind the middleware."""

    async def page(scope: Any, receive: Any, send: Any) -> None:
        length = str(len(HTML)).encode()
        headers = [(b"content-type", b"text/html; charset=utf-8"), (b"content-length", length)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    blocks = SimpleNamespace(first=lambda asked: f"<p>{sorted(asked.items())}</p>")
    scope = {
        "type": "http",
        "path": path,
        "query_string": query.encode(),
        "headers": [(b"accept-encoding", accepted.encode())] if accepted else [],
        "app": SimpleNamespace(get_blocks=lambda: blocks),
    }
    asyncio.run(FirstPaint(page)(scope, None, send))
    start, content = sent
    return dict(start["headers"]), content["body"]


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [("gzip, deflate, br, zstd", "br"), ("gzip;q=0.8, deflate", "gzip"), ("", ""), ("zstd", "")],
)
def test_the_page_comes_in_what_a_browser_reads(accepted: str, coding: str) -> None:
    headers, body = served("/", "a=1", accepted)
    assert headers.get(b"content-encoding", b"").decode() == coding
    assert headers[b"content-length"] == str(len(body)).encode()
    assert headers[b"vary"] == b"accept-encoding"
    told = OPENINGS[coding](body)
    assert told == HTML.replace(b"<gradio-app", b"<p>[('a', '1')]</p><gradio-app")
    assert not coding or len(body) < len(HTML) / 10
    assert compressed(HTML, accepted)[1] == coding


def test_a_look_at_the_headers_and_other_files_are_left_alone() -> None:
    headers, body = served("/", accepted="br", body=b"")  # HEAD
    assert body == b"" and b"content-encoding" not in headers
    headers, body = served("/file=page.html", accepted="br")
    assert body == HTML and b"content-encoding" not in headers


@pytest.fixture(scope="module")
def context() -> Context:
    return make_context()


def first(context: Context, **query: str) -> str:
    return Page.first(SimpleNamespace(context=context), query)  # type: ignore[arg-type]


def test_the_opening_example_is_in_the_page(context: Context) -> None:
    suite = context.default("image")
    assert suite is not None
    view = context.opening[suite.name]
    for query in ({}, {"__theme": "dark"}, {"__sign": "of the host"}):
        html = first(context, **query)
        for text, role in words.sentence_parts(view):
            assert role == "" or str(words.macro("echo", text)) in html
        assert html.count("<svg viewBox") >= 1 and "needs JavaScript" in html
        assert "data:image/webp;base64," in html  # what was asked about
        # the style sheets and the script are as they were written
        assert "&#123;" not in html.partition("<style>")[2].partition("</style>")[0]
        assert "&#123;" not in html.rpartition("<script>")[2]


def test_another_state_gets_a_word_and_a_slide_nothing(context: Context) -> None:
    html = first(context, tab="language", text="<script>")
    assert "Opening the link…" in html and "se-sentence" not in html.partition("</style>")[2]
    assert "needs JavaScript" in first(context, present="1")
    assert 'id="first"' not in first(context, present="1")
    hostile = "</script><script>alert(1)</script>"
    assert hostile not in first(context, __theme=hostile)


def test_without_an_example_or_a_suite_there_is_a_word_all_the_same() -> None:
    for suites in ([fake_suite("image")], []):
        context = Context.make(suites, Examples(), lambda suite: None)
        assert "Loading…" in first(context)
