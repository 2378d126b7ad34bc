"""An inspection as one HTML page that needs no server, no script and no network."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from semerge.evaluation.inspection import (
    Inspection,
    View,
    counts,
    figures,
    matrix,
    misrouted,
    select,
    status,
)
from semerge.evaluation.metrics import COLUMNS
from semerge.inputs import DecodedImage

LIMIT = 200
"""Rows on a page."""
THUMBNAIL = 64
"""Pixels of a thumbnail's longer side."""

_STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; margin: 1rem 0; }
th, td { padding: .25rem .6rem; border: 1px solid #8888; text-align: right; vertical-align: top; }
th:first-child, td:first-child, td.word { text-align: left; }
caption { text-align: left; font-weight: 600; padding: .3rem 0; }
.scroll { overflow-x: auto; }
img { image-rendering: pixelated; min-width: 48px; }
"""


def static_report(found: Inspection, view: View | None = None, limit: int = LIMIT) -> str:
    """The page: settings, accuracies, counts, the matrix, and the view's first `limit` rows."""
    view = view or View()
    about = found.about()
    chosen = select(found, view)
    title = f"{about['suite']}: {about['done']:,} samples of {about['data']}"
    settings = [
        (name.replace("_", " "), value) for name, value in about.items() if value is not None
    ]
    settings += [(name, value) for name, value in vars(view).items() if value]
    cut = len(chosen) > limit
    told = f"The first {limit} of {len(chosen):,} rows" if cut else f"{len(chosen):,} rows"
    body = [
        f"<h1>{escape(title)}</h1>",
        _table("Settings and view", ("", ""), settings),
        _accuracies(found),
        _table("Counts, with the head of the view", ("", "n"), counts(found, view.head).items()),
        _matrix(found),
        f"<h2>{told}</h2>",
        _rows(found, view, chosen[:limit]),
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(body)
        + "\n</body>\n</html>\n"
    )


def _accuracies(found: Inspection) -> str:
    content = figures(found)
    rows = [
        (name, *(f"{100 * row[c]:.1f}" for c in COLUMNS), row["n"])
        for name, row in content["tasks"].items()
    ]
    if average := content["average"]:
        rows.append(("average", *(f"{100 * average[c]:.1f}" for c in COLUMNS), len(found.rows)))
    head = ("task", *(c.replace("_", ", ") for c in COLUMNS), "n")
    return _table("Accuracy in percent, by head", head, rows)


def _matrix(found: Inspection) -> str:
    names = found.suite.task_names
    rows = [(name, *line) for name, line in zip(names, matrix(found), strict=True)]
    return _table("Task (rows) and the expert that was taken (columns)", ("", *names), rows)


def _rows(found: Inspection, view: View, chosen: Iterable[int]) -> str:
    head = ("id", "input", "task", "true", "static", "SE", "expert", "taken", "margin", "entropy")
    lines = []
    for i in chosen:
        row = found.rows[i]
        answers = (getattr(row, f"static_{view.head}"), getattr(row, f"se_{view.head}"))
        words = (row.task, row.label, *answers, row.expert, row.chosen)
        cells = "".join(f'<td class="word">{escape(word)}</td>' for word in words)
        state = status(row, view.head) + (", misrouted" if misrouted(row) else "")
        lines.append(
            f'<tr data-row="{i}"><td>{escape(row.id)}</td><td class="word">{_input(found, i)}</td>'
            f"{cells}<td>{row.margin:.3f}</td><td>{row.entropy:.3f}</td>"
            f'<td class="word">{state}</td></tr>'
        )
    return _framed("", (*head, "status"), lines)


def _input(found: Inspection, i: int) -> str:
    sample = found.sample(i)
    if not isinstance(sample, DecodedImage):
        return "<br>".join(escape(text) for text in found.text(i) if text)
    small = sample.image.copy()
    small.thumbnail((THUMBNAIL, THUMBNAIL))
    file = io.BytesIO()
    small.save(file, "PNG")
    data = base64.b64encode(file.getvalue()).decode()
    return f'<img alt="" src="data:image/png;base64,{data}">'


def _table(caption: str, head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    lines = [
        "<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows
    ]
    return _framed(caption, head, lines)


def _framed(caption: str, head: Sequence[str], lines: Sequence[str]) -> str:
    named = f"<caption>{escape(caption)}</caption>" if caption else ""
    top = "".join(f'<th scope="col">{escape(name)}</th>' for name in head)
    return f'<div class="scroll"><table>{named}<tr>{top}</tr>' + "".join(lines) + "</table></div>"
