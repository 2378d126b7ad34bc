"""What a file is that is none of those wanted, told from its bytes: people have a link's page, a
pointer or another program's format where they believe to have the file, and a reader of the wanted
format would tell them of a damaged one.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

START, END = 4096, 1 << 18  # bytes; an archive's table of contents is at its end
PAGE = "a web page, which the link of a page gives; download the file by its own link"
PACKED = "packed; unpack it and choose the file inside"
WEIGHTS = "weights of a model, as PyTorch saves them"
TORCHSCRIPT = "a TorchScript program; load it with torch.jit.load and save its state_dict()"
BACKSLASHES = (
    "a zip archive whose names have backslashes, so it is not as PyTorch wrote it but was packed "
    "anew; take the file as it was before"
)
ANEW = "a PyTorch file that was unpacked and packed anew; take the file as it was before"
EXCEL = "an Excel workbook; save it there as CSV UTF-8 and choose that file"
POINTER = "a pointer in place of the file itself; fetch that by"
# how a file begins, what is somewhere in what is read of it, what it is
_KINDS = (
    (b"version https://git-lfs.github.com/", b"", f"{POINTER} `git lfs pull`, or its own link"),
    (b"/annex/objects/", b"", f"{POINTER} `git annex get`"),
    (b"GGUF", b"", "a GGUF file of llama.cpp, another form of weights; take the safetensors"),
    (b"\x89HDF\r\n\x1a\n", b"", "an HDF5 file, as Keras saves weights; take the safetensors"),
    (b"PK", b"xl/workbook", EXCEL),
    (b"\xd0\xcf\x11\xe0", b"", EXCEL),
    (b"PK", b"word/document", "a Word document; save it there as plain text in UTF-8"),
    (b"PK", b"/constants.pkl", TORCHSCRIPT),
    (b"PK", b"\\data.pkl", BACKSLASHES),
    (b"PK", b"/data.pkl", WEIGHTS),
    (b"PK", b"data.pkl", ANEW),
    (b"PAR1", b"", "a Parquet file; write it as CSV or JSONL"),
    (b"ARROW1", b"", "an Arrow file; write it as CSV or JSONL"),
    (b"SQLite format 3\0", b"", "an SQLite database; write it as CSV or JSONL"),
    (b"\x93NUMPY", b"", "a NumPy array"),
    (b"%PDF-", b"", "a PDF document"),
    (b"\x89PNG\r\n\x1a\n", b"", "a picture"),
    (b"\xff\xd8\xff", b"", "a picture"),
    *((start, b"", PACKED) for start in (b"PK", b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"7z\xbc\xaf")),
    *((start, b"", PACKED) for start in (b"Rar!", b"\x28\xb5\x2f\xfd")),
)


def kind_of(data: bytes) -> str | None:
    """What a file is, as the end of a sentence "It is ...", with what to do; None where it is none
    that is known here. data: all of it, or its beginning and its end."""
    if any(_pages(data)):
        return PAGE
    matching = (what for start, inside, what in _KINDS if data.startswith(start) and inside in data)
    return next(matching, None)


def kind_of_file(path: Path) -> str | None:
    """The same of a file on this disk. Raises OSError where it can't be read."""
    with path.open("rb") as file:
        data = file.read(START)
        size = file.seek(0, 2)
        file.seek(max(len(data), size - END))
        return kind_of(data + file.read())


def reason(path: Path, error: object, *wanted: str) -> str:
    """Why a file can't be read: that it is of another kind than those wanted, or else the error."""
    try:
        what = kind_of_file(path)
    except OSError:
        what = None
    return str(error) if what is None or what in wanted else f"it is {what}"


def _pages(data: bytes) -> Iterator[bool]:
    start = data[:START].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    for tag in (b"<!doctype html", b"<html", b"<head"):
        yield start.startswith(tag)
    # a store's own way to say that there is none, or that it is not to be had
    yield start.startswith(b"<?xml") and b"<error>" in start
