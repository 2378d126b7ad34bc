"""The command line: what it prints, and one line with exit code 2 for bad input."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image
from tiny import tiny_text_suite, tiny_vision_suite

from semerge import cli, suites
from semerge.engine import load_engine
from semerge.inputs import CleanText, decode_image
from semerge.settings import Settings


@pytest.fixture(scope="module")
def vision(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_vision_suite(tmp_path_factory.mktemp("v") / "suite")


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_text_suite(tmp_path_factory.mktemp("t") / "suite")


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("i") / "image.png"
    Image.linear_gradient("L").convert("RGB").save(file)
    return file


def run(capsys: pytest.CaptureFixture[str], *argv: object) -> str:
    assert cli.main([str(word) for word in argv]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    return captured.out


def refused(capsys: pytest.CaptureFixture[str], *argv: object) -> str:
    assert cli.main([str(word) for word in argv]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("semerge: ")
    assert captured.err.count("\n") == 1
    return captured.err


def without_timings(result: dict[str, object]) -> dict[str, object]:
    return {key: value for key, value in result.items() if key != "timings_ms"}


def test_predict_json_is_the_engines_result(
    vision: Path, image: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    printed = json.loads(run(capsys, "predict", "--suite", vision, image, "--json"))
    expected = load_engine(vision).predict(decode_image(image)).to_dict()
    assert without_timings(printed) == without_timings(expected)


def test_every_option_reaches_the_engine(text: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = "--probe base --layer 1 --pool last --preset literal --head task1 --similarity negative"
    more = "--normalise zscore --temperature 0.7 --mass 1 --probe-lambda 0.2"
    argv = ["predict", "--suite", text, "A cat.", "--text-b", "A dog.", "--json"]
    printed = json.loads(run(capsys, *argv, *words.split(), *more.split()))
    settings = Settings(
        probe="base",
        layer=1,
        pool="last",
        preset="literal",
        head="task1",
        similarity="negative",
        normalise="zscore",
        temperature=0.7,
        mass="1",
        probe_lambda=0.2,
    )
    expected = load_engine(text).predict(CleanText("A cat.", "A dog."), settings).to_dict()
    assert without_timings(printed) == without_timings(expected)


def test_predict_for_people(vision: Path, image: Path, capsys: pytest.CaptureFixture[str]) -> None:
    printed = run(capsys, "predict", "--suite", vision, image, "--temperature", "0.5")
    assert "nearest expert at layer 2: Task " in printed
    assert all(f"\n{word}" in printed for word in ("Task 2", "se ", "static ", "expert ", "base "))
    assert "note: Changed from the preset sharp: temperature 0.5." in printed
    cli.main(["predict", "--suite", str(vision), str(image), "--verbose"])
    told = capsys.readouterr().err
    for stage in ("import the engine", "load the suite", "answer"):
        assert re.search(rf"^semerge: {stage}: \d+ ms$", told, re.M), stage
    printed = run(capsys, "predict", "--suite", vision, image, "--layer", "final")
    assert "nearest expert at the final embedding: Task " in printed


def test_suites(
    vision: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suites, "SUITES_FOLDER", vision.parent)
    assert "tiny-vision  image, 3 tasks" in run(capsys, "suites")
    (row,) = json.loads(run(capsys, "suites", "--json"))
    assert row["tasks"] == ["task0", "task1", "task2"]
    assert row["defaults"]["static_lambda"] == 0.3
    monkeypatch.setattr(suites, "SUITES_FOLDER", vision / "nowhere")
    assert run(capsys, "suites", "--json") == "[]\n"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--probe", "oracle"], "probe"),
        (["--layer", "9"], "1 to 2 and final"),
        (["--layer", "final", "--pool", "cls"], "no tokens to pool"),
        (["--pool", "last"], "all, cls, mean"),
        (["--preset", "soft"], "--preset"),
        (["--head", "task9"], "valid are auto, task0"),
        (["--method", "none"], "the nearest of"),
        (["--temperature", "warm"], "--temperature"),
        (["--temperature", "0"], "above 0"),
        (["--probe-lambda", "nan"], "finite"),
        (["--mass", "3"], "--mass"),
        (["--text-b", "x"], "--text-b belongs to text"),
        (["--nonsense"], "--nonsense"),
        (["--pre", "hard"], "--pre"),
        (["--head", "two\nlines"], "unknown"),
    ],
)
def test_bad_options_are_refused(
    options: list[str], words: str, vision: Path, image: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert words in refused(capsys, "predict", "--suite", vision, image, *options)


def test_bad_input_is_refused(
    vision: Path, text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fake = tmp_path / "fake.png"
    fake.write_text("not an image", encoding="utf-8")
    refused(capsys, "predict", "--suite", vision, fake)
    refused(capsys, "predict", "--suite", vision, tmp_path / "absent.png")
    refused(capsys, "predict", "--suite", text, "")
    assert "none-such" in refused(capsys, "predict", "--suite", "none-such", "x")
    refused(capsys, "predict", "--suite", text)
    refused(capsys)
    refused(capsys, "conquer")
    refused(capsys, "evaluate", "--suite", text, "--data", "x", "--limit", "many")


def test_other_commands_are_imported_when_they_are_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: dict[str, dict[str, object]] = {}

    def fake(name: str) -> SimpleNamespace:
        return SimpleNamespace(run=lambda args: seen.update({name: vars(args)}))

    monkeypatch.setattr(cli.importlib, "import_module", fake)
    overrides = "--probe-lambda 0.1 --similarity negative --normalise sum --temperature 2 --mass 1"
    options = (
        "--suite s --data d --split val --limit 5 --seed 3 --methods a,b --probe all --pool all "
        f"--layer all --preset all --json - --csv f --fallback static --quantise 9 {overrides}"
    )
    run(capsys, "evaluate", *options.split())
    run(capsys, "bench", "--suite", "s", "--data", "d", "--limit", "9", "--quick")
    assert list(seen) == ["semerge.evaluation.command", "semerge.bench.command"]
    assert seen["semerge.bench.command"] == {
        "command": "bench",
        "suite": "s",
        "data": "d",
        "split": "test",
        "limit": 9,
        "rounds": None,
        "quick": True,
        "methods": None,
        "json": False,
        "write": None,
    }
    assert seen["semerge.evaluation.command"] == {
        "command": "evaluate",
        "suite": "s",
        "data": "d",
        "split": "val",
        "limit": 5,
        "seed": 3,
        "skip_damaged": False,
        "methods": "a,b",
        "probe": "all",
        "pool": "all",
        "layer": "all",
        "preset": "all",
        "json": "-",
        "csv": "f",
        "probe_lambda": 0.1,
        "similarity": "negative",
        "normalise": "sum",
        "temperature": 2.0,
        "mass": "1",
        "fallback": "static",
        "quantise": 9,
        "task": None,
        "tune": None,
        "disentanglement": None,
        "diagnose": None,
    }


def test_as_a_program(vision: Path, image: Path) -> None:
    argv = [sys.executable, "-m", "semerge", "predict", "--suite", str(vision), str(image)]
    good = subprocess.run([*argv, "--json"], capture_output=True, text=True, check=False)
    assert (good.returncode, good.stderr) == (0, "")
    assert json.loads(good.stdout)["suite"] == "tiny-vision"
    bad = subprocess.run([*argv, "--layer", "x"], capture_output=True, text=True, check=False)
    assert (bad.returncode, bad.stdout) == (2, "")
    assert bad.stderr == "semerge: layer 'x' is unknown; valid are 1 to 2 and final.\n"


@pytest.mark.parametrize("number", ["-1", "1e3", "9" * 5000])
def test_a_number_out_of_its_range_is_one_short_line(
    number: str, text: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    commands = (
        ("evaluate", "--data", "x", "--seed"),
        ("evaluate", "--data", "x", "--limit"),
        ("choose", "x", "--seed"),
        ("bench", "--rounds"),
    )
    for command, *options in commands:
        told = refused(capsys, command, "--suite", text, *options, number)
        assert f"{options[-1]}: must be a whole number" in told and len(told) < 200


def program(output: int, *argv: str, **environment: str) -> tuple[int, str]:
    """The exit code of a command that writes there, and its stderr."""
    words = [sys.executable, "-m", "semerge", *argv]
    ended = subprocess.run(
        words, stdout=output, stderr=subprocess.PIPE, env=os.environ | environment, check=False
    )
    return ended.returncode, ended.stderr.decode()


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("argv", [("suites",), ("suites", "--json")])
def test_whoever_reads_may_have_enough(argv: tuple[str, ...], unbuffered: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    code, told = program(writer, *argv, PYTHONUNBUFFERED=unbuffered)
    os.close(writer)
    assert (code, told) == (cli.CLOSED, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_output_is_one_line(unbuffered: str) -> None:
    with Path("/dev/full").open("wb") as full:
        code, told = program(full.fileno(), "suites", PYTHONUNBUFFERED=unbuffered)
    assert (code, told) == (2, "semerge: the output can't be written: No space left on device.\n")


def test_an_output_without_a_letter_has_it_escaped(text: Path) -> None:
    argv = [sys.executable, "-m", "semerge", "predict", "--suite", str(text), "λ", "--mass", "1"]
    narrow = os.environ | {"PYTHONIOENCODING": "ascii"}
    for option in ([], ["--help"], ["--json"]):
        ended = subprocess.run([*argv, *option], capture_output=True, env=narrow, check=False)
        assert (ended.returncode, ended.stderr) == (0, b"")
        if option == ["--help"]:
            assert b"\\u03bb of the merged model" in ended.stdout
    assert "T·λ" not in json.loads(ended.stdout)["notices"]  # JSON's own escapes: it is read
