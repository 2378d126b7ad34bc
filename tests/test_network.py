"""No network but loopback: the command and the app with both bundled suites, as they are started.

In processes of their own, without the variables that the tests are shielded by. What libraries
catch counts too: the guard notes every attempt.
"""

from __future__ import annotations

import re
import signal
from pathlib import Path

from fakes import free_port
from processes import PATIENCE, ask, client_of, python, wait_for

from semerge.suites import read_suite
from semerge.suites.examples import load_examples

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


def test_the_app_starts_loads_and_answers_without_a_network(tmp_path: Path) -> None:
    port = free_port()
    log = tmp_path / "log"
    # a proxy that does not exist: whoever asks it for the app's own address fails
    proxy = {"http_proxy": "http://192.0.2.1:3128", "GRADIO_SERVER_PORT": str(port)}
    with (
        log.open("w") as output,
        python("import app; app.main()", "--verbose", output=output, **proxy) as process,
    ):
        wait_for(port, process)
        client = client_of(port)
        for name in BUNDLED:
            suite = read_suite(name)
            assert ask(client, suite)["suite"] == name
        process.send_signal(signal.SIGINT)
        process.wait(PATIENCE)
    text = log.read_text()
    assert re.search(r"ATTEMPTS \[\]\n$", text), text
    for stage in ("build the page", "serve the page", *(f"load {name}" for name in BUNDLED)):
        assert re.search(rf"^semerge: {stage}: \d+ ms$", text, re.M), stage  # --verbose
