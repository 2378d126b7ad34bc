"""Methods that take long are made once and kept on disk: who makes them, what is found again, and
how much room that takes."""

from __future__ import annotations

import logging
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from concurrency import answers, sample_of
from safetensors.torch import load_file, save_file
from tiny import hash_files, tiny_text_suite, tiny_vision_suite
from torch import Tensor

import semerge
from semerge import cli, common
from semerge.checkpoints import cache
from semerge.common import UserError
from semerge.engine import Engine, load_engine
from semerge.methods import METHODS, method
from semerge.settings import Settings
from semerge.task_vectors import TaskVectors

SUITES = {"image": tiny_vision_suite, "text": tiny_text_suite}
DOGE = "doge_ta:steps=3"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SEMERGE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "variants"


@pytest.fixture(params=SUITES)
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return SUITES[request.param](tmp_path / "suite")


@pytest.fixture
def calls() -> Iterator[list[str]]:
    """Two dear methods, one of each form, and one that is dear for larger models alone; and how
    often each was asked."""
    asked: list[str] = []

    @method("halves", title="Halves", dear=0)
    def halves(vectors: TaskVectors, *, share: float = 0.5) -> TaskVectors:
        """Take a share."""
        asked.append("halves")
        return vectors.mapped(lambda deltas: deltas * share)

    @method("second", title="Second", dear=0)
    def second(vectors: TaskVectors) -> dict[str, Tensor]:
        """Take the second expert."""
        asked.append("second")
        return vectors.expert(1)

    @method("large", title="Large", dear=10**9)
    def large(vectors: TaskVectors) -> TaskVectors:
        """Take half."""
        asked.append("large")
        return vectors.mapped(lambda deltas: deltas / 2)

    yield asked
    for name in ("halves", "second", "large"):
        METHODS.remove(name)


def answer(engine: Engine, spec: str) -> dict[str, object]:
    settings = Settings(method=spec, probe="experts", preset="literal")
    return answers(engine.predict(sample_of(engine, 0), settings))


@pytest.mark.parametrize("spec", ["halves", "halves:share=0.25", "second"])
def test_what_was_made_is_found_and_answers_alike(
    spec: str, folder: Path, calls: list[str], home: Path
) -> None:
    made, found = load_engine(folder), load_engine(folder)
    first, again = answer(made, spec), answer(found, spec)
    assert calls == [spec.partition(":")[0]] and len(list(home.iterdir())) == 1
    assert first == again
    assert made.merge(spec).keys() == found.merge(spec).keys()
    assert all(torch.equal(x, found.merge(spec)[name]) for name, x in made.merge(spec).items())
    own = (0.2, -0.1, 0.4)
    one, other = made.merge(spec, own), found.merge(spec, own)
    assert all(torch.equal(x, other[name]) for name, x in one.items())
    assert found.verify_weights()


def test_another_option_weight_version_or_code_is_made_anew(
    calls: list[str], home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tiny_vision_suite(tmp_path / "suite")

    def made(spec: str = "halves") -> int:
        calls.clear()
        load_engine(folder).variant(spec)
        return len(calls)

    assert (made(), made(), made("halves:share=0.5")) == (1, 0, 0)
    assert (made("halves:share=0.6"), made("halves:share=0.6")) == (1, 0)
    file = folder / "experts" / "task1.safetensors"
    tensors = load_file(file)
    next(iter(tensors.values())).view(-1)[0] += 0.5
    save_file(tensors, file)
    hash_files(folder)
    assert (made(), made()) == (1, 0)
    with monkeypatch.context() as patch:
        patch.setattr(semerge, "__version__", "another")
        assert (made(), made()) == (1, 0)
    monkeypatch.setattr(METHODS, "code", "another")
    assert (made(), made()) == (1, 0)
    assert len(list(home.iterdir())) == 5


def test_what_is_not_dear_at_this_size_is_not_kept(
    calls: list[str], home: Path, tmp_path: Path
) -> None:
    folder = tiny_vision_suite(tmp_path / "suite")
    for _ in range(2):
        load_engine(folder, make_dear=False).variant("large")
    assert calls == ["large"] * 2 and not home.exists()


DAMAGES = {
    "cut": lambda data: data[:-100],
    "empty": lambda data: b"",
    "a text": lambda data: b"damaged",
    "one bit": lambda data: data[:-7] + bytes([data[-7] ^ 1]) + data[-6:],
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_made_again(
    damage: str, calls: list[str], home: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tiny_vision_suite(tmp_path / "suite")
    expected = load_engine(folder).merge("halves")
    (file,) = home.iterdir()
    whole = file.read_bytes()
    file.write_bytes(DAMAGES[damage](whole))
    with caplog.at_level(logging.WARNING):
        found = load_engine(folder).merge("halves")
    assert calls == ["halves"] * 2 and "is damaged and will be computed again" in caplog.text
    assert all(torch.equal(x, found[name]) for name, x in expected.items())
    assert file.read_bytes() == whole
    load_engine(folder, make_dear=False).variant("halves")


def test_two_processes_at_a_time_write_one_whole_file(home: Path, tmp_path: Path) -> None:
    folder = tiny_vision_suite(tmp_path / "suite")
    words = [sys.executable, "-m", "semerge", "merge", "--suite", str(folder), "--method", DOGE]
    running = [subprocess.Popen(words, stdout=subprocess.PIPE) for _ in range(2)]
    said = [process.communicate()[0] for process in running]
    assert [process.returncode for process in running] == [0, 0]
    assert said == [b"DOGE-TA (steps 3) of Tiny is made, and kept for later\n"] * 2
    assert [file.suffix for file in home.iterdir()] == [".safetensors"]
    found = load_engine(folder, make_dear=False).merge(DOGE)
    made = METHODS["doge_ta"].function(load_engine(folder).models.vectors, steps=3)
    expected = made.merge(torch.ones(3))
    assert all(torch.allclose(x, found[name], atol=1e-5) for name, x in expected.items())


def test_who_may_not_make_it_names_the_command_that_does(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tiny_text_suite(tmp_path / "a suite")
    engine = load_engine(folder, make_dear=False)
    with pytest.raises(UserError) as caught:
        answer(engine, DOGE)
    said = re.fullmatch(
        r"DOGE-TA \(steps 3\) takes long to make and is not made yet; `python -m semerge (.+)` "
        r"makes it once\.",
        str(caught.value),
    )
    assert said and cli.main(shlex.split(said[1])) == 0
    capsys.readouterr()
    assert answer(engine, DOGE) == answer(load_engine(folder), DOGE)
    assert answer(engine, "ties")["method"] == "ties"


def test_the_app_makes_none_within_a_request() -> None:
    from semerge.common import Stopwatch
    from semerge.suites import read_suite
    from semerge.ui.app import _load

    engine = _load(Stopwatch(False), read_suite("mini-text"))
    with pytest.raises(UserError, match="merge --suite mini-text --method doge_ta` makes it once"):
        engine.variant("doge_ta")


def test_the_command_line_tells_how_far_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(common, "PATIENCE", 0.0)
    folder = tiny_text_suite(tmp_path / "suite")
    told = []
    for _ in range(2):
        words = ["predict", "--suite", str(folder), "--method", DOGE, "--probe", "experts", "a cat"]
        assert cli.main(words) == 0
        told.append(capsys.readouterr().err)
    assert told == ["semerge: 0 of 4 parts of the model merged\n", ""]


def test_what_is_not_kept_needs_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tiny_text_suite(tmp_path / "suite")
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SEMERGE_CACHE", str(tmp_path / "file"))
    for name, sentence in (
        ("ties", "nothing would be written: name a file by --out FILE.safetensors."),
        (DOGE, "DOGE-TA (steps 3) can't be kept on this disk."),
    ):
        assert cli.main(["merge", "--suite", str(folder), "--method", name]) == 2
        assert capsys.readouterr().err == f"semerge: {sentence}\n"


# ---- room ----------------------------------------------------------------------------------------

NUMBERS = torch.arange(250.0)  # 1,000 bytes
SHAPES = {"x": (250,)}


def used(home: Path, key: str, when: float) -> None:
    os.utime(home / f"{key}.safetensors", (when, when))


def test_the_longest_unused_makes_room(home: Path) -> None:
    size = 1_200  # a file: its header, and its numbers
    for age, key in enumerate("abc"):
        assert cache.keep("variants", key, {"x": NUMBERS}, 4 * size)
        used(home, key, 100.0 + age)
    found = cache.find("variants", "a", SHAPES)  # and so the last used
    assert found is not None and torch.equal(found["x"], NUMBERS)
    assert cache.keep("variants", "d", {"x": NUMBERS}, 3 * size)
    there = sorted(file.stem for file in home.iterdir())
    assert there == ["a", "c", "d"]
    assert sum(file.stat().st_size for file in home.iterdir()) <= 3 * size
    assert cache.find("variants", "b", SHAPES) is None


def test_what_has_no_room_at_all_is_told(home: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert cache.keep("variants", "a", {"x": NUMBERS}, 2_000)
    with caplog.at_level(logging.WARNING):
        assert not cache.keep("variants", "b", {"x": torch.zeros(1000)}, 2_000)
    assert "more than are kept" in caplog.text
    assert [file.stem for file in home.iterdir()] == ["a"]


def test_what_a_killed_process_left_goes_after_a_day(home: Path) -> None:
    for name, age in (("old", 2 * cache.DAY), ("new", 60)):
        unfinished = home / f".unfinished-{name}"
        unfinished.mkdir(parents=True)
        (unfinished / "half").write_text("half")
        os.utime(unfinished, (time.time() - age,) * 2)
    cache.keep("variants", "a", {"x": NUMBERS}, 2_000)
    assert sorted(file.name for file in home.iterdir()) == [".unfinished-new", "a.safetensors"]


def test_other_shapes_are_no_hit(home: Path) -> None:
    cache.keep("variants", "a", {"x": NUMBERS})
    assert cache.find("variants", "a", {"x": (125, 2)}, {"y": (250,)}) is None
    assert cache.find("variants", "a", {"y": (250,)}, SHAPES) is not None
