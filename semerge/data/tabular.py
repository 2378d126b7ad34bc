"""Sentences from CSV, JSONL or plain text of a stranger's making, with labels or without."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from semerge.common import UserError, reading

MAX_TABLE = 10 * 2**20
"""Bytes of a file."""
MAX_ROWS = 5_000
DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab"}


@dataclass(frozen=True)
class Record:
    """One line, as it was read, or one picture. `where` names it in messages and in the table of
    an inspection. label: "" where none was asked for. task: None where none is named."""

    where: str
    label: str | int
    text: str = ""
    text_b: str | None = None
    task: str | None = None
    file: bytes = b""


def read_records(path: Path, labelled: bool = True) -> list[Record]:
    """Every line of a CSV file with a header, or of a JSONL file; what it is, its content says.
    labelled: whether each line must have a label; else none is read. Raises UserError where it is
    too long, not UTF-8, or a line is not as it should be; one sentence."""
    text = _decoded(path)
    read = _json_lines if text.lstrip()[:1] == "{" else _csv_rows
    return _limited(read(text, labelled))


def read_lines(path: Path) -> list[Record]:
    """Every line of a text file as a sentence without a label; empty ones are passed over. Raises
    UserError where it is too long, or no text file; one sentence."""
    lines = enumerate(io.StringIO(_decoded(path)), start=1)
    return _limited(Record(f"line {i}", "", line.strip()) for i, line in lines if line.strip())


def _limited(records: Iterator[Record]) -> list[Record]:
    found = list(islice(records, MAX_ROWS + 1))
    if len(found) > MAX_ROWS:
        raise UserError(f"This file has too many samples; the limit is {MAX_ROWS:,}.")
    if not found:
        raise UserError("This file holds no samples.")
    return found


def _decoded(path: Path) -> str:
    with reading("The upload"), path.open("rb") as file:
        data = file.read(MAX_TABLE + 1)
    if len(data) > MAX_TABLE:
        raise UserError(f"This file is larger than the limit of {MAX_TABLE // 2**20} MB.")
    if data[:2] == b"PK" or data[:2] == b"\x1f\x8b":
        raise UserError("This file is packed; unpack it and upload the CSV or JSONL inside.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UserError("This file is not UTF-8 text; save it as CSV in UTF-8.") from None
    if "\0" in text:
        raise UserError("This file holds NUL characters, so it is no text file.")
    if not text.strip():
        raise UserError("This file is empty.")
    return text


def _json_lines(text: str, labelled: bool) -> Iterator[Record]:
    for number, line in enumerate(io.StringIO(text), start=1):
        if line.strip():
            yield _record(number, json_object(line, f"line {number}"), labelled)


def json_object(text: str, where: str) -> dict[str, Any]:
    """The JSON object that a line is. Raises UserError where it is none; `where` names the line."""
    try:
        row = json.loads(text)
    except (ValueError, RecursionError):
        row = None
    if not isinstance(row, dict):
        raise UserError(f"{where} is no JSON object.")
    return row


def _csv_rows(text: str, labelled: bool) -> Iterator[Record]:
    head = text.partition("\n")[0].lower()
    delimiter = max(DELIMITERS, key=head.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        names = [name.strip().lower() for name in next(reader, [])]
        needed = ("text", "label") if labelled else ("text",)
        if any(names.count(name) != 1 for name in needed):
            raise UserError(
                "The first line must name the columns text and label, and may name text_b and task."
                if labelled
                else "The first line must name the column text, and may name text_b."
            )
        for cells in reader:
            if not cells:
                continue
            if len(cells) != len(names):
                raise UserError(
                    f"line {reader.line_num} has {len(cells)} cells where the first line has "
                    f"{len(names)}; put texts with a {DELIMITERS[delimiter]} in quotes."
                )
            row = dict(zip(names, cells, strict=True))
            given = {k: v for k, v in row.items() if v != ""}
            yield _record(reader.line_num, given, labelled)
    except csv.Error as error:
        raise UserError(f"line {reader.line_num} can't be read as CSV: {error}.") from None


def _record(number: int, row: dict[str, Any], labelled: bool) -> Record:
    where = f"line {number}"
    label = row.get("label")
    if not labelled:
        label = ""
    elif isinstance(label, bool) or not isinstance(label, str | int) or label == "":
        raise UserError(f"{where} has no label; give a class name.")
    for name in ("text", "text_b", "task") if labelled else ("text", "text_b"):
        if not isinstance(row.get(name), str | None):
            raise UserError(f"{where}: {name} must be text.")
    if not row.get("text"):
        raise UserError(f"{where} has no text.")
    return Record(where, label, row["text"], row.get("text_b") or None, row.get("task") or None)
