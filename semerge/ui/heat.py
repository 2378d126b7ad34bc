"""A table of figures with shaded cells. The figure is in every cell and what stands out has a word,
so the shade tells nothing that is not written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from semerge.ui.markup import esc

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
