"""An inspection on screen: figures, the matrix of tasks, the rows as a table, and the files."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from semerge.common import UserError
from semerge.methods import METHODS
from semerge.ui import words
from semerge.ui.runs import Store
from semerge.ui.tabs.inspect_choice import FILTERS, HEADS, PAGE, Choice, Look, index_of, last_page

if TYPE_CHECKING:
    from semerge.evaluation.inspection import Inspection

MODELS = {"base": "Base model", "static": "Static {method}", "se": "SE-Merging"}
BY_TASK = ("base_oracle", "static_oracle", "se_oracle", "expert", "se_routed", "routing")
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
LONG = 140  # characters of a sentence in the table
THUMBNAIL, LARGE = 56, 224  # px
KINDS = {"csv": "CSV", "json": "JSON", "html": "Report (HTML)"}
TYPES = {"csv": "text/csv", "json": "application/json", "html": "text/html"}
UNKNOWN = "The page asked for a file that there is not; reload it."


def part(macro: str, /, **values: Any) -> Markup:
    return words.macro(macro, template="inspect.html", **values)


# ---- above the table -----------------------------------------------------------------------------


def figures(inspection: Inspection) -> Markup:
    """What was run, in a sentence; accuracies as a mean over tasks; and task by task."""
    from semerge.evaluation.inspection import figures as figures_of  # imports torch

    content, about = figures_of(inspection), inspection.about()
    mean, tasks, split = content["average"], content["tasks"], about["split"]
    where = about["data"] if split in about["data"] else f"{about['data']}, {split}"
    method = METHODS.title(about["method"])
    accuracies = [
        (
            title.format(method=method),
            words.percent(mean[f"{kind}_oracle"]),
            words.percent(mean[f"{kind}_routed"]),
        )
        for kind, title in MODELS.items()
    ]
    accuracies.append(("The task's expert alone", words.percent(mean["expert"]), "–"))
    accuracies.append(("Right expert chosen", "–", words.percent(mean["routing"])))
    return part(
        "figures",
        count=f"{about['done']:,}",
        mean=mean,
        about=f"From {where}. {configuration(about)}",
        accuracies=accuracies,
        tasks=[
            (
                words.macro("echo", inspection.suite.task(name).title),
                *(words.percent(row[key]) for key in BY_TASK),
                f"{row['n']:,}",
            )
            for name, row in tasks.items()
        ],
    )


def configuration(about: Mapping[str, Any]) -> str:
    """The settings of a run, in a sentence."""
    where = words.layer(about["layer"])
    pool = "" if about["layer"] == about["pool"] else f", over {words.POOLS[about['pool']]}"
    merged = f"Method {METHODS.title(about['method'])}, preset {about['preset']}"
    return f"{merged}, probe {about['probe']} at {where}{pool}."


def board(inspection: Inspection, look: Look) -> Markup:
    """The counts and the matrix of tasks and chosen experts: what narrows the table."""
    from semerge.evaluation.inspection import counts, matrix  # imports torch

    numbers, titles = counts(inspection, look.head), [task.title for task in inspection.suite.tasks]
    names, low = inspection.suite.task_names, f"below {inspection.low_margin:.2g}"
    return part(
        "board",
        filters=[
            (name, title, low if name == "low margin" else about, f"{numbers[name]:,}")
            for name, (title, about) in FILTERS.items()
        ],
        filter=look.filter,
        titles=titles,
        lines=[
            (task, title, sum(line), list(zip(names, titles, line, strict=True)))
            for task, title, line in zip(names, titles, matrix(inspection), strict=True)
            if sum(line)
        ],
        cell=(look.task, look.chosen),
    )


# ---- the table -----------------------------------------------------------------------------------


def rows_table(inspection: Inspection, look: Look, chosen: Sequence[int]) -> Markup:
    """One page of the rows `chosen`, with buttons to sort, to turn pages and to open a row."""
    return part(
        "rows",
        columns=COLUMNS.items(),
        sort=(look.sort, "descending" if look.descending else "ascending"),
        lines=[_line(inspection, look, i) for i in on_page(look, chosen)],
        span=span(look, chosen),
        count=f"{len(chosen):,} of {len(inspection.rows):,}",
        narrowed=look.narrowed,
        head=HEADS[look.head],
        page=look.page,
        last=last_page(len(chosen)),
    )


def on_page(look: Look, chosen: Sequence[int]) -> Sequence[int]:
    """Those of `chosen` that are on the look's page."""
    return chosen[look.page * PAGE : (look.page + 1) * PAGE]


def span(look: Look, chosen: Sequence[int]) -> tuple[int, int] | None:
    """The numbers of the first and the last sample on the page; None where there is none."""
    start, count = look.page * PAGE, len(on_page(look, chosen))
    return (start + 1, start + count) if count else None


def _line(inspection: Inspection, look: Look, i: int) -> dict[str, Any]:
    row = inspection.rows[i]
    columns = (f"static_{look.head}", f"se_{look.head}", "expert")
    return {
        "id": row.id,
        "open": row.id == look.row,
        "pinned": row.id == look.pinned,
        "input": excerpt(inspection, i),
        "task": inspection.suite.task(row.task).title,
        "label": row.label,
        "answers": [(getattr(row, column), row.right(column)) for column in columns],
        "chosen": inspection.suite.task(row.chosen).title,
        "misrouted": row.chosen != row.task,
        "margin": row.margin,
        "entropy": row.entropy + 0.0,  # of one expert alone it is -0.0
    }


def excerpt(inspection: Inspection, i: int) -> Markup:
    """The input of row i, small."""
    texts = [text for text in inspection.text(i) if text]
    if texts:
        short = [text if len(text) <= LONG else f"{text[: LONG - 1]}…" for text in texts]
        return part("excerpt", texts=short)
    return part("picture", url=inspection.picture_url(i, THUMBNAIL), alt="")


# ---- the open row --------------------------------------------------------------------------------


def open_row(inspection: Inspection, look: Look, ids: Sequence[str]) -> str:
    """Above the full result of the open row: where it is, its input, and the ways on."""
    i = index_of(inspection, look.row)
    if i is None:
        return ""
    place = "Not among the samples shown"
    if look.row in ids:
        place = f"{ids.index(look.row) + 1:,} of {len(ids):,} shown"
    whole = sample(inspection, i)
    return part("open_row", id=look.row, place=place, pinned=look.pinned == look.row, sample=whole)


def pinned_row(inspection: Inspection, look: Look) -> str:
    """The same above the pinned row's result."""
    i = index_of(inspection, look.pinned)
    return "" if i is None else part("pinned_row", id=look.pinned, sample=sample(inspection, i))


def sample(inspection: Inspection, i: int) -> Markup:
    """The whole input of row i."""
    texts = [text for text in inspection.text(i) if text]
    url = inspection.picture_url(i, LARGE)
    return part("sample", id=inspection.rows[i].id, texts=texts, url=url)


# ---- files ---------------------------------------------------------------------------------------
# The page asks for a file when its button is pressed and gets it as text: nothing is written to
# the server's disk, and nobody else can fetch it.


def exports(key: str, look: Look, choice: Choice, count: int) -> Markup:
    """The buttons, and the command line that gives the same rows."""
    asked = {"key": key, "look": vars(look)}
    command = choice.command()
    return part("files", count=f"{count:,}", kinds=KINDS.items(), asked=asked, command=command)


def exporter(make: Callable[[Any], dict[str, str]]) -> Callable[[Any], dict[str, str]]:
    """What the page's script calls as `server.export_rows`: `make`'s file, or why there is none."""

    def export_rows(asked: Any) -> dict[str, str]:
        try:
            return make(asked)
        except UserError as error:
            return {"failure": str(error)}

    return export_rows


def export(store: Store, asked: Any) -> dict[str, str]:
    """The file that {"kind", "key", "look"} ask for: {"name", "type", "text"}.

    Raises:
        UserError: the inspection is gone, or a client asked for something that there is not.
    """
    if not isinstance(asked, dict) or asked.get("kind") not in TYPES:
        raise UserError(UNKNOWN)
    inspection = store.get(str(asked.get("key"))).result
    kind, view = str(asked["kind"]), _look(asked.get("look")).view()
    from semerge.evaluation.inspection import static_report, to_json, write_csv

    if kind == "csv":
        file = io.StringIO(newline="")
        write_csv(inspection, file, view)
        text = file.getvalue()
    else:
        text = to_json(inspection, view) if kind == "json" else static_report(inspection, view)
    return {"name": f"{inspection.suite.name}{suffix(view.filter)}.{kind}", "type": TYPES[kind],
            "text": text}  # fmt: skip


def suffix(filter: str) -> str:
    """What a file's name says of the filter."""
    return "" if filter == "all" else "-" + filter.replace(" ", "-")


def _look(raw: Any) -> Look:
    usual = vars(Look())
    if not isinstance(raw, dict) or set(raw) != set(usual):
        raise UserError(UNKNOWN)
    if any(type(raw[name]) is not type(value) for name, value in usual.items()):
        raise UserError(UNKNOWN)
    return Look(**raw)
