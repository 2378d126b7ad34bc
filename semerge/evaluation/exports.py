"""The rows of an inspection as CSV and JSON: exactly those of a view, in its order."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import fields
from typing import Any, TextIO

from semerge.evaluation.inspection import (
    CONFIGURATION,
    Inspection,
    View,
    misrouted,
    select,
    status,
)
from semerge.evaluation.rows import Row

ABOUT = (
    "suite",
    "weights_sha256",
    *CONFIGURATION,
    "static_lambda",
    "version",
)
"""What every line of the CSV repeats, so that lines of two files can be told apart."""
HEADER = (
    *(field.name for field in fields(Row)),
    "status",
    "status_routed",
    "misrouted",
    "text",
    "text_b",
    *ABOUT,
)
_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what spreadsheets run when a cell begins with it


def write_csv(found: Inspection, file: TextIO, view: View | None = None) -> None:
    """The view's rows (all without one) as CSV with a header.

    Cells that a spreadsheet would run as a formula begin with an apostrophe; numbers have six
    digits.
    """
    about = found.about()
    # quoted throughout, as the writer leaves a lone carriage return bare, which breaks the line
    writer = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writerow(HEADER)
    for record in records(found, select(found, view or View())):
        record |= {name: about[name] for name in ABOUT}
        writer.writerow([cell(record[name]) for name in HEADER])


def to_json(found: Inspection, view: View | None = None) -> str:
    """The view's rows as one JSON object: what they come from, the view, `rows`."""
    view = view or View()
    rows = list(records(found, select(found, view)))
    content = {**found.about(), "view": vars(view), "n": len(rows), "rows": rows}
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)


def records(found: Inspection, chosen: Sequence[int]) -> Iterator[dict[str, Any]]:
    """Rows by number as dictionaries, with their status under either head and their sentences."""
    for i in chosen:
        row, (text, text_b) = found.rows[i], found.text(i)
        yield {
            **vars(row),
            "status": status(row),
            "status_routed": status(row, "routed"),
            "misrouted": misrouted(row),
            "text": text,
            "text_b": text_b,
        }


def cell(value: object) -> str:
    """One value in a CSV, empty for None: what a spreadsheet would run as a formula begins with an
    apostrophe."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.6g}"
    text = str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text
