"""Messages for people: what is quoted in them is cut, and none tells a client where files lie."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from fakes import FakeEngine, fake_examples, fake_suite, served
from test_forged_files import ask

from semerge import cli
from semerge.common import ASSETS, SENTENCE, UserError
from semerge.suites import Suite
from semerge.suites.examples import load_examples
from semerge.ui.app import make_context
from semerge.ui.context import Context
from semerge.ui.words import macro, without_folders

# Gradio's queue asks pandas for what pandas has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:.*(no_silent_downcasting|copy keyword)")
LONG = "x" * 5000
SPACED = "a b " * 2000


@pytest.mark.parametrize(
    "value", [LONG, SPACED, f"{LONG}=", f"={LONG}", f"a/b={LONG}", "\n" * 3000]
)
@pytest.mark.parametrize(
    "command",
    [
        ("init-suite", "{out}", "--base", "b", "--expert", "{value}"),
        ("init-suite", "{out}", "--base", "{value}"),
        ("init-suite", "{out}", "--base", "b", "--expert", "a={value}", "--expert", "a={value}"),
        ("predict", "--suite", "{value}", "x"),
        ("predict", "--suite", "mini-text", "{value}"),
        ("predict", "--suite", "mini-vision", "{value}"),
        ("predict", "--suite", "mini-text", "x", "--probe", "{value}"),
        ("predict", "--suite", "mini-text", "x", "--layer", "{value}"),
        ("predict", "--suite", "mini-text", "x", "--head", "{value}"),
        ("predict", "--suite", "mini-text", "x", "--temperature", "{value}"),
        ("evaluate", "--suite", "mini-text", "--data", "{value}"),
        ("evaluate", "--suite", "mini-text", "--data", "generated", "--methods", "{value}"),
        ("choose", "--suite", "mini-text", "{value}"),
        ("demo", "--port", "{value}"),
        ("{value}",),
    ],
)
def test_what_is_quoted_is_cut(
    command: tuple[str, ...], value: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = [part.format(value=value, out=tmp_path / "out") for part in command]
    assert cli.main(argv) == 2
    told = capsys.readouterr().err
    assert told.startswith("semerge: ") and told.count("\n") == 1
    assert len(told) < SENTENCE + 50 and not re.search(r"\S{512}", told)


def test_a_sentence_of_usual_length_is_as_it_was() -> None:
    path = "/home/somebody/models/" + "checkpoint-10000/" * 10 + "model.safetensors"
    for text in (f"{path} is missing.", "a " * (SENTENCE // 2)):
        assert str(UserError(text)) == text
    assert str(UserError("y" * 100 + LONG)) == "y" * 60 + "..." + "x" * 60


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("/srv/own/suite/base.safetensors is missing.", "suite/base.safetensors is missing."),
        ("/srv/my own models/one suite/a.pt: q", "one suite/a.pt: q"),
        ("see '/etc/passwd' and (/var/lib/x/y)", "see 'etc/passwd' and (x/y)"),
        ("~/models/b/c.pt can't", "b/c.pt can't"),
        (r"C:\Users\me\suite\suite.json: a", "suite/suite.json: a"),
        ("No 50 km/h, and/or T-shirt/top: 1/2, /", "No 50 km/h, and/or T-shirt/top: 1/2, /"),
        ("https://huggingface.co/a/b/c is", "https://huggingface.co/a/b/c is"),
    ],
)
def test_folders_are_left_out(text: str, told: str) -> None:
    assert without_folders(text) == told
    assert told in macro("failure", text).unescape()


def test_no_client_is_told_where_a_broken_suite_lies(tmp_path: Path) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "suite.json").write_text("{", encoding="utf-8")
    problems = make_context([str(tmp_path / "broken")]).problems
    assert str(tmp_path) in problems[0]  # in the log, and here

    secret = tmp_path / "suite" / "base.safetensors"

    class Failing(FakeEngine):
        def predict(self, *asked: Any) -> Any:
            raise UserError(f"{secret} is missing.")

    def load(suite: Suite) -> FakeEngine:
        if suite.modality == "image":
            raise UserError(f"{secret} can't be read: no right.")
        return Failing(suite)

    suites = [fake_suite("image"), fake_suite("text")]
    context = Context.make(suites, load_examples(fake_examples(tmp_path / "examples")), load)
    context.problems = problems
    with served(context) as page, httpx.Client(trust_env=False, verify=False) as http:
        context.engines.start([suite.name for suite in suites]).join()
        config = http.get(f"{page}config")
        assert "broken/suite.json can" in config.text
        names = {part["props"].get("elem_id") for part in config.json()["components"]}
        run = next(d for d in config.json()["dependencies"] if d["api_name"] == "predict_text")
        told = [ask(page, lambda d: d["id"] == run["id"], ["x", "", "mini-text"])["error"]]
        told += [_looked(page, config.json()["dependencies"])]
    assert names and told[0] == "suite/base.safetensors is missing."
    assert "suite/base.safetensors can&#39;t be read" in told[1]
    for text in (*told, config.text):
        assert str(secret.parent) not in text
        assert str(ASSETS.parent) not in text


def _looked(page: str, events: list[dict[str, Any]]) -> str:
    """What the page's timer is answered: how far the engines are."""
    tick = next(d for d in events if any(kind == "tick" for _, kind in d["targets"]))
    with httpx.Client(trust_env=False, verify=False, timeout=60) as http:
        body = {"fn_index": tick["id"], "data": [None] * len(tick["inputs"]), "session_hash": "x"}
        body["data"][0] = []
        return http.post(f"{page}gradio_api/run/predict", json=body).text
