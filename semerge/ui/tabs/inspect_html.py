"""An inspection on screen: figures, the matrix of tasks, the rows as a table, and the files."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from statistics import median
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from semerge.common import UserError
from semerge.methods import METHODS
from semerge.ui import words
from semerge.ui.runs import Store
from semerge.ui.tabs.inspect_choice import (
    FILTERS,
    HEADS,
    PAGE,
    Choice,
    Look,
    index_of,
    last_page,
    region,
)

if TYPE_CHECKING:
    from semerge.evaluation.inspection import Inspection

LONG = 140  # characters of a sentence in the table
THUMBNAIL, LARGE = 56, 224  # px
KINDS = {"csv": "CSV", "json": "JSON", "html": "Report (HTML)"}
TYPES = {"csv": "text/csv", "json": "application/json", "html": "text/html"}
part = partial(words.macro, template="inspect.html")
UNKNOWN = "The page asked for a file that there is not; reload it."


# ---- above the table -----------------------------------------------------------------------------


def figures(inspection: Inspection) -> Markup:
    """What was run, in a sentence; accuracies as a mean over tasks; and task by task; each with its
    95 % interval."""
    from semerge.evaluation.figures import limits, limits_of_mean
    from semerge.evaluation.inspection import figures as figures_of  # imports torch

    content, about = figures_of(inspection), inspection.about()
    return part(
        "figures",
        about=about,
        mean=content["average"],
        within=limits_of_mean(content["tasks"]),
        tasks=content["tasks"],
        limits=limits(content["tasks"]),
        alone=inspection.resolved.hard,
        suite=inspection.suite,
        method=METHODS.title(about["method"]),
    )


def filters(inspection: Inspection, look: Look) -> Markup:
    """The filters as tiles, each with its number of samples."""
    from semerge.evaluation.inspection import counts  # imports torch

    about = FILTERS | {"low margin": ("Low margin", f"below {inspection.low_margin:.2g}")}
    return part("counts", about, counts(inspection, look.head), look.filter)


def board(inspection: Inspection, look: Look) -> Markup:
    """The matrix of tasks and chosen experts, which narrows the table; and margins of right and of
    wrong answers."""
    from semerge.evaluation.inspection import matrix  # imports torch

    return part(
        "board",
        look=look,
        tasks=inspection.suite.tasks,
        matrix=matrix(inspection),
        strips=strips(inspection, look.head),
        low=inspection.low_margin,
        head=HEADS[look.head],
    )


MOST, DEEP = 1500, 24
"""Marks on a strip, and how far one is from the highest to the lowest."""
GOLDEN = 0.6180339887  # its multiples, without their whole parts, spread evenly


def strips(inspection: Inspection, head: str) -> list[dict[str, Any]]:
    """Of the answers of SE-Merging that are right, and of those that are wrong: number, median
    margin (None without any), how many have a low margin, and their marks: places (margin, depth).
    """
    found = []
    for right in (True, False):
        margins = [r.margin for r in inspection.rows if r.right(f"se_{head}") is right]
        step = max(1, -(-len(margins) // MOST))  # of many, every so manieth
        found.append({
            "right": right,
            "n": len(margins),
            "median": median(margins) if margins else None,
            "low": sum(margin < inspection.low_margin for margin in margins),
            "marks": [(m, DEEP * (i * GOLDEN % 1)) for i, m in enumerate(margins[::step])],
        })  # fmt: skip
    return found


# ---- the table -----------------------------------------------------------------------------------


def rows_table(inspection: Inspection, look: Look, chosen: Sequence[int]) -> Markup:
    """One page of the rows `chosen`, as the look lays them out, with buttons to sort, to turn pages
    and to open a row."""
    return part(
        "gallery" if look.layout == "gallery" else "rows",
        suite=inspection.suite,
        look=look,
        lines=[(inspection.rows[i], excerpt(inspection, i)) for i in on_page(look, chosen)],
        paging=paging(look, chosen, len(inspection.rows)),
        head=HEADS[look.head],
        entropy=not inspection.resolved.hard,  # of one expert alone it is 0
    )


def on_page(look: Look, chosen: Sequence[int]) -> Sequence[int]:
    """Those of `chosen` that are on the look's page."""
    return chosen[look.page * PAGE : (look.page + 1) * PAGE]


def paging(look: Look, chosen: Sequence[int], total: int) -> dict[str, Any]:
    """What a table says of its page. span: the numbers of the first and the last sample on it; None
    where there is none."""
    start, count = look.page * PAGE, len(on_page(look, chosen))
    return {
        "count": f"{len(chosen):,} of {words.samples(total)}",
        "span": (start + 1, start + count) if count else None,
        "page": look.page,
        "last": last_page(len(chosen)),
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
    return part("opened", id=look.row, ids=ids, pinned=look.pinned == look.row,
                sample=sample(inspection, i))  # fmt: skip


def pinned_row(inspection: Inspection, look: Look) -> str:
    """The same above the pinned row's result."""
    i = index_of(inspection, look.pinned)
    return "" if i is None else part("pinned", id=look.pinned, sample=sample(inspection, i))


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
    return part(
        "files", count=words.samples(count), kinds=KINDS.items(), asked=asked, command=command
    )


def exporter(make: Callable[[Any], dict[str, str]]) -> Callable[[Any], dict[str, str]]:
    """What the page's script calls as `server.export_rows`: `make`'s file, or why there is none."""

    def export_rows(asked: Any) -> dict[str, str]:
        try:
            return make(asked)
        except UserError as error:
            return {"failure": words.without_folders(str(error))}

    return export_rows


def export(store: Store, asked: Any) -> dict[str, str]:
    """The file that {"kind", "key", "look"} ask for: {"name", "type", "text"}. Raises UserError
    where the inspection is gone, or a client asked for something that there is not."""
    if not isinstance(asked, dict) or str(asked.get("kind")) not in TYPES:
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
    return replace(Look(**raw), region=region(raw["region"]))
