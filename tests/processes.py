"""Processes of their own: a guarded Python, the app in one, and commands in forks of a warm one."""

from __future__ import annotations

import multiprocessing
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
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


# ---- forks ---------------------------------------------------------------------------------------

# What takes long to import, and reads no variable that a test sets; huggingface_hub reads them as
# it is imported, so every fork imports it anew.
_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload(["torch", "PIL.Image", "httpx", "semerge.cli", "semerge.engine"])


@dataclass(frozen=True)
class Ended:
    """How a process ended, and what it wrote."""

    returncode: int
    stdout: str
    stderr: str


def forked(environment: Mapping[str, str], run: Callable[..., object], *arguments: object) -> Ended:
    """`sys.exit(run(*arguments))` in a process of its own that has imported torch already.

    run: a function of a module, by which the process finds it.
    """
    with TemporaryDirectory() as folder:
        out, err = Path(folder, "out"), Path(folder, "err")
        process = _forks.Process(
            target=_in_fork, args=(dict(environment), str(out), str(err), run, arguments)
        )
        process.start()
        process.join(PATIENCE)
        if process.exitcode is None:
            process.kill()
            process.join()
        ended = Ended(process.exitcode or 0, out.read_text("utf-8"), err.read_text("utf-8"))
        process.close()
    return ended


def _in_fork(
    environment: dict[str, str], out: str, err: str, run: Callable[..., object], arguments: Any
) -> None:
    for path, number in ((out, 1), (err, 2)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), number)
    assert "huggingface_hub" not in sys.modules
    os.environ.clear()
    os.environ.update(environment)
    sys.exit(run(*arguments))  # type: ignore[arg-type]
