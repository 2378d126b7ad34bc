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
h1 { font-size: 1.6rem; line-height: 1.3; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; }
p { font-size: 1.15rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .6rem; border-bottom: 1px solid #8886; }
th, td { text-align: right; vertical-align: top; }
th:first-child, td:first-child, .words :is(th, td) { text-align: left; }
.words td { overflow-wrap: break-word; }
.words.long td { overflow-wrap: anywhere; min-width: 7rem; }
.words q { display: block; min-width: min(15rem, 45vw); quotes: none; }
td.own { font-weight: 700; }
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
        _lead(found),
        _accuracies(found),
        _table("Counts, with the head of the view", ("", "n"), counts(found, view.head).items()),
        _matrix(found),
        f"<h2>{told}</h2>{_rows(found, view, chosen[:limit])}",
        _table("Settings and view", (), settings, "words long"),
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(body)
        + "\n</body>\n</html>\n"
    )


def _lead(found: Inspection) -> str:
    """What came out, in a sentence; none where nothing was run."""
    average = figures(found)["average"]
    if not average:
        return ""
    se, static, routing = (
        f"<b>{100 * average[c]:.1f}\u00a0%</b>" for c in ("se_oracle", "static_oracle", "routing")
    )
    return (
        f"<p>SE-Merging is right in {se} and the static merge in {static}, both read with the head "
        f"of the sample's own task; the right expert is chosen in {routing}. Means over tasks.</p>"
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
    lines = []
    for t, counted in enumerate(matrix(found)):
        cells = (f"<td{' class=own' if t == c else ''}>{n}</td>" for c, n in enumerate(counted))
        lines.append(f"<tr><td>{escape(names[t])}</td>{''.join(cells)}</tr>")
    return _framed("Task (rows) and the expert that was taken (columns)", ("", *names), lines)


def _rows(found: Inspection, view: View, chosen: Iterable[int]) -> str:
    head = ("id", "input", "task", "true", "static", "SE", "expert", "taken", "margin", "entropy")
    lines = []
    for i in chosen:
        row = found.rows[i]
        answers = (getattr(row, f"static_{view.head}"), getattr(row, f"se_{view.head}"), row.expert)
        marked = (answer if answer == row.label else f"✗ {answer}" for answer in answers)
        words = (row.task, row.label, *marked, f"✗ {row.chosen}" if misrouted(row) else row.chosen)
        cells = "".join(f"<td>{escape(word)}</td>" for word in words)
        state = status(row, view.head) + (", misrouted" if misrouted(row) else "")
        lines.append(
            f'<tr data-row="{i}"><td>{escape(row.id)}</td><td>{_input(found, i)}</td>'
            f"{cells}<td>{row.margin:.3f}</td><td>{row.entropy:.3f}</td>"
            f"<td>{state}</td></tr>"
        )
    return _framed("", (*head, "status"), lines, "words")


def _input(found: Inspection, i: int) -> str:
    sample = found.sample(i)
    if not isinstance(sample, DecodedImage):
        return "".join(f"<q>{escape(text)}</q>" for text in found.text(i) if text)
    small = sample.image.copy()
    small.thumbnail((THUMBNAIL, THUMBNAIL))
    file = io.BytesIO()
    small.save(file, "PNG")
    data = base64.b64encode(file.getvalue()).decode()
    return f'<img alt="" src="data:image/png;base64,{data}">'


def _table(caption: str, head: Sequence[str], rows: Iterable[Sequence[Any]], kind: str = "") -> str:
    lines = [
        "<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows
    ]
    return _framed(caption, head, lines, kind)


def _framed(caption: str, head: Sequence[str], lines: Sequence[str], kind: str = "") -> str:
    """A table below its heading. kind: "words" for cells of text, set on the left."""
    named = f"<h2>{escape(caption)}</h2>" if caption else ""
    top = "".join(f'<th scope="col">{escape(name)}</th>' for name in head)
    body = (f"<tr>{top}</tr>" if head else "") + "".join(lines)
    labelled = f' aria-label="{escape(caption)}"' if caption else ""
    return f'{named}<div class="scroll"><table class="{kind}"{labelled}>{body}</table></div>'
