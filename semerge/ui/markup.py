"""Parts of templates as plain text, for tabs that still put HTML together by hand.

TODO: goes away with the last of them; `semerge.ui.html` is the way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from semerge.ui import html
from semerge.ui.html import macro
from semerge.ui.view import View

CHECK, CROSS = str(macro("sign", True)), str(macro("sign", False))
Legend = Sequence[tuple[str, str]]


def esc(text: object) -> str:
    return str(html.escape(text))


def echo(text: object) -> str:
    return str(macro("echo", text))


def truth(view: View) -> str:
    return str(macro("truth", view))


def notes(texts: Sequence[str]) -> str:
    return str(macro("notes", texts))


def card(view: View, kind: str) -> str:
    return str(macro("card", view, kind))


def table(
    caption: str,
    heads: Sequence[str],
    rows: Sequence[Sequence[str]],
    marked: int = -1,
    kind: str = "",
) -> str:
    """Cells are ready HTML, the first of a row is its header."""
    cells = [[Markup(cell) for cell in row] for row in rows]
    return str(macro("table", caption, heads, cells, marked, kind))


def chart_head(title: str, summary: str, tab: str, chart: str, legend: Legend = ()) -> str:
    return str(macro("chart_head", title, summary, tab, chart, legend))


def waiting(what: str) -> str:
    return str(macro("waiting", what))


def failure(message: str, lead: str = "No result.") -> str:
    return str(macro("failure", message, lead))


def notices(texts: Sequence[str]) -> str:
    return str(macro("notices", texts))


def seen(image: Any, size: str = "") -> str:
    return str(html.seen(image, size))


def given(sample: Any, picture: Any) -> str:
    return str(html.given(sample, picture))


# --------------------------------------------------------------------------------------------------
# A table of figures with shaded cells. The figure is in every cell and what stands out has a word,
# so the shade tells nothing that is not written.

DEEPEST = 46  # percent of colour behind the deepest cell: the text on it keeps its contrast


@dataclass(frozen=True)
class Cell:
    """text: the figure, as ready HTML. depth in [0, 1]: how deep the shade is. note: small, below
    it. mark: a word for what stands out. span: columns."""

    text: str
    depth: float = 0.0
    note: str = ""
    mark: str = ""
    span: int = 1


@dataclass(frozen=True)
class Row:
    """head: ready HTML. current: the row that the rest of the page is about."""

    head: str
    cells: Sequence[Cell]
    current: bool = False


def heat(
    caption: str,
    heads: Sequence[str],
    rows: Sequence[Row],
    groups: Sequence[tuple[str, int]] = (),
) -> str:
    """A real table; `heads` with the corner first, ready HTML as the rows' heads are.

    groups: (title, columns) of a row above the heads.
    """
    above = "".join(
        f'<th scope="colgroup" colspan="{count}">{title}</th>' for title, count in groups
    )
    top = f"<tr><td></td>{above}</tr>" if groups else ""
    top += "<tr>" + "".join(f'<th scope="col">{head}</th>' for head in heads) + "</tr>"
    body = "".join(_row(row) for row in rows)
    return (
        f'<div class="se-scroll" tabindex="0" role="region" aria-label="{esc(caption)}">'
        f'<table class="se-table se-heat"><caption>{esc(caption)}</caption>'
        f"<thead>{top}</thead><tbody>{body}</tbody></table></div>"
    )


def _row(row: Row) -> str:
    badge = ' <span class="se-badge chosen">shown</span>' if row.current else ""
    kind = ' class="current"' if row.current else ""
    cells = "".join(_cell(cell) for cell in row.cells)
    return f'<tr{kind}><th scope="row">{row.head}{badge}</th>{cells}</tr>'


def _cell(cell: Cell) -> str:
    depth = min(max(cell.depth, 0.0), 1.0) * DEEPEST
    span = f' colspan="{cell.span}"' if cell.span > 1 else ""
    kind = ' class="marked"' if cell.mark else ""
    note = f"<small>{esc(cell.note)}</small>" if cell.note else ""
    mark = f"<b>{esc(cell.mark)}</b>" if cell.mark else ""
    return f'<td{kind}{span} style="--heat:{depth:.0f}%">{cell.text}{note}{mark}</td>'
