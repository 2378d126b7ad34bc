"""The start of the app where it can't serve: one sentence, and no traceback."""

from __future__ import annotations

import socket
from pathlib import Path

import httpx
import pytest
from fakes import free_port
from processes import PATIENCE, python, wait_for

from semerge import cli


def refused(log: Path, *options: str, **variables: str) -> str:
    """What the app says where it does not start."""
    with (
        log.open("w") as output,
        python("import app; app.main()", *options, output=output, **variables) as process,
    ):
        assert process.wait(PATIENCE) == 2
    said = log.read_text()
    assert "Traceback" not in said, said
    return said


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


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = refused(tmp_path / "log", "--port", str(port), GRADIO_SERVER_PORT="1")
    assert f"semerge: the page can't be served at 127.0.0.1:{port} (" in said
    assert "name another: --port 7861, make demo PORT=7861, or GRADIO_SERVER_PORT=7861." in said


def test_the_environment_opens_nothing(tmp_path: Path) -> None:
    secret, log, port = tmp_path / "secret.txt", tmp_path / "log", str(free_port())
    secret.write_text("of the server")
    variables = {
        "GRADIO_ALLOWED_PATHS": str(tmp_path),
        "GRADIO_VIBE_MODE": "1",
        "GRADIO_SHARE": "True",
        "GRADIO_MCP_SERVER": "True",
    }
    with (
        log.open("w") as output,
        python("import app; app.main()", "--port", port, output=output, **variables) as process,
        httpx.Client(trust_env=False, base_url=f"http://127.0.0.1:{port}", timeout=60) as http,
    ):
        wait_for(int(port), process)
        assert http.get(f"/gradio_api/file={secret}").status_code == 403
        assert http.get("/config").json()["vibe_mode"] is False
        assert http.get("/gradio_api/vibe-code").status_code == 403
    assert f"semerge: not used here: {', '.join(sorted(variables))}." in log.read_text()
