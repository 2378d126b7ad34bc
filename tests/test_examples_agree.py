"""The command line and the app answer alike, on every example there is."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import pytest

from semerge import engine as engines
from semerge.cli import main
from semerge.engine import Engine
from semerge.settings import Settings
from semerge.suites import read_suite
from semerge.suites.examples import load_examples
from semerge.ui.context import Context

NAMES = {"image": "mini-vision", "text": "mini-text"}
EXAMPLES = load_examples()
TOTAL = 108


def untimed(result: dict[str, Any]) -> dict[str, Any]:
    """As JSON holds it, but for what differs from run to run."""
    assert result["timings_ms"]
    found: dict[str, Any] = json.loads(json.dumps(result | {"timings_ms": {}}))
    return found


def test_every_example_is_asked() -> None:
    assert sum(len(EXAMPLES.of(modality)) for modality in NAMES) == TOTAL


@pytest.mark.slow
@pytest.mark.parametrize("modality", NAMES)
def test_predict_prints_what_the_app_shows(
    modality: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    suite, load = read_suite(NAMES[modality]), engines.load_engine

    @cache
    def once(name: str) -> Engine:
        """The command's own engine, loaded for its first example alone."""
        return load(name)

    context = Context.make([suite], EXAMPLES, lambda suite: load(suite.name))
    monkeypatch.setattr(engines, "load_engine", once)
    for example in EXAMPLES.of(modality):
        given = str(example.file) if example.file else example.text
        words = ["predict", "--suite", suite.name, given, "--json"]
        words += ["--text-b", example.text_b] if example.text_b is not None else []
        assert main(words) == 0
        printed = json.loads(capsys.readouterr().out)
        view, _ = context.ask(suite.name, {"example": example.index}, Settings())
        assert untimed(printed) == untimed(view.result), example
