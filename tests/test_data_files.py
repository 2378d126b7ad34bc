"""Files of a data folder that are damaged or not in the format: each one sentence, naming file and
fault."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from semerge.common import UserError
from semerge.data import files as set_files
from semerge.data.labelled import cut, read_set, tasks_in

X = np.arange(4 * 8 * 9, dtype=np.uint8).reshape(4, 8, 9)
Y = np.array([0, 1, 2, 0])
ROWS: list[Any] = [{"text": f"Satz {i} ü", "label": i} for i in range(3)]


@pytest.fixture
def task(tmp_path: Path) -> Path:
    """The folder of a task `t` with three classes."""
    folder = tmp_path / "t"
    folder.mkdir()
    (folder / "classes.json").write_text('["ant", "bee", "cat"]')
    return folder


def refused(task: Path, split: str = "test") -> str:
    """The sentence, without the folder."""
    with pytest.raises(UserError) as caught:
        read_set(task.parent, "t", split)
    sentence = str(caught.value)
    assert sentence.endswith(".") and "\n" not in sentence and len(sentence) < 300
    return sentence.replace(f"{task}/", "")


def packed(path: Path, method: int = zipfile.ZIP_DEFLATED, **arrays: np.ndarray) -> Path:
    """An .npz file, packed by any method of zip."""
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, array in arrays.items():
            file = io.BytesIO()
            np.save(file, array)
            archive.writestr(f"{name}.npy", file.getvalue())
    return path


def lines(task: Path, *rows: Any) -> None:
    """A file of sentences; a row is an object, or the line as it is."""
    texts = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    (task / "test.jsonl.gz").write_bytes(gzip.compress("\n".join(texts).encode()))


# ---- images -------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA])
def test_images_are_read_as_numpy_reads_them(task: Path, method: int) -> None:
    by_columns = np.asfortranarray(np.stack([X, X, 255 - X], axis=3))
    path = packed(task / "test.npz", method, x=by_columns, y=Y.astype(">u2"))
    found = read_set(task.parent, "t", "test")
    with np.load(path) as arrays:
        assert np.array_equal(found.images, arrays["x"]) and found.labels.tolist() == [0, 1, 2, 0]
    assert found.images is not None and found.images.flags.writeable
    assert found.labels.dtype == np.int64


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        ({"x": X}, "has no array y; x holds the images and y the labels."),
        ({"x": X / 255, "y": Y}, "x must hold uint8, not float64."),
        ({"x": X.astype(np.int8), "y": Y}, "x must hold uint8, not int8."),
        ({"x": X, "y": Y / 1}, "y must hold whole numbers, not float64."),
        ({"x": X, "y": Y > 0}, "y must hold whole numbers, not bool."),
        ({"x": X, "y": np.array(["ant"] * 4)}, "y must hold whole numbers, not str96."),
        ({"x": X[0], "y": Y}, "x must be (N, H, W) or (N, H, W, 3), not (8, 9)."),
        (
            {"x": np.stack([X] * 4, axis=3), "y": Y},
            "x must be (N, H, W) or (N, H, W, 3), not (4, 8, 9, 4).",
        ),
        ({"x": X, "y": Y[:, None]}, "y must be (N,), not (4, 1)."),
        ({"x": X, "y": Y[:3]}, "has 4 images and 3 labels."),
        ({"x": X[:0], "y": Y[:0]}, "holds no samples: x is (0, 8, 9)."),
        ({"x": X[:, :0], "y": Y}, "holds no samples: x is (4, 0, 9)."),
        ({"x": X, "y": Y + 1}, "sample 2 has the label 3; labels must be 0 to 2."),
        ({"x": X, "y": Y - 1}, "sample 0 has the label -1; labels must be 0 to 2."),
        (
            {"x": X, "y": np.array([0, 0, 0, 2**64 - 1], dtype=np.uint64)},
            "sample 3 has the label so large a number; labels must be 0 to 2.",
        ),
    ],
)
def test_arrays_that_are_refused(task: Path, arrays: dict[str, Any], sentence: str) -> None:
    np.savez(task / "test.npz", **arrays)
    colon = " " if sentence.startswith("h") else ": "
    assert refused(task) == f"test.npz{colon}{sentence}"


class Trap:
    """Would make a file where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return Path.touch, (self.mark,)


def test_pickles_are_never_opened(task: Path) -> None:
    mark = task / "opened"
    np.savez(task / "test.npz", x=X, y=np.array([Trap(mark)] * 4, dtype=object))
    assert refused(task) == "test.npz: y must hold whole numbers, not object."
    np.savez(task / "test.npz", x=np.array([Trap(mark)] * 4, dtype=object), y=Y)
    assert refused(task) == "test.npz: x must hold uint8, not object." and not mark.exists()


def test_damaged_archives(task: Path) -> None:
    path = packed(task / "test.npz", zipfile.ZIP_STORED, x=X, y=Y)
    whole = path.read_bytes()
    again = "; make it once more."
    said = "test.npz is damaged or can't be read"
    path.write_bytes(whole[: len(whole) // 2])
    assert refused(task) == f"{said} (File is not a zip file){again}"
    at = whole.index(X[0].tobytes())
    path.write_bytes(whole[:at] + b"!" + whole[at + 1 :])
    assert refused(task) == f"{said} (Bad CRC-32 for file 'x.npy'){again}"
    path.write_bytes(whole.replace(b"NUMPY\x01", b"NUMPY\x09"))
    assert refused(task).startswith(said)
    path.write_bytes(b"")
    assert refused(task) == f"{said} (File is not a zip file){again}"
    packed(path, zipfile.ZIP_BZIP2, x=X, y=Y)
    odd = "test.npz is encrypted or packed in an unusual way; use numpy.savez."
    assert refused(task) == odd
    at = whole.index(b"PK\x01\x02")  # the directory's entry; its flags are 8 bytes on
    path.write_bytes(whole[: at + 8] + b"\x01" + whole[at + 9 :])
    assert refused(task) == odd


def test_sizes_are_checked_before_anything_is_unpacked(
    task: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    zeros = np.zeros((1000, 32, 32), dtype=np.uint8)
    packed(task / "test.npz", x=zeros, y=np.zeros(1000, dtype=np.int64))
    monkeypatch.setattr(set_files, "available", lambda: 2_000_000)
    monkeypatch.setattr(set_files, "_numbers", None)  # nothing may be unpacked
    said = "test.npz has 1.0 MB when unpacked; there is room for 1.0 MB."
    assert refused(task) == said
    monkeypatch.setattr(set_files, "available", lambda: None)
    monkeypatch.setattr(set_files, "UNKNOWN_ROOM", 1_000_000)
    assert refused(task) == said


def test_an_array_that_says_less_or_more_than_it_is(task: Path) -> None:
    for rows in (3, 5):
        packed(task / "test.npz", x=X, y=Y)
        with zipfile.ZipFile(task / "test.npz") as archive:
            files = {name: archive.read(name) for name in archive.namelist()}
        with zipfile.ZipFile(task / "test.npz", "w") as archive:
            for name, content in files.items():
                archive.writestr(name, content.replace(b"(4,", f"({rows},".encode()))
        assert refused(task) == (
            "test.npz is damaged or can't be read (x has not the size that it says); make it once "
            "more."
        )


# ---- sentences ----------------------------------------------------------------------------------


def test_empty_lines_and_a_byte_order_mark_are_passed_over(task: Path) -> None:
    lines(task, "\ufeff" + json.dumps(ROWS[0]), "", ROWS[1] | {"text_b": "zwei"}, " ", ROWS[2], "")
    found = read_set(task.parent, "t", "test")
    assert found.texts == ("Satz 0 ü", "Satz 1 ü", "Satz 2 ü")
    assert found.texts_b == (None, "zwei", None) and found.labels.tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ('{"text": "a"', " is no JSON object."),
        ("[1]", " is no JSON object."),
        ("[" * 100_000, " is no JSON object."),
        ({"text": "a"}, ": label must be a whole number, the place in classes.json."),
        ({"text": "a", "label": "1"}, ": label must be a whole number, the place in classes.json."),
        ({"text": "a", "label": 1.0}, ": label must be a whole number, the place in classes.json."),
        (
            {"text": "a", "label": True},
            ": label must be a whole number, the place in classes.json.",
        ),
        ({"text": "a", "label": 3}, " has the label 3; labels must be 0 to 2."),
        ({"text": "a", "label": -1}, " has the label -1; labels must be 0 to 2."),
        (
            {"text": "a", "label": 10**30},
            " has the label so large a number; labels must be 0 to 2.",
        ),
        ({"label": 0}, " has no text."),
        ({"text": "", "label": 0}, " has no text."),
        ({"text": ["a"], "label": 0}, ": text must be text."),
        ({"text": "a", "text_b": 1, "label": 0}, ": text_b must be text."),
        (
            {"text": "\ud800", "label": 0},
            ": text holds characters that are not valid Unicode.",
        ),
        ({"text": "x" * 2**18, "label": 0}, " is longer than 256 kB."),
    ],
)
def test_lines_that_are_refused(task: Path, row: Any, sentence: str) -> None:
    lines(task, ROWS[0], row, ROWS[1])
    assert refused(task) == f"test.jsonl.gz, line 2{sentence}"


def test_files_of_sentences_that_are_refused(task: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = task / "test.jsonl.gz"
    said = "test.jsonl.gz is damaged or can't be read"
    lines(task)
    assert refused(task) == "test.jsonl.gz holds no samples."
    path.write_bytes(json.dumps(ROWS[0]).encode())
    assert refused(task) == f"{said} (Not a gzipped file (b'{{\"')); make it once more."
    lines(task, *ROWS)
    whole = path.read_bytes()
    path.write_bytes(whole[:-9])
    ended = "Compressed file ended before the end-of-stream marker was reached"
    assert refused(task) == f"{said} ({ended}); make it once more."
    path.write_bytes(whole[:-8] + b"\0\0\0\0" + whole[-4:])
    assert refused(task).startswith(f"{said} (CRC check failed")
    path.write_bytes(gzip.compress(b'{"text": "na\xefve", "label": 0}'))
    assert refused(task) == "test.jsonl.gz, line 1 is not UTF-8 text."
    monkeypatch.setattr(set_files, "MAX_TEXT", 2**20)
    path.write_bytes(gzip.compress(b"\n" * 2**21))
    assert refused(task) == "test.jsonl.gz is larger than the limit of 1 MB when unpacked."


# ---- classes.json and the folder ----------------------------------------------------------------


@pytest.mark.parametrize(
    "content", ['{"ant": 0}', "[]", '["ant", 1]', '["ant", ""]', "null", '"ant"']
)
def test_class_names_must_be_a_list(task: Path, content: str) -> None:
    (task / "classes.json").write_text(content)
    said = 'classes.json must hold one list of class names, such as ["cat", "dog"].'
    assert refused(task) == said


def test_damaged_class_names(task: Path) -> None:
    path = task / "classes.json"
    said = "classes.json is damaged or can't be read"
    for content, why in (
        (b'["ant", ', "Expecting value: line 1 column 9 (char 8)"),
        (b'["\xff"]', "'utf-8' codec can't decode byte 0xff in position 2: invalid start byte"),
    ):
        path.write_bytes(content)
        assert refused(task) == f"{said} ({why}); make it once more."
    path.write_bytes(b"[" * 100_000)
    assert refused(task).startswith(f"{said} (maximum recursion depth")
    path.write_bytes(b" " * (2**20 + 1))
    assert refused(task) == "classes.json is larger than the limit of 1 MB."
    path.write_text('["\\ud800"]')
    assert refused(task) == (
        "classes.json: a class name holds characters that are not valid Unicode."
    )
    path.unlink()
    assert refused(task) == "classes.json is missing; it names the classes in label order."


def test_folders_that_are_refused(task: Path, tmp_path: Path) -> None:
    folder = str(task.parent)
    with pytest.raises(UserError, match=f"^There is no folder {folder}/u.$"):
        read_set(tmp_path, "u", "test")
    assert refused(task) == f"{task} has neither test.npz nor test.jsonl.gz."
    (task / "test.npz").mkdir()
    assert refused(task) == f"{task} has neither test.npz nor test.jsonl.gz."
    with pytest.raises(UserError, match=r"can't be read: File name too long\.$"):
        tasks_in(tmp_path / ("x" * 300))


def test_too_few_samples_for_a_validation_split(task: Path) -> None:
    np.savez(task / "train.npz", x=X, y=Y)
    assert len(read_set(task.parent, "t", "train")) == 4
    assert refused(task, "validation") == (
        "t has too few training samples to cut validation from: 4."
    )
    whole = read_set(task.parent, "t", "train")
    with pytest.raises(UserError, match="too few"):
        cut(whole, "validation")
