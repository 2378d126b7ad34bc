"""No network but loopback: the command and the app with both bundled suites, as they are started.

In processes of their own, without the variables that the tests are shielded by. What libraries
catch counts too: the guard notes every attempt.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pytest

from semerge.examples import load_examples
from semerge.suites import Suite, read_suite

ROOT = Path(__file__).resolve().parent.parent
SHIELDS = ("GRADIO_ANALYTICS_ENABLED", "NO_PROXY", "no_proxy")
SHIELDS += ("HF_HUB_OFFLINE", "HF_HUB_DISABLE_TELEMETRY", "TRANSFORMERS_OFFLINE")
# prints what the guard noted, at the very end
REPORT = (
    "import atexit, network_guard as n; atexit.register(lambda: print('ATTEMPTS', n.ATTEMPTS)); "
)
BUNDLED = ("mini-vision", "mini-text")
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


@pytest.mark.parametrize("name", BUNDLED)
def test_a_prediction_asks_no_network(name: str, tmp_path: Path) -> None:
    suite = read_suite(name)
    example = load_examples().opening(suite.modality)
    assert example
    code = "import sys; from semerge.cli import main; main(sys.argv[1:])"
    log = tmp_path / "log"
    with (
        log.open("w") as output,
        python(code, "predict", "--suite", name, str(example.file or example.text), output=output)
        as process,
    ):  # fmt: skip
        assert process.wait(PATIENCE) == 0
    text = log.read_text()
    assert "nearest expert" in text and text.endswith("ATTEMPTS []\n")


def test_the_app_starts_loads_and_answers_without_a_network(tmp_path: Path) -> None:
    from gradio_client import Client

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    log = tmp_path / "log"
    # a proxy that does not exist: whoever asks it for the app's own address fails
    proxy = {"http_proxy": "http://192.0.2.1:3128", "GRADIO_SERVER_PORT": str(port)}
    with (
        log.open("w") as output,
        python("import app; app.main()", output=output, **proxy) as process,
    ):
        wait_for(port, process)
        client = Client(f"http://127.0.0.1:{port}/", verbose=False)
        for name in BUNDLED:
            suite = read_suite(name)
            assert ask(client, suite)["suite"] == name
        process.send_signal(signal.SIGINT)
        process.wait(PATIENCE)
    text = log.read_text()
    assert re.search(r"ATTEMPTS \[\]\n$", text), text


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
