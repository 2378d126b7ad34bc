"""No network but loopback: the command and the app with both bundled suites, as they are started.

In processes of their own, without the variables that the tests are shielded by. What libraries
catch counts too: the guard notes every attempt.
"""

from __future__ import annotations

import re
import signal
from pathlib import Path

import httpx
from fakes import free_port
from image_files import encoded, picture
from processes import PATIENCE, ask, client_of, python, wait_for

from semerge.common import TERMINATED
from semerge.suites import read_suite
from semerge.suites.examples import load_examples
from semerge.ui import FOLDER, LOCK

BUNDLED = ("mini-vision", "mini-text")


def test_a_prediction_asks_no_network(tmp_path: Path) -> None:
    code = "import sys; from semerge.cli import main; "
    code += "[main(['predict', '--suite', *sys.argv[i : i + 2]]) for i in (1, 3)]"
    asked: list[str] = []
    for name in BUNDLED:
        example = load_examples().opening(read_suite(name).modality)
        assert example
        asked += [name, str(example.file or example.text)]
    log = tmp_path / "log"
    with log.open("w") as output, python(code, *asked, output=output) as process:
        assert process.wait(PATIENCE) == 0
    text = log.read_text()
    assert text.count("nearest expert") == len(BUNDLED) and text.endswith("ATTEMPTS []\n")


def test_the_app_as_it_is_started(tmp_path: Path) -> None:
    """It loads and answers without a network, opens nothing that its environment asks for, and its
    uploads end with it."""
    place, secret, log = (tmp_path / name for name in ("place", "secret.txt", "log"))
    secret.write_text("of the server")
    left = place / f"{FOLDER}a" / LOCK  # of a process that was killed
    left.parent.mkdir(parents=True)
    left.touch()
    unused = {
        "GRADIO_ALLOWED_PATHS": str(tmp_path),
        "GRADIO_VIBE_MODE": "1",
        "GRADIO_SHARE": "True",
        "GRADIO_MCP_SERVER": "True",
    }
    port = free_port()
    variables = unused | {
        "GRADIO_SERVER_PORT": str(port),
        "GRADIO_TEMP_DIR": str(place),
        "HOME": "/proc/nowhere",  # can't be written
        # a proxy that does not exist: whoever asks it for the app's own address fails
        "http_proxy": "http://192.0.2.1:3128",
    }
    with (
        log.open("w") as output,
        python("import app; app.main()", "--verbose", output=output, **variables) as process,
        httpx.Client(
            trust_env=False, verify=False, base_url=f"http://127.0.0.1:{port}", timeout=60
        ) as http,
    ):
        wait_for(port, process)
        assert http.get(f"/gradio_api/file={secret}").status_code == 403
        assert http.get("/config").json()["vibe_mode"] is False
        assert http.get("/gradio_api/vibe-code").status_code == 403

        client = client_of(port)
        for name in BUNDLED:
            suite = read_suite(name)
            assert ask(client, suite)["suite"] == name

        own = {"files": ("own.png", encoded(picture()))}
        assert http.post("/gradio_api/upload", files=own).status_code == 200
        assert len([*place.rglob("own.png")]) == 1 and not left.exists()
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == TERMINATED
    assert list(place.iterdir()) == []
    text = log.read_text()
    assert "Traceback" not in text, text
    assert re.search(r"ATTEMPTS \[\]\n$", text), text
    assert f"semerge: not used here: {', '.join(sorted(unused))}." in text
    for stage in ("build the page", "serve the page", *(f"load {name}" for name in BUNDLED)):
        assert re.search(rf"^semerge: {stage}: \d+ ms$", text, re.M), stage  # --verbose
