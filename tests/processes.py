"""Python processes without a network, and the app in one of them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from semerge.suites import Suite
from semerge.suites.examples import load_examples

ROOT = Path(__file__).resolve().parent.parent
SHIELDS = ("GRADIO_ANALYTICS_ENABLED", "NO_PROXY", "no_proxy")
SHIELDS += ("HF_HUB_OFFLINE", "HF_HUB_DISABLE_TELEMETRY", "TRANSFORMERS_OFFLINE")
# prints what the guard noted, at the very end; a shell's background job ignores SIGINT, and so
# would its children
REPORT = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "import atexit, network_guard as n; atexit.register(lambda: print('ATTEMPTS', n.ATTEMPTS)); "
)
PATIENCE = 180  # seconds, for slow machines


@contextmanager
def python(
    code: str, *arguments: str, output: IO[str], **variables: str
) -> Iterator[subprocess.Popen]:
    """A guarded Python that runs this code."""
    environment = {k: v for k, v in os.environ.items() if k not in SHIELDS}
    process = subprocess.Popen(
        [sys.executable, "-c", REPORT + code, *arguments],
        cwd=ROOT, env={**environment, **variables}, text=True, stdout=output, stderr=output,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def wait_for(port: int, process: subprocess.Popen) -> None:
    """Until something listens there."""
    end = time.monotonic() + PATIENCE
    while True:
        assert process.poll() is None and time.monotonic() < end, "the app does not start"
        try:
            socket.create_connection(("127.0.0.1", port), timeout=10).close()
            return
        except OSError:
            time.sleep(0.3)


def client_of(port: int) -> Any:
    """A client of the page there, with patience for a machine that is loading gigabytes."""
    from gradio_client import Client

    url = f"http://127.0.0.1:{port}/"
    return Client(url, verbose=False, httpx_kwargs={"timeout": PATIENCE})


def ask(client: Any, suite: Suite) -> dict[str, object]:
    """Ask a served page for the suite's opening example."""
    from gradio_client import handle_file

    example = load_examples().opening(suite.modality)
    assert example
    given = [handle_file(example.file)] if example.file else [example.text, ""]
    defaults = suite.defaults
    pool = "final" if defaults.layer == "final" else defaults.pool
    choices = [suite.name, defaults.preset, defaults.probe, defaults.layer, pool, "auto"]
    return client.predict(*given, *choices, api_name=f"/predict_{suite.modality}")
