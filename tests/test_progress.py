"""How far a long step is, from where it happens to the command line and the app's status."""

from __future__ import annotations

import io
import threading
from pathlib import Path

import pytest
from PIL import Image
from published_suites import clip_suite

from semerge import common
from semerge.cli import main
from semerge.common import Counter, listening, say, tell
from semerge.ui.engines import Engines, State
from semerge.ui.words import macro


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_thread_hears_its_own_steps_alone() -> None:
    heard: list[tuple[int, int, str]] = []
    tell(1, 2, "before")
    with listening(lambda *told: heard.append(told)):
        tell(1, 2, "steps")
        other = threading.Thread(target=tell, args=(1, 2, "elsewhere"))
        other.start()
        other.join()
    tell(2, 2, "after")
    assert heard == [(1, 2, "steps")]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(common, "PATIENCE", 0.0)


@pytest.mark.usefixtures("impatient")
def test_a_count_on_a_terminal_and_in_a_file() -> None:
    terminal, file = Terminal(), io.StringIO()
    for stream in (terminal, file):
        for done in (0, 1000, 2000):
            Counter(stream)(done, 2000, "captions read")
    lines = [f"\rsemerge: {done} of 2,000 captions read" for done in ("0", "1,000", "2,000")]
    assert terminal.getvalue() == "".join(lines) + "\n"
    assert file.getvalue() == "semerge: 0 of 2,000 captions read\n"


def test_a_sentence_has_a_line_of_its_own() -> None:
    terminal, file = Terminal(), io.StringIO()
    for stream in (terminal, file):
        Counter(stream)(1, 2, "read")
        say("stopped.", stream)
    assert terminal.getvalue() == "\rsemerge: 1 of 2 read\nsemerge: stopped.\n"
    assert file.getvalue() == "semerge: stopped.\n"


def test_a_count_is_shown_once_it_takes_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(common, "perf_counter", lambda: clock[0])
    terminal, file = Terminal(), io.StringIO()
    for stream in (terminal, file):
        count = Counter(stream)
        for parts in (3, 30):  # soon done; then a long one
            for done in range(parts + 1):
                count(done, parts, "parts")
                clock[0] += 0.3
    lines = [f"\rsemerge: {done} of 30 parts" for done in range(4, 31)]
    assert terminal.getvalue() == "".join(lines) + "\n"
    assert file.getvalue() == "semerge: 4 of 30 parts\n"


@pytest.mark.usefixtures("impatient")
def test_the_command_tells_that_heads_are_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SEMERGE_CACHE", str(tmp_path / "cache"))
    folder = clip_suite(tmp_path / "suite", "fusionbench-clip")
    image = tmp_path / "image.png"
    Image.radial_gradient("L").convert("RGB").save(image)
    told = []
    for _ in range(2):
        assert main(["predict", "--suite", str(folder), str(image)]) == 0
        told.append(capsys.readouterr().err)
    assert told == ["semerge: 0 of 14 captions read for the heads\n", ""]


def test_the_status_shows_the_step_of_a_suite_that_loads() -> None:
    seen: list[State] = []

    def load(name: str) -> str:
        tell(1, 4, "captions <read>")
        seen.append(engines.state(name))
        return name

    engines = Engines({"here": "Here"}, load)
    assert engines.get("here") == "here"
    shown = macro("status", seen, template="page.html")
    assert "Here: loading, captions &lt;read&gt; <progress" in shown and "25%" in shown
    assert macro("status", engines.states(), template="page.html") == ""
