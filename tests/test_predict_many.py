"""predict of many inputs: each row is what a command for that one prints."""

from __future__ import annotations

import csv
import io
import json
import signal
import zipfile
from pathlib import Path
from typing import Any

import pytest
from image_files import encoded, picture
from PIL import Image
from tiny import tiny_text_suite, tiny_vision_suite

from semerge import cli
from semerge.data.sets import unlabelled_sets
from semerge.engine import Engine
from semerge.suites import read_suite


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_text_suite(tmp_path_factory.mktemp("text"))


@pytest.fixture(scope="module")
def vision(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_vision_suite(tmp_path_factory.mktemp("vision"))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder with three pictures, one of them damaged, and what is none."""
    folder = tmp_path / "photos"
    (folder / "b").mkdir(parents=True)
    (folder / "a.png").write_bytes(encoded(picture()))
    (folder / "b" / "c.jpg").write_bytes(encoded(picture().rotate(90), "JPEG"))
    (folder / "cut.png").write_bytes(encoded(picture())[:200])
    (folder / "notes.txt").write_text("none")
    return folder


def run(capsys: pytest.CaptureFixture[str], suite: Path, *argv: object, code: int = 0) -> str:
    assert cli.main(["predict", "--suite", str(suite), *map(str, argv)]) == code
    captured = capsys.readouterr()
    return captured.err if code == 2 else captured.out


def alone(capsys: pytest.CaptureFixture[str], suite: Path, *argv: object) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run(capsys, suite, *argv, "--json"))
    return {key: value for key, value in found.items() if key != "timings_ms"}


def table(content: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content, newline="")))


def check(row: dict[str, str], one: dict[str, Any]) -> None:
    """A row of the table has what the JSON of its input has."""
    for kind, answers in one["predictions"].items():
        assert row[kind] == answers[0]["label"]
        assert float(row[f"{kind}_score"]) == pytest.approx(answers[0]["score"], rel=1e-4)
    for name in ("chosen", "layer", "pool", "head", "weights_sha256", "version", "suite"):
        assert row[name] == str(one[name])
    assert float(row["margin"]) == pytest.approx(one["margin"], rel=1e-4)
    assert row["notices"] == " ".join(one["notices"])


def test_pictures_files_folders_and_archives(
    vision: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    packed = tmp_path / "more.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        archive.write(photos / "a.png", "x/a.png")
    other = tmp_path / "own.png"
    picture("CMYK").convert("RGB").save(other)
    asked = [photos, packed, other]
    assert "'cut.png': This image file is incomplete" in run(capsys, vision, *asked, code=2)
    out = tmp_path / "rows.csv"
    words = [*asked, "--skip-damaged", "--csv", out, "--layer", "1"]
    assert cli.main(["predict", "--suite", str(vision), *map(str, words)]) == 0
    captured = capsys.readouterr()
    assert "1 file passed over, as no picture: 'notes.txt'" in captured.err
    assert "1 file skipped, as no readable picture: 'cut.png'" in captured.err
    data = out.read_bytes()
    assert data.startswith(b"\xef\xbb\xbf")
    rows = table(data.decode("utf-8-sig"))
    names = [f"{photos}/a.png", f"{photos}/b/c.jpg", f"{packed}/x/a.png", str(other)]
    assert [row["input"] for row in rows] == names
    files = (photos / "a.png", photos / "b" / "c.jpg", photos / "a.png", other)
    for row, file in zip(rows, files, strict=True):
        check(row, alone(capsys, vision, file, "--layer", "1"))
        assert row["text"] == ""
    head, *lines = captured.out.splitlines()
    assert head.split() == ["input", "chosen", "margin", "SE", "score", "static", "score"]
    assert len(lines) == 4 and all(
        row["chosen"] in line for row, line in zip(rows, lines, strict=True)
    )


def test_sentences_and_files_of_them(
    text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "own.csv"
    file.write_text('text,text_b,label\n"A cat, here.",Really?,5\n=1+1,,\n', encoding="utf-8")
    lines = tmp_path / "own.txt"
    lines.write_text("A cat.\n\nA dog.\n", encoding="utf-8")
    found = json.loads(run(capsys, text, "The sun is out.", file, lines, "--json"))
    wanted = [
        "The sun is out.",
        f"{file}: line 2",
        f"{file}: line 3",
        f"{lines}: line 1",
        f"{lines}: line 3",
    ]
    assert [one.pop("input") for one in found] == wanted
    singles = [
        ("The sun is out.",),
        ("A cat, here.", "--text-b", "Really?"),
        ("=1+1",),
        ("A cat.",),
        ("A dog.",),
    ]
    for one, words in zip(found, singles, strict=True):
        one.pop("timings_ms")
        assert one == alone(capsys, text, *words)
    rows = table(run(capsys, text, file, "--csv", "-"))
    assert [row["input"] for row in rows] == ["line 2", "line 3"]
    assert [row["text"] for row in rows] == ["A cat, here.", "'=1+1"]
    for row, words in zip(rows, singles[1:3], strict=True):
        check(row, alone(capsys, text, *words))
    # the table is a file of sentences again
    run(capsys, text, file, "--csv", tmp_path / "rows.csv")
    again = unlabelled_sets(read_suite(text), tmp_path / "rows.csv")[0]
    assert again.texts == ("A cat, here.", "=1+1") and again.texts_b == ("Really?", None)


def test_one_input_stays_one(
    text: Path, vision: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(capsys, text, "see own.csv, please").startswith("nearest expert at")
    (row,) = table(run(capsys, text, "A cat.", "--text-b", "B", "--csv", "-"))
    assert (row["input"], row["text"], row["text_b"]) == ("A cat.", "A cat.", "B")
    (tmp_path / "one.txt").write_text("A cat.\n")
    assert len(json.loads(run(capsys, text, tmp_path / "one.txt", "--json"))) == 1
    Image.new("RGB", (9, 9)).save(tmp_path / "a.png")
    assert isinstance(json.loads(run(capsys, vision, tmp_path / "a.png", "--json")), dict)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["A cat.", "A dog.", "--text-b", "B"], "--text-b goes with one sentence"),
        (["nowhere.csv"], "There is no file 'nowhere.csv'."),
        (["A cat.", " "], "' ': Type a sentence."),
        (["A cat.", "A dog.", "--json", "--csv", "-"], "both want stdout"),
        (["A cat.", "A dog.", "--csv", "/proc/none/rows.csv"], "can't be written."),
        (["empty.txt"], "This file is empty."),
    ],
)
def test_what_is_refused_is_so_before_any_weight_is_read(
    text: Path,
    words: list[str],
    sentence: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty.txt").write_text("")
    monkeypatch.setattr("semerge.engine.load_engine", None)
    told = run(capsys, text, *words, code=2)
    assert sentence in told and told.count("\n") == 1


def test_ctrl_c_keeps_what_is_done(
    text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    predict, asked = Engine.predict, []

    def stopped(self: Engine, *args: Any, **options: Any) -> Any:
        asked.append(1)
        if len(asked) == 2:
            signal.raise_signal(signal.SIGINT)
        return predict(self, *args, **options)

    monkeypatch.setattr(Engine, "predict", stopped)
    out = tmp_path / "rows.csv"
    argv = ["predict", "--suite", str(text), "one", "two", "three", "four", "--csv", str(out)]
    assert cli.main(argv) == 130
    rows = table(out.read_text(encoding="utf-8-sig"))
    assert [row["input"] for row in rows] == ["one", "two"]
    assert "stopped by Ctrl+C; 2 inputs are left." in capsys.readouterr().err
