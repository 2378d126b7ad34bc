"""Uploaded sentences: what is read, and what is refused with which sentence; labels and tasks."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from tiny import tiny_text_suite
from uploading import labels, refused

from semerge.cli import main
from semerge.common import UserError
from semerge.data import tabular, uploads
from semerge.data.sets import example_sets
from semerge.data.uploads import infer_task, label_index, uploaded_sets
from semerge.engine import load_engine
from semerge.evaluation.inspection import inspect
from semerge.settings import Settings
from semerge.suites import Suite, read_suite
from semerge.suites.examples import load_examples


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Suite:
    return read_suite(tiny_text_suite(tmp_path_factory.mktemp("text")))


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_csv_and_jsonl_are_the_same(text: Suite, tmp_path: Path) -> None:
    rows = [("A cat, here.", "Really?", "Cat"), ("An ant", "No", "ant"), ("Dog  x", "y", "dog")]
    for delimiter in ",;\t":
        head = delimiter.join(("label", "text", "Text_B"))
        lines = [delimiter.join((c, f'"{a}"', b)) for a, b, c in rows]
        path = write(tmp_path / "a.csv", "\ufeff" + "\r\n".join([head, *lines]) + "\r\n")
        found = uploaded_sets(text, path, name="../my.csv")
        assert labels(found) == {"task2": [2, 0, 3]} and found.data == "my.csv"
        assert found.sets[0].texts == ("A cat, here.", "An ant", "Dog x")
        assert found.sets[0].texts_b == ("Really?", "No", "y")
        assert found.sets[0].names == ("line 2", "line 3", "line 4")
    lines = [json.dumps({"text": a, "text_b": b, "label": c}) for a, b, c in rows]
    other = uploaded_sets(text, write(tmp_path / "a.jsonl", "\n\n".join(lines)))
    assert other.sets[0].sha256() == found.sets[0].sha256()


def test_a_task_a_line_and_labels_by_number(text: Suite, tmp_path: Path) -> None:
    rows = [
        {"text": "one", "label": 1, "task": "task1"},
        {"text": "two", "label": "bee", "task": "task0"},
        {"text": "three", "label": "2", "task": "task1"},
    ]
    path = write(tmp_path / "a.jsonl", "\n".join(map(json.dumps, rows)))
    assert labels(uploaded_sets(text, path)) == {"task0": [1], "task1": [1, 2]}
    rows[0]["task"] = "elsewhere"
    path = write(tmp_path / "a.jsonl", "\n".join(map(json.dumps, rows)))
    assert "task 'elsewhere' is unknown" in refused(text, path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (" \n", "is empty"),
        ("text,label\n", "no samples"),
        ("a,b\n1,2\n", "must name the columns text and label"),
        ("text,text,label\na,b,ant\n", "must name the columns"),
        ("text,label\none,two,ant\n", "line 2 has 3 cells where the first line has 2"),
        ('text,label\n"open,ant\n', "can't be read as CSV"),
        ("text,label\nhi,\n", "line 2 has no label"),
        ("text,label\n,ant\n", "line 2 has no text"),
        ("text,label\n\u200b,ant\n", "line 2: Type a sentence"),
        ("text,label\n" + "x" * 2001 + ",ant\n", "line 2: The sentence has 2,001"),
        ("text,label\nhi,emu\n", "line 2: 'emu' is no class of task0; its classes are ant, bee"),
        ("text,label\nhi,2\n", "'2' is no class of task0"),
        ("text,label\nhi\0,ant\n", "NUL"),
        (b"text,label\nna\xefve,ant\n", "not UTF-8"),
        (b"PK\x03\x04", "packed"),
        ('{"text": "a", "label": "ant"}\nno', "line 2 is no JSON object"),
        ('{"text": "a", "label": "ant"}\n[1]', "line 2 is no JSON object"),
        ('{"text": 1, "label": "ant"}', "line 1: text must be text"),
        ('{"text": "a", "label": true}', "line 1: a label is a name or a whole number, not True"),
        ('{"text": ' + "[" * 100_000, "line 1 is no JSON object"),
    ],
)
def test_sentences_that_are_refused(
    text: Suite, tmp_path: Path, content: str | bytes, words: str
) -> None:
    assert words in refused(text, write(tmp_path / "a.csv", content), "task0")


def test_limits_of_tables(text: Suite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.csv", "text,label\n" + "hi,ant\n" * 3)
    monkeypatch.setattr(uploads, "MAX_ROWS", 2)
    assert "too many samples; the limit is 2" in refused(text, path)
    monkeypatch.setattr(tabular, "MAX_TABLE", 20)
    assert "larger than the limit" in refused(text, path)
    assert "text_b is missing" in refused(text, write(path, "text,label\nhi,dog"))


def test_the_command_takes_what_is_uploaded(
    text: Suite, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [f"{label}, number {i},{label}" for i in range(3) for label in ("ant", "bee", "cat")]
    rows = "\n".join(f'"{line.rpartition(",")[0]}",{line.rpartition(",")[2]}' for line in lines)
    path = write(tmp_path / "a.csv", f"text,label\n{rows}\n")
    command = ["evaluate", "--suite", str(text.folder), "--data", str(path), "--csv", "-"]
    assert main(command) == 0
    out = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [line["id"] for line in out] == [f"line {i}" for i in range(2, 11)]
    assert [line["label"] for line in out] == ["ant", "bee", "cat"] * 3
    assert out[4]["text"] == "bee, number 1" and {line["task"] for line in out} == {"task1"}
    resolved = Settings().resolve(text)
    again = inspect(load_engine(text.folder), uploaded_sets(text, path), Settings())
    assert again.resolved == resolved
    assert [f"{row.margin:.6g}" for row in again.rows] == [line["margin"] for line in out]
    assert main([*command, "--task", "task1", "--limit", "1"]) == 0
    assert len(list(csv.DictReader(io.StringIO(capsys.readouterr().out)))) == 1
    for wrong, words in ((["--limit", "0"], "1 or more"), (["--task", "task0"], "is no class")):
        assert main([*command, *wrong]) == 2 and words in capsys.readouterr().err
    folder = ["evaluate", "--suite", str(text.folder), "--data", str(tmp_path), "--task", "task0"]
    assert main(folder) == 2 and "for a file or class folders" in capsys.readouterr().err


# ---- labels and tasks ---------------------------------------------------------------------------


def test_labels_by_name_and_by_number(text: Suite) -> None:
    task = text.task("task1")
    assert [label_index(task, x) for x in (" Bee ", "CAT", 2, "0")] == [1, 2, 2, 0]
    for wrong in ("bees", 3, "-1", "٢", ""):
        with pytest.raises(UserError, match="is no class of task1"):
            label_index(task, wrong)
    signs = replace(task, classes=("50 km/h", "stop"))
    assert [label_index(signs, x) for x in ("50 km_h", "50_km-h", "50 KM/H")] == [0, 0, 0]
    assert infer_task(text, ["cat", "dog"]).name == "task2"


def test_bundled_examples_are_a_labelled_set() -> None:
    examples = load_examples()
    for name, modality in (("mini-vision", "image"), ("mini-text", "text")):
        suite = read_suite(name)
        found = example_sets(suite, examples)
        wanted = [e for e in examples.of(modality) if e.task in suite.task_names]
        assert found.total == len(wanted) > 0
        for own in found.sets:
            for i, (label, where) in enumerate(zip(own.labels, own.names, strict=True)):
                e = examples.of(modality)[int(where.rpartition("/")[2])]
                assert (e.task, e.label) == (own.task, own.classes[label])
                assert own.visual or own.texts[i] == e.text
    with pytest.raises(UserError, match="no bundled examples"):
        example_sets(suite, load_examples(Path("nowhere")))
