"""The Gradio app: one tab a file. `serve` starts it; `semerge.ui.app` builds the page."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn

from filelock import FileLock, Timeout

from semerge.common import TERMINATED, Stopwatch, UserError, listed, quoted, say

HOST, PORT = "127.0.0.1", "7860"  # where neither an option nor the environment names another
VARIABLES = (
    *("GRADIO_SERVER_NAME", "GRADIO_SERVER_PORT", "GRADIO_ROOT_PATH", "GRADIO_TEMP_DIR"),
    "GRADIO_ANALYTICS_ENABLED",  # set below
)
"""Those of Gradio that count here."""
_LARGEST_PORT = 65535


def run(args: argparse.Namespace) -> int:
    """The command `demo`, and `app.py`."""
    serve(args.suites, host=args.host, port=args.port, verbose=args.verbose)
    return 0


def serve(
    suites: Sequence[str] = (),
    *,
    host: str | None = None,
    port: str | None = None,
    verbose: bool = False,
) -> None:
    """Open the page and serve it until Ctrl+C.

    suites: folders or names; tabs open with the first. $SEMERGE_SUITES names more. host and port
    are those of $GRADIO_SERVER_NAME and $GRADIO_SERVER_PORT where they are not given. verbose:
    tells on stderr how long each stage of the start takes. Raises UserError where the port is none,
    or is taken.
    """
    host = host or os.environ.get("GRADIO_SERVER_NAME") or HOST
    named = "--port" if port is not None else "GRADIO_SERVER_PORT"
    number = _port(named, os.environ.get(named, PORT) if port is None else port)
    os.environ["GRADIO_SERVER_NAME"] = host  # who may choose a folder depends on it
    _leave_out()
    _stay_offline()
    watch = Stopwatch(verbose)

    signal.signal(signal.SIGTERM, _terminate)  # or else it ends without what follows the page
    with upload_folder(os.environ.get("GRADIO_TEMP_DIR")) as folder:
        os.environ["GRADIO_TEMP_DIR"] = str(folder)  # gradio reads it as it is imported
        from semerge.ui.app import launch_options, make_context, start

        watch.lap("import gradio and the page's modules")
        more = os.environ.get("SEMERGE_SUITES", "").split(os.pathsep)
        context = make_context([*suites, *filter(None, more)], Stopwatch(verbose))
        watch.lap("read suites and examples")
        page = start(context)
        watch.lap("build the page")
        print(f"SE-Merging opens at http://{host}:{number} (Ctrl+C ends it)", flush=True)
        try:
            page.launch(**launch_options(host, number), prevent_thread_lock=True)
        except OSError as error:  # as a rule another program has the port
            raise UserError(
                f"the page can't be served at {host}:{number} ({error}) Free the port, or name "
                "another: --port 7861, make demo PORT=7861, or GRADIO_SERVER_PORT=7861."
            ) from None
        watch.lap("serve the page")
        page.block_thread()


def _terminate(*_: object) -> NoReturn:
    sys.exit(TERMINATED)


def _port(name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) <= _LARGEST_PORT):
        raise UserError(f"{name} is a number from 1 to {_LARGEST_PORT}, not {quoted(text)}.")
    return int(text)


def _leave_out() -> None:
    """Gradio's other variables open files, editors and addresses that the page has no use for."""
    known = {name for name in os.environ if name.startswith("GRADIO_")}
    left_out = sorted(known.difference(VARIABLES))
    for name in left_out:
        del os.environ[name]
    if left_out:
        say(f"not used here: {listed(left_out)}.", sys.stderr)


def _stay_offline() -> None:
    """No telemetry, no version check, no hub: set before gradio is imported, which reads it."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TRANSFORMERS_OFFLINE", "1")
    # behind a proxy: gradio looks whether its own address answers, which no proxy can tell
    beyond = os.environ.get("no_proxy") or os.environ.get("NO_PROXY")
    os.environ["no_proxy"] = ",".join(filter(None, (beyond, "127.0.0.1,localhost")))


# --------------------------------------------------------------------------------------------------
# Uploads lie in a folder of the process. One that is killed leaves it to the next start, which can
# tell by the lock that nobody has it any more.

FOLDER, LOCK = "semerge-uploads-", "lock"


@contextmanager
def upload_folder(place: str | None) -> Iterator[Path]:
    """A new folder in `place`, or among the system's temporary files, that goes at the end; those
    that other processes have left go before. Raises UserError where it can't be made."""
    try:
        parent = Path(place or tempfile.gettempdir()).resolve()
        parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=FOLDER, dir=parent))
    except OSError as error:
        told = f"There is no place for uploads: {error.strerror}. GRADIO_TEMP_DIR names another."
        raise UserError(told) from None
    try:
        for left in parent.glob(f"{FOLDER}*/{LOCK}"):
            with suppress(Timeout, OSError):
                if left.parent.lstat().st_uid == folder.stat().st_uid:  # nobody else's
                    with FileLock(left, timeout=0):
                        shutil.rmtree(left.parent)
        with FileLock(folder / LOCK):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
