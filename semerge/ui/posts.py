"""What visitors send: from this page alone, and within limits."""

from __future__ import annotations

import errno
import os
import shutil
import time
from contextlib import suppress
from pathlib import Path
from tempfile import gettempprefix
from typing import Any
from urllib.parse import urlsplit

from anyio.to_thread import run_sync
from gradio.utils import get_upload_folder
from starlette.datastructures import Headers
from starlette.responses import JSONResponse, PlainTextResponse, Response

from semerge.inputs import MAX_BYTES

# --------------------------------------------------------------------------------------------------
# How much there may be.

ROOM = 2**30  # bytes of all uploads together
FREE = 2**28  # bytes of the disk that uploads leave free
BODY = 4 * 2**20  # bytes of a request that is no upload; those of the page are far below
OVER = 2**26  # bytes of a refused request that are passed over
FORM = 2**16  # bytes that a form adds to a file
KEEP = 3600  # seconds: uploads older than this are deleted, looked for as often
SMALL = 8192  # bytes that even an empty file takes, with its folder


def held(folder: Path) -> int:
    """Bytes that all uploads take; what an upload that broke off has left goes after a while."""
    total = 0
    for place, _, names in os.walk(folder):
        for file in (Path(place, name) for name in names):
            with suppress(OSError):  # gone by now
                status = file.stat()
                total += status.st_size + SMALL
                broken = Path(place) == folder and file.name.startswith(gettempprefix())
                if broken and status.st_mtime < time.time() - KEEP:
                    file.unlink()
    return total


def has_room(size: int) -> bool:
    """Whether an upload of so many bytes may come."""
    folder = Path(get_upload_folder())
    folder.mkdir(parents=True, exist_ok=True)
    return held(folder) + size <= ROOM and shutil.disk_usage(folder).free >= FREE + size


# --------------------------------------------------------------------------------------------------
# Who may send what.

PREFIX = "/gradio_api/"
UPLOAD = "upload"
POSTS = (UPLOAD, "queue/join", "run/", "call/", "component_server", "cancel", "reset")
"""What the page and the clients of its API ask for by POST. Gradio has more, as to make films."""
ELSEWHERE = "Another website has sent this; open the page itself."
NOTHING = "There is nothing to send here."
UNSIZED = "What is sent has to say how many bytes it has."
FULL = "There is no room for more uploads here now; please try again in an hour."


def from_elsewhere(headers: Headers) -> bool:
    """Whether another website lets a visitor's browser send this. Browsers say so by
    Sec-Fetch-Site; where they do not, as without TLS, an Origin is of the same host. No browser
    sends neither."""
    if site := headers.get("sec-fetch-site"):
        return site not in ("same-origin", "none")
    origin = headers.get("origin")
    hosts = [headers.get("host", ""), *headers.get("x-forwarded-host", "").split(",")]
    own = {host.strip().lower() for host in hosts if host.strip()}
    return origin is not None and urlsplit(origin).netloc.lower() not in own


def too_large(limit: int) -> str:
    return f"This is too large; the limit is {limit // 2**20} MB."


class OwnPosts:
    """ASGI middleware: other posts are refused in a sentence, and nothing of them is kept."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        app = self.app
        if scope["type"] == "http" and scope["method"] == "POST":
            what = scope["path"].rpartition(PREFIX)[2]
            if refusal := await _refusal(what, Headers(scope=scope)):
                await _pass_over(receive)
                app = refusal
        await app(scope, receive, send)


async def _pass_over(receive: Any) -> None:
    """What a browser is still sending, as it reads no answer before that; not without an end."""
    left, more = OVER, True
    while more and left > 0:
        message = await receive()
        left, more = left - len(message.get("body", b"")), message.get("more_body", False)


async def _refusal(what: str, headers: Headers) -> Response | None:
    length = headers.get("content-length")  # the server holds a body to it
    limit = MAX_BYTES + FORM if what == UPLOAD else BODY
    if from_elsewhere(headers):
        status, text = 403, ELSEWHERE
    elif not what.startswith(POSTS):
        status, text = 404, NOTHING
    elif length is None:
        status, text = 411, UNSIZED
    elif int(length) > limit:
        status, text = 413, too_large(limit)
    elif what == UPLOAD and not await run_sync(has_room, int(length)):
        status, text = 507, FULL
    else:
        return None
    # the page shows an upload's text as it is, and the "detail" of others
    return (
        PlainTextResponse(text, status)
        if what == UPLOAD
        else JSONResponse({"detail": text}, status)
    )


def on_full_disk(request: Any, error: Exception) -> Response:
    """A file could not be written. What else the system refuses is a defect, and in the log."""
    if getattr(error, "errno", None) not in (errno.ENOSPC, errno.EDQUOT):
        raise error
    return PlainTextResponse(FULL, 507)
