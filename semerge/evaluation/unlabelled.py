"""A user's own samples without labels, under the limits of an upload.

    images     a folder, with folders in it or not, or a zip archive
    sentences  a text file with one on each line, or CSV or JSONL: text, optional text_b

Whatever these say of classes, by a folder's name or a column, is not read.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from semerge.errors import UserError
from semerge.evaluation.archives import JUNK, MAX_FILES, read_archive
from semerge.evaluation.data import LabelledSet, balanced_rows
from semerge.evaluation.pictures import Pictures
from semerge.evaluation.tabular import Record, read_lines, read_records
from semerge.inputs import clean_text, decode_image
from semerge.suites import Suite

UNLABELLED = "unlabelled"
"""The split that such samples are said to be of."""
TABLES = (".csv", ".tsv", ".jsonl")
"""How files are called that name their columns; any other one has a sentence on each line."""


def unlabelled_set(
    suite: Suite, place: str | Path, limit: int | None = None, seed: int = 0
) -> LabelledSet:
    """The samples at `place`, every one checked as a single request is.

    The set says the suite's first task and label 0 of all of them, which means nothing: batches
    and distances ask for neither. limit: at most so many samples, seeded.

    Raises:
        UserError: there is nothing there, it does not fit the suite, or it breaks a limit.
    """
    if limit is not None and limit < 1:
        raise UserError("The limit must be 1 or more samples.")
    path = Path(place)
    try:
        folder, file = path.is_dir(), path.is_file()
    except OSError as error:  # too long a name, or no right to look
        raise UserError(f"{place} can't be read: {error.strerror}.") from None
    if not folder and not file:
        raise UserError(f"There is no file or folder {place}.")
    if suite.modality == "image":
        return _pictures(suite, _in_folder(path) if folder else _in_archive(path), limit, seed)
    if folder:
        raise UserError(
            f"Suite {suite.name} reads text: name a text file with one sentence on each line, or "
            "a .csv or .jsonl file with a column text."
        )
    table = path.suffix.lower() in TABLES
    records = read_records(path, labelled=False) if table else read_lines(path)
    return _sentences(suite, records, limit, seed)


def _pictures(
    suite: Suite, files: Sequence[tuple[str, Path | bytes]], limit: int | None, seed: int
) -> LabelledSet:
    rows = _rows(len(files), limit, seed)
    for i in rows:
        name, file = files[i]
        try:
            decode_image(file)
        except UserError as error:
            raise UserError(f"{name!r}: {error}") from None
    whole = Pictures(tuple(file for _, file in files))
    names = tuple(files[i][0] for i in rows)
    return replace(_empty(suite, len(rows)), files=whole.take(rows), names=names)


def _sentences(
    suite: Suite, records: Sequence[Record], limit: int | None, seed: int
) -> LabelledSet:
    rows = _rows(len(records), limit, seed)
    clean = []
    for i in rows:
        try:
            clean.append(clean_text(records[i].text, records[i].text_b))
        except UserError as error:
            raise UserError(f"{records[i].where}: {error}") from None
    return replace(
        _empty(suite, len(rows)),
        texts=tuple(c.text for c in clean),
        texts_b=tuple(c.text_b for c in clean),
        names=tuple(records[i].where for i in rows),
    )


def _rows(count: int, limit: int | None, seed: int) -> np.ndarray:
    nothing = np.zeros(count, dtype=np.int64)  # labels, of which there are none to balance
    return balanced_rows(nothing, count if limit is None else limit, seed)


def _empty(suite: Suite, count: int) -> LabelledSet:
    first = suite.tasks[0]
    return LabelledSet(first.name, UNLABELLED, first.classes, np.zeros(count, dtype=np.int64))


def _in_archive(path: Path) -> list[tuple[str, Path | bytes]]:
    if path.suffix.lower() != ".zip":
        raise UserError(
            f"{path} is neither a folder nor a .zip file; put the images into one of these."
        )
    return [(str(name), data) for name, data in read_archive(path)]


def _in_folder(folder: Path) -> list[tuple[str, Path | bytes]]:
    found: list[tuple[str, Path | bytes]] = []
    try:
        for path in _files(folder):
            if len(found) == MAX_FILES:
                raise UserError(f"{folder} holds too many files; the limit is {MAX_FILES:,}.")
            found.append((str(path.relative_to(folder)), path))
    except OSError as error:
        raise UserError(f"{folder} can't be read: {error.strerror}.") from None
    if not found:
        raise UserError(f"{folder} holds no images.")
    return found


def _files(folder: Path) -> Iterator[Path]:
    """Every file below a folder in the order of names; what desktops leave behind is passed over,
    and links to folders are not followed."""

    def fail(error: OSError) -> None:
        raise error

    for root, folders, names in os.walk(folder, onerror=fail):
        folders[:] = sorted(name for name in folders if name not in JUNK)
        yield from (Path(root, name) for name in sorted(names) if name not in JUNK)
