"""The rows of an inspection that are on screen, as a real table; and the row that is open."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from semerge.ui import words
from semerge.ui.inspect_board import act
from semerge.ui.inspect_look import HEADS, PAGE, Look, index_of
from semerge.ui.markup import CROSS, echo, esc

if TYPE_CHECKING:
    from semerge.evaluation.inspection import Inspection

THUMBNAIL = 56  # px
LONG = 140  # characters of a sentence in the table
COLUMNS = {  # what it is sorted by: its heading
    "id": "Sample",
    "": "Input",
    "task": "Task",
    "label": "True",
    "static": "Static",
    "se": "SE",
    "expert": "Expert",
    "chosen": "Chosen expert",
    "margin": "Margin",
    "entropy": "Entropy",
}


def rows_table(found: Inspection, look: Look, chosen: Sequence[int]) -> str:
    """One page of the rows `chosen`, with buttons to sort, to turn pages and to open a row."""
    start = look.page * PAGE
    shown = chosen[start : start + PAGE]
    told = f"{len(chosen):,} of {len(found.rows):,} samples"
    clear = act("Show all", "clear", do="clear") if look.narrowed else ""
    head = f'<div class="se-found"><p role="status">{told}</p>{clear}</div>'
    if not shown:
        return f'<div class="se-rows">{head}<p class="se-none">No sample is like this.</p></div>'
    top = "".join(_heading(look, key, title) for key, title in COLUMNS.items())
    body = "".join(_row(found, look, i) for i in shown)
    caption = f"Samples {start + 1:,} to {start + len(shown):,}; answers read with {_head(look)}"
    return (
        f'<div class="se-rows">{head}'
        f'<div class="se-scroll se-samples" tabindex="0" role="region" aria-label="{esc(caption)}">'
        f"<table><caption>{esc(caption)}</caption><thead><tr>{top}</tr></thead>"
        f"<tbody>{body}</tbody></table></div>{pages(look, len(chosen))}</div>"
    )


def _head(look: Look) -> str:
    return f"the head of {HEADS[look.head]}"


def _heading(look: Look, key: str, title: str) -> str:
    if not key:
        return f'<th scope="col">{esc(title)}</th>'
    order, sign = "none", ""
    if look.sort == key:
        order, sign = ("descending", " ▼") if look.descending else ("ascending", " ▲")
    button = act(
        f'{esc(title)}<i aria-hidden="true">{sign}</i>', f"sort {key}", do="sort", value=key
    )
    return f'<th scope="col" aria-sort="{order}">{button}</th>'


def _row(found: Inspection, look: Look, i: int) -> str:
    row = found.rows[i]
    current = row.id == look.row
    pinned = '<span class="se-badge">pinned</span>' if row.id == look.pinned else ""
    opener = act(echo(row.id), f"row {row.id}", name=f"Open {row.id}", do="open", value=row.id)
    astray = row.chosen != row.task
    chosen = echo(found.suite.task(row.chosen).title)
    if astray:
        chosen = f'{CROSS}{chosen} <span class="se-badge wrong">misrouted</span>'
    cells = [
        excerpt(found, i),
        echo(found.suite.task(row.task).title),
        echo(row.label),
        *(_answer(row, f"{kind}_{look.head}") for kind in ("static", "se")),
        _answer(row, "expert"),
        chosen,
        words.number(row.margin, 3),
        words.number(row.entropy + 0.0, 3),  # of one expert alone it is -0.0
    ]
    tag = '<tr aria-current="true">' if current else "<tr>"
    return f'{tag}<th scope="row">{opener}{pinned}</th>' + "".join(
        f"<td>{cell}</td>" for cell in cells
    ) + "</tr>"  # fmt: skip


def _answer(row: Any, column: str) -> str:
    """A class name, with a mark where it is wrong."""
    text = echo(getattr(row, column))
    if row.right(column):
        return text
    return f'<span class="se-miss">{CROSS}<span class="se-unseen">wrong: </span>{text}</span>'


def excerpt(found: Inspection, i: int) -> str:
    text, second = found.text(i)
    if text:
        parts = [echo(part if len(part) <= LONG else f"{part[: LONG - 1]}…")
                 for part in (text, second) if part]  # fmt: skip
        return f'<span class="se-excerpt">{" <b>/</b> ".join(parts)}</span>'
    return picture(found, i, THUMBNAIL, "")


def picture(found: Inspection, i: int, side: int, alt: str) -> str:
    """The image of row i, no larger than `side`, inside the page: no file has to be served."""
    sample: Any = found.sample(i)
    small = sample.image.copy()
    small.thumbnail((side, side))
    data = io.BytesIO()
    small.save(data, "PNG")
    url = "data:image/png;base64," + base64.b64encode(data.getvalue()).decode("ascii")
    return f'<img alt="{esc(alt)}" src="{url}">'


def pages(look: Look, count: int) -> str:
    last = (count - 1) // PAGE
    if not last:
        return ""
    parts = ""
    for key, title, page in (("back", "Previous page", look.page - 1),
                             ("on", "Next page", look.page + 1)):  # fmt: skip
        button = act(title, key, do="page", value=page)
        # a button that leads nowhere stays where it is, so that the focus does
        parts += button if 0 <= page <= last else button.replace(
            "<button", '<button aria-disabled="true"', 1
        )  # fmt: skip
    return (
        '<nav class="se-pages" aria-label="Pages of samples">'
        f"{parts}<span>Page {look.page + 1:,} of {last + 1:,}</span></nav>"
    )


def open_row(found: Inspection, look: Look, ids: Sequence[str]) -> str:
    """Above the full result of the open row: where it is, its input, and the ways on."""
    i = index_of(found, look.row)
    if i is None:
        return ""
    row = found.rows[i]
    place = "Not among the samples shown"
    if look.row in ids:
        place = f"{ids.index(look.row) + 1:,} of {len(ids):,} shown"
    ways = "".join(
        act(f"{title} <kbd>{key}</kbd>", f"step {value}", do="step", value=value)
        for title, key, value in (
            ("Previous", "←", "previous"),
            ("Next", "→", "next"),
            ("Random", "R", "random"),
        )
    )
    pinned = look.pinned == look.row
    ways += act(f"{'Unpin' if pinned else 'Pin'} <kbd>P</kbd>", "pin", pinned, do="pin")
    return (
        f'<div class="se-open"><h2 class="se-title">Sample {echo(row.id)}</h2>'
        f'<div class="se-ways" role="group" aria-label="Samples">{ways}</div>'
        f'<p class="se-hint">{place}. The keys work while the table or this part has the focus.</p>'
        f"{sample(found, i)}</div>"
    )


def pinned_row(found: Inspection, look: Look) -> str:
    """The same above the pinned row's result."""
    i = index_of(found, look.pinned)
    if i is None:
        return ""
    way = act("Unpin", "unpin", do="unpin")
    return (
        f'<div class="se-open"><h2 class="se-title">Pinned: {echo(found.rows[i].id)}</h2>'
        f'<div class="se-ways">{way}</div>'
        f'<p class="se-hint">It stays here while you go through the others.</p>'
        f"{sample(found, i)}</div>"
    )


def sample(found: Inspection, i: int) -> str:
    """The whole input of row i."""
    texts = [text for text in found.text(i) if text]
    if texts:
        quotes = "".join(f"<blockquote>{echo(text)}</blockquote>" for text in texts)
        return f'<div class="se-whole">{quotes}</div>'
    return f'<div class="se-whole">{picture(found, i, 224, f"Sample {found.rows[i].id}")}</div>'
