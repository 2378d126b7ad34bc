"""The start of the app where it can't serve: one sentence, and no traceback."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path
from unittest.mock import patch

import pytest
from fakes import FakeEngine, fake_examples, fake_suite

from semerge import cli
from semerge.suites.examples import load_examples
from semerge.ui.context import Context


@pytest.mark.parametrize("port", ["abc", "0", "65536", "-1", "", "²"])
@pytest.mark.parametrize("named", ["GRADIO_SERVER_PORT", "--port"])
def test_a_port_that_is_none_is_refused(
    named: str, port: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if named == "--port":
        monkeypatch.setenv("GRADIO_SERVER_PORT", "7860")
        options = [f"--port={port}"]
    else:
        monkeypatch.setenv(named, port)
        options = []
    assert cli.main(["demo", *options]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == f"semerge: {named} is a number from 1 to 65535, not {port!r}.\n"


def test_a_port_that_is_taken_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    context = Context.make(
        [fake_suite("image")], load_examples(fake_examples(tmp_path)), FakeEngine
    )
    monkeypatch.setattr("semerge.ui.app.make_context", lambda *_: context)
    monkeypatch.setattr(signal, "signal", lambda *_: None)  # the process is pytest's
    # what a start does to the environment ends with the test
    with patch.dict(os.environ), socket.create_server(("127.0.0.1", 0)) as taken:
        os.environ["GRADIO_SERVER_PORT"] = "1"
        port = taken.getsockname()[1]
        assert cli.main(["demo", "--port", str(port)]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith(f"semerge: the page can't be served at 127.0.0.1:{port} (")
    assert "name another: --port 7861, make demo PORT=7861, or GRADIO_SERVER_PORT=7861." in said
