"""An inspection on screen: figures, the matrix of tasks, the rows as a table, and the files."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from semerge.common import UserError
from semerge.ui import words
from semerge.ui.markup import CHECK, CROSS, echo, esc, table
from semerge.ui.runs import Kept
from semerge.ui.tabs.inspect_choice import FILTERS, HEADS, PAGE, Choice, Look, index_of

if TYPE_CHECKING:
    from semerge.evaluation.inspection import Inspection


# --------------------------------------------------------------------------------------------------
# The figures of an inspection as HTML: accuracies, the counts that filter, and the matrix of tasks
# and chosen experts. Buttons carry their action as JSON in `data-act`, see
# assets/scripts/inspect.js.

MODELS = {"base": "Base model", "static": "Static Task Arithmetic", "se": "SE-Merging"}


def act(label: str, key: str, pressed: bool | None = None, name: str = "", **action: Any) -> str:
    """A button of the page. label: ready HTML. key: what finds it again after the HTML was drawn
    anew, so that the focus stays. name: for a screen reader, where the label does not tell."""
    state = "" if pressed is None else f' aria-pressed="{str(pressed).lower()}"'
    named = f' aria-label="{esc(name)}"' if name else ""
    return (
        f'<button type="button" data-key="{esc(key)}" data-act="{esc(json.dumps(action))}"'
        f"{state}{named}>{label}</button>"
    )


def figures(found: Inspection) -> str:
    """What was run, in a sentence; accuracies as a mean over tasks; and task by task."""
    from semerge.evaluation.inspection import figures as figures_of  # imports torch

    content = figures_of(found)
    average, about = content["average"], found.about()
    split = about["split"]
    where = esc(about["data"]) if split in about["data"] else f"{esc(about['data'])}, {esc(split)}"
    lead = (
        f'<p class="se-sentence">On {about["done"]:,} samples SE-Merging is right in '
        f'<strong class="is-se">{words.percent(average["se_oracle"])}</strong> and the static '
        f'merge in <strong class="is-static">{words.percent(average["static_oracle"])}</strong>, '
        "both read with the head of the sample's own task; the right expert is chosen in "
        f"<strong>{words.percent(average['routing'])}</strong>.</p>"
        f'<p class="se-hint">From {where}. {esc(_settings(about))} '
        "Each figure is the mean over the tasks.</p>"
    )
    return f'<div class="se-figures">{lead}{_accuracies(average)}{_by_task(found, content)}</div>'


def _settings(about: Mapping[str, Any]) -> str:
    where = words.layer(about["layer"])
    pool = "" if about["layer"] == about["pool"] else f", over {words.POOLS[about['pool']]}"
    return f"Preset {about['preset']}, probe {about['probe']} at {where}{pool}."


def _accuracies(average: Mapping[str, float]) -> str:
    rows = [
        (title, *(words.percent(average[f"{kind}_{head}"]) for head in ("oracle", "routed")))
        for kind, title in MODELS.items()
    ]
    rows.append(("The task's expert alone", words.percent(average["expert"]), "–"))
    rows.append(("Right expert chosen", "–", words.percent(average["routing"])))
    heads = ("Right answers", "Own task's head", "Chosen expert's head")
    return table("Mean over tasks; the head is the one that reads the answer", heads, rows)


def _by_task(found: Inspection, content: Mapping[str, Any]) -> str:
    keys = ("base_oracle", "static_oracle", "se_oracle", "expert", "se_routed", "routing")
    rows = [
        (
            echo(found.suite.task(name).title),
            *(words.percent(row[key]) for key in keys),
            f"{row['n']:,}",
        )
        for name, row in content["tasks"].items()
    ]
    heads = ("Task", "Base", "Static", "SE", "Expert", "SE, routed", "Right expert", "Samples")
    caption = "Own task's head, but for “routed”: there a wrong expert is a wrong answer"
    return (
        '<details class="se-details"><summary>Task by task</summary>'
        f"{table(caption, heads, rows)}</details>"
    )


def board(found: Inspection, look: Look) -> str:
    """The counts and the matrix: what narrows the table."""
    return f'<div class="se-board">{_counts(found, look)}{_matrix(found, look)}</div>'


def _counts(found: Inspection, look: Look) -> str:
    from semerge.evaluation.inspection import counts  # imports torch

    numbers = counts(found, look.head)
    buttons = ""
    for name, (title, usual) in FILTERS.items():
        about = f"below {found.low_margin:.2g}" if name == "low margin" else usual
        label = f"<b>{numbers[name]:,}</b><span>{esc(title)}</span><small>{esc(about)}</small>"
        buttons += act(label, f"filter {name}", look.filter == name, do="filter", value=name)
    return f'<div class="se-counts" role="group" aria-label="Show samples">{buttons}</div>'


def _matrix(found: Inspection, look: Look) -> str:
    from semerge.evaluation.inspection import matrix  # imports torch

    titles, names = [t.title for t in found.suite.tasks], found.suite.task_names
    top = "".join(f'<th scope="col"><span>{echo(title)}</span></th>' for title in titles)
    body = ""
    for task, title, line in zip(names, titles, matrix(found), strict=True):
        if sum(line):
            cells = _cells(look, task, title, list(zip(names, titles, line, strict=True)))
            body += f'<tr><th scope="row">{echo(title)}</th>{cells}</tr>'
    caption = "Task of the sample (rows) and chosen expert (columns); a cell shows its samples"
    return (
        f'<div class="se-scroll se-matrix" tabindex="0" role="region" aria-label="{esc(caption)}">'
        f"<table><caption>{esc(caption)}</caption><thead><tr><td></td>{top}</tr></thead>"
        f"<tbody>{body}</tbody></table></div>"
    )


def _cells(look: Look, task: str, title: str, line: Sequence[tuple[str, str, int]]) -> str:
    total, cells = sum(count for _, _, count in line), ""
    for chosen, other, count in line:
        if not count:
            cells += "<td>0</td>"
            continue
        own = chosen == task
        name = f"{title}, expert {other} chosen: {count} of {total}"
        mark = CHECK if own else ""
        button = act(
            f"{mark}{count:,}",
            f"cell {task} {chosen}",
            (look.task, look.chosen) == (task, chosen),
            name,
            do="cell",
            task=task,
            chosen=chosen,
        )
        # the shade says how much of the row this is; the number says it too
        share = round(100 * count / total)
        kind = "own" if own else "other"
        cells += f'<td class="{kind}" style="--share:{share}%">{button}</td>'
    return cells


# --------------------------------------------------------------------------------------------------
# The rows of an inspection that are on screen, as a real table; and the row that is open.

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


# --------------------------------------------------------------------------------------------------
# What is shown of an inspection as files: CSV, JSON and a page that needs no server.
#
# The page asks for a file when its button is pressed and gets it as text: nothing is written to
# the server's disk, and nobody else can fetch it.

TITLES = {"csv": "CSV", "json": "JSON", "html": "Report (HTML)"}
TYPES = {"csv": "text/csv", "json": "application/json", "html": "text/html"}
UNKNOWN = "The page asked for a file that there is not; reload it."


def exports(key: str, look: Look, choice: Choice, count: int) -> str:
    """The buttons, and the command line that gives the same rows."""
    asked = {"key": key, "look": vars(look)}
    buttons = "".join(
        f'<button type="button" class="se-button" data-key="export {kind}" '
        f'data-export="{esc(json.dumps({"kind": kind, **asked}))}">{title}</button>'
        for kind, title in TITLES.items()
    )
    return (
        f'<div class="se-exports"><h3>Save the {count:,} samples shown</h3>'
        f'<div>{buttons}<span role="status"></span></div>'
        f'<p class="se-hint">All rows, from a command line: <code>{esc(choice.command())}</code>'
        "</p></div>"
    )


def exporter(make: Callable[[Any], dict[str, str]]) -> Callable[[Any], dict[str, str]]:
    """What the page's script calls as `server.export_rows`: `make`'s file, or why there is none."""

    def export_rows(asked: Any) -> dict[str, str]:
        try:
            return make(asked)
        except UserError as error:
            return {"failure": str(error)}

    return export_rows


def export(kept: Kept, asked: Any) -> dict[str, str]:
    """The file that {"kind", "key", "look"} ask for: {"name", "type", "text"}.

    Raises:
        UserError: the inspection is gone, or a client asked for something that there is not.
    """
    if not isinstance(asked, dict) or asked.get("kind") not in TYPES:
        raise UserError(UNKNOWN)
    found = kept.get(str(asked.get("key"))).found
    kind, view = str(asked["kind"]), _look(asked.get("look")).view()
    from semerge.evaluation.inspection import static_report, to_json, write_csv

    if kind == "csv":
        file = io.StringIO(newline="")
        write_csv(found, file, view)
        text = file.getvalue()
    else:
        text = to_json(found, view) if kind == "json" else static_report(found, view)
    part = "" if view.filter == "all" else "-" + view.filter.replace(" ", "-")
    return {"name": f"{found.suite.name}{part}.{kind}", "type": TYPES[kind], "text": text}


def _look(raw: Any) -> Look:
    usual = vars(Look())
    if not isinstance(raw, dict) or set(raw) != set(usual):
        raise UserError(UNKNOWN)
    if any(type(raw[name]) is not type(value) for name, value in usual.items()):
        raise UserError(UNKNOWN)
    return Look(**raw)
