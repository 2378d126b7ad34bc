"""Sentences from CSV, JSON or plain text of a stranger's making, with labels or without."""

from __future__ import annotations

import codecs
import csv
import io
import json
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from semerge.common import UserError, first_line, parsed_json, quoted, reading
from semerge.foreign import kind_of

MAX_TABLE = 10 * 2**20
"""Bytes of a file."""
MAX_ROWS = 5_000
MAX_LISTED = 200_000
"""Samples among which a limit takes some."""
MAX_LINES, MAX_LINE = 1_000_000, 2**18
"""Of a table: with blank ones, and characters of each; two of the longest sentences take less."""
DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab"}
TEXTS: tuple[tuple[str, str | None], ...] = (
    ("text", "text_b"),
    ("sentence1", "sentence2"),
    ("premise", "hypothesis"),
    ("question1", "question2"),
    ("question", "sentence"),
    ("sentence", None),
)
"""What the columns of a sentence and of its second one are called, GLUE's own among them. The first
of these that a file has is read; it may lack text_b alone."""
LABELS = ("label", "labels")
TABLES = (".csv", ".tsv")
OBJECTS = (".json", ".jsonl", ".ndjson")

_SEPARATOR = re.compile(r"sep=(.)(?:\r\n?|\n|$)", re.IGNORECASE)  # a first line, for Excel alone
_OBJECTS = re.compile(r'\s*(\{\s*["}]|\[\s*["{\]])')  # how JSON begins, and no sentence
_IN_QUOTES = re.compile(r'(?:^|(?<=[\t\n]))"([^"]*(?:""[^"]*){0,5000})"(?=[\t\r\n]|\Z)')  # a cell
_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what spreadsheets run when a cell begins with it
_EXPORT = "weights_sha256"  # a column that no table but one of ours has


@dataclass(frozen=True)
class Record:
    """One sample, as it was read: a sentence, or a picture by its name. `where` names it in
    messages and in the table of an inspection. label: "" where none was asked for. task: None where
    none is named."""

    where: str
    label: str | int
    text: str = ""
    text_b: str | None = None
    task: str | None = None


@dataclass(frozen=True)
class _Columns:
    text: str
    text_b: str | None
    label: str


def read_records(path: Path, labelled: bool = True, most: int = MAX_ROWS) -> list[Record]:
    """Every sample of a file of sentences; what the file is, its content says.

    It is a JSON array of objects, an object on each line, or CSV whose first line names the
    columns, with commas, semicolons or tabs; UTF-8, or UTF-16 with its mark. labelled: whether each
    sample must have a label; else none is read, and a text file with a sentence on each line, or a
    JSON array of them, is read too. Raises UserError where it is too long, holds more samples than
    `most`, is no text, or a line is not as it should be; one sentence.
    """
    text, kind = _decoded(path), path.suffix.lower()
    first = text.lstrip()[:1]
    if kind in OBJECTS or _OBJECTS.match(text) or (labelled and first in "{["):
        read = _entries if first == "[" else _json_lines
    else:
        read = _csv_rows if labelled or kind in TABLES or _names_columns(text) else _lines
    found = list(islice(read(text, labelled), most + 1))
    if len(found) > most:
        raise too_many(most)
    if not found:
        raise UserError("This file holds no samples.")
    return found


def too_many(most: int) -> UserError:
    part = "; a limit of samples takes a part of them" if most < MAX_LISTED else ""
    return UserError(f"There are too many samples; the limit is {most:,}{part}.")


def escaped(text: str) -> str:
    """A cell that no spreadsheet runs as a formula: it begins with an apostrophe."""
    return f"'{text}" if text.lstrip("'").startswith(_FORMULA) else text


def unescaped(cell: str) -> str:
    """The text that `escaped` made a cell of."""
    return cell[1:] if cell[:1] == "'" and cell.lstrip("'").startswith(_FORMULA) else cell


def _decoded(path: Path) -> str:
    with reading("The upload"), path.open("rb") as file:
        data = file.read(MAX_TABLE + 1)
    if len(data) > MAX_TABLE:
        raise UserError(f"This file is larger than the limit of {MAX_TABLE // 2**20} MB.")
    if (what := kind_of(data)) is not None:
        raise UserError(f"This file is {what}.")
    wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = data.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError:
        what = "UTF-16, as it says it is" if wide else "UTF-8 text"
        raise UserError(f"This file is not {what}; save it as CSV in UTF-8.") from None
    if "\0" in text:
        raise UserError("This file holds NUL characters, so it is no text file.")
    if not text.strip():
        raise UserError("This file is empty.")
    return text


# ---- plain lines and JSON ------------------------------------------------------------------------


def _lines(text: str, labelled: bool) -> Iterator[Record]:
    for number, line in enumerate(io.StringIO(text), start=1):
        if line.strip():
            yield Record(f"line {number}", "", line.strip())


def _json_lines(text: str, labelled: bool) -> Iterator[Record]:
    for number, line in enumerate(io.StringIO(text), start=1):
        if line.strip():
            where = f"line {number}"
            if line.rstrip().endswith("},"):
                raise UserError(f"{where} ends with a comma; give one JSON object a line, bare.")
            yield _of_object(json_object(line, where), where, labelled)


def json_object(text: str, where: str) -> dict[str, Any]:
    """The JSON object that a line is. Raises UserError where it is none; `where` names the line."""
    try:
        row = json.loads(text)
    except (ValueError, RecursionError):
        row = None
    if not isinstance(row, dict):
        raise UserError(f"{where} is no JSON object.")
    return row


def _entries(text: str, labelled: bool) -> Iterator[Record]:
    try:
        entries = parsed_json(text)
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"This file begins as a JSON array and can't be read as one: {first_line(error)}."
        ) from None
    for number, entry in enumerate(entries, start=1):
        where = f"entry {number}"
        bare = isinstance(entry, str) and not labelled
        if not (bare or isinstance(entry, dict)):
            raise UserError(f"{where} of the JSON array is no object.")
        yield _of_object({"text": entry} if bare else entry, where, labelled)


def _of_object(entry: Mapping[str, Any], where: str, labelled: bool) -> Record:
    row = {name.strip().lower(): value for name, value in entry.items()}
    columns = _columns(row)
    if columns is None or len(row) < len(entry):
        raise UserError(f"{where} has no text.")
    return _record(row, columns, where, labelled)


# ---- tables --------------------------------------------------------------------------------------


def _names_columns(text: str) -> bool:
    """Whether a text without labels begins as a table does: several names, a known one of them."""
    if _SEPARATOR.match(text):
        return True
    names = re.split("[,;\t]", text.lstrip().partition("\n")[0].lower())
    return len(names) > 1 and _columns([name.strip(' "\r') for name in names]) is not None


def _csv_rows(text: str, labelled: bool) -> Iterator[Record]:
    for number, line in enumerate(io.StringIO(text, newline=None), start=1):
        if number > MAX_LINES or len(line) > MAX_LINE:
            raise UserError(f"line {number:,} is one too many, or too long for a table.")
    separator = _SEPARATOR.match(text)
    body = text[separator.end() :] if separator else text
    head = body.lstrip("\r\n").partition("\n")[0]
    delimiter = separator[1] if separator else max(DELIMITERS, key=head.count)
    bare = delimiter == "\t" and not _quotes(body)
    rows = csv.reader(
        io.StringIO(body, newline=""),
        delimiter=delimiter,
        strict=True,
        quoting=csv.QUOTE_NONE if bare else csv.QUOTE_MINIMAL,
    )
    before = bool(separator)  # a line
    names: list[str] = []
    try:
        for cells in rows:
            where = f"line {rows.line_num + before}"
            if not any(cell.strip() for cell in cells):
                continue
            if not names:
                names = [name.strip().lower() for name in cells]
                columns = _header(names, labelled)
                continue
            if len(cells) != len(names):
                raise UserError(
                    f"{where} has {len(cells)} cells where the first line has {len(names)}; put "
                    f"texts with a {DELIMITERS.get(delimiter, delimiter)} in quotes."
                )
            read = unescaped if _EXPORT in names else str
            pairs = zip(names, map(read, cells), strict=True)
            row = {name: cell for name, cell in pairs if cell.strip()}
            yield _record(row, columns, where, labelled)
    except csv.Error as error:
        where = f"line {rows.line_num + before}"
        raise UserError(f"{where} can't be read as CSV: {error}.") from None


def _header(names: list[str], labelled: bool) -> _Columns:
    columns = _columns(names)
    wanted = [] if columns is None else [columns.text, *([columns.label] if labelled else [])]
    twice = [] if columns is None else [columns.text_b, "task"]
    if (
        not wanted
        or any(names.count(name) != 1 for name in wanted)
        or any(name is not None and names.count(name) > 1 for name in twice)
    ):
        label = " and label" if labelled else ""
        raise UserError(
            f"The first line must name the column{'s' if labelled else ''} text{label}, and may "
            f"name text_b{' and task' if labelled else ''}."
        )
    assert columns is not None
    return columns


def _quotes(text: str) -> bool:
    """Whether cells between tabs are in quotes, as spreadsheets write them, and quotes are not just
    letters: each one is of a cell in quotes, and some of these have to be, as one that goes over
    tabs or lines, or has quotes, or all with a comma have; or the first name is."""
    inside, outside = _IN_QUOTES.findall(text), _IN_QUOTES.sub("", text)
    if not inside or '"' in outside:
        return False
    if any(c in cell for cell in inside for c in "\t\n"):
        tabs = {line.count("\t") for line in text.splitlines() if line.strip()}
        return len(tabs) > 1  # else two of them have met by chance
    commas = "," not in outside and any("," in cell for cell in inside)
    return commas or any('"' in cell for cell in inside) or text.lstrip().startswith('"')


# ---- what a sample says --------------------------------------------------------------------------


def _columns(names: Collection[str]) -> _Columns | None:
    """Which columns are read; None where none is a sentence's."""
    for text, text_b in TEXTS:
        if text in names and (text_b in names or text_b is None or text == TEXTS[0][0]):
            return _Columns(text, text_b, next((x for x in LABELS if x in names), LABELS[0]))
    return None


def _record(row: Mapping[str, Any], columns: _Columns, where: str, labelled: bool) -> Record:
    label = _label(row.get(columns.label), where) if labelled else ""

    def of(name: str, column: str | None) -> str | None:
        value = None if column is None else row.get(column)
        if not isinstance(value, str | None):
            raise UserError(f"{where}: {name} must be text.")
        return value or None

    text, text_b = of("text", columns.text), of("text_b", columns.text_b)
    if text is None:
        raise UserError(f"{where} has no text.")
    return Record(where, label, text, text_b, of("task", "task") if labelled else None)


def _label(value: Any, where: str) -> str | int:
    if value is None or value == "":
        raise UserError(f"{where} has no label; give a class name.")
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise UserError(f"{where}: a label is a name or a whole number, not {quoted(value)}.")
    return value
