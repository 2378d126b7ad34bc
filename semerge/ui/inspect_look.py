"""What a page shows of an inspection: filter, order, page, the row that is open and the one that is
pinned. A frozen value; every button makes a new one. No gradio here, and no torch.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from semerge.suites import Suite
from semerge.ui.links import Query, unknown

if TYPE_CHECKING:
    from semerge.evaluation.inspection import Inspection, View

PAGE = 25
"""Rows of the table that are in the page at once."""
PAGE_KEY = "table_page"
"""The table's page in a link. `page` alone is a name of Gradio's own, see `own_query`."""
HEADS = {"oracle": "the sample's own task", "routed": "the chosen expert"}
FILTERS = {  # as the summary's buttons say them
    "all": ("All", "every sample"),
    "disagree": ("Disagree", "SE and static answer differently"),
    "fixed": ("Fixed", "static wrong, SE right"),
    "broken": ("Broken", "static right, SE wrong"),
    "both wrong": ("Both wrong", "static and SE wrong"),
    "misrouted": ("Misrouted", "another task's expert chosen"),
    "low margin": ("Low margin", "two experts nearly as near"),
}
ANSWERS = ("label", "static", "se", "expert", "chosen")
SORTS = ("order", "id", "task", *ANSWERS, "status", "margin", "entropy")


@dataclass(frozen=True)
class Look:
    """filter: of FILTERS. task, chosen: names, or "" for any. sort: of SORTS, where `static` and
    `se` are their answers under `head`. row, pinned: ids of samples, or ""."""

    filter: str = "all"
    task: str = ""
    chosen: str = ""
    search: str = ""
    sort: str = "order"
    descending: bool = False
    head: str = "oracle"
    page: int = 0
    row: str = ""
    pinned: str = ""

    def view(self) -> View:
        """As the library takes it, so that table and exports show the same rows."""
        from semerge.evaluation.inspection import View  # imports torch

        answers = {"static": f"static_{self.head}", "se": f"se_{self.head}"}
        return View(
            filter=self.filter,
            tasks=(self.task,) if self.task else (),
            chosen=self.chosen or None,
            search=self.search,
            sort=answers.get(self.sort, self.sort),
            descending=self.descending,
            head=self.head,
        )

    @property
    def narrowed(self) -> bool:
        """Whether anything but the order keeps rows out."""
        return bool(self.filter != "all" or self.task or self.chosen or self.search)

    def fitting(self, suite: Suite) -> Look:
        """The same without tasks that the suite does not have."""
        known = suite.task_names
        return replace(
            self,
            task=self.task if self.task in known else "",
            chosen=self.chosen if self.chosen in known else "",
        )

    def link(self) -> dict[str, Any]:
        """As values of a link; what is usual is left out."""
        usual = Look()
        found = {name: value for name, value in vars(self).items() if value != vars(usual)[name]}
        if found.pop("descending", False):
            found["order"] = "descending"
        if "head" in found:  # a link's `head` is that of the settings
            found["under"] = found.pop("head")
        if "page" in found:
            found[PAGE_KEY] = found.pop("page") + 1
        return found


def read_look(query: Query, suite: Suite) -> Look:
    """The look that a link names."""
    tasks = ("", *suite.task_names)
    return Look(
        filter=query.one_of("filter", tuple(FILTERS), "all"),
        task=query.one_of("task", tasks, ""),
        chosen=query.one_of("chosen", tasks, ""),
        search=query.text("search"),
        sort=query.one_of("sort", SORTS, "order"),
        descending=query.one_of("order", ("ascending", "descending"), "") == "descending",
        head=query.one_of("under", tuple(HEADS), "oracle"),
        page=query.whole(PAGE_KEY, 1, 10**6, 1) - 1,
        row=query.text("row"),
        pinned=query.text("pinned"),
    )


def changed(look: Look, action: Mapping[str, Any], suite: Suite) -> Look:
    """The look after a button of the summary, the matrix or the table; unchanged if a client sent
    something else. Filters begin at the first page."""
    do, value, tasks = action.get("do"), action.get("value"), suite.task_names
    if do == "filter" and isinstance(value, str) and value in FILTERS:
        # pressed once more, a filter is taken away
        return replace(look, filter="all" if value == look.filter else value, page=0)
    if do == "cell" and action.get("task") in tasks and action.get("chosen") in tasks:
        cell = (action["task"], action["chosen"])
        task, chosen = ("", "") if cell == (look.task, look.chosen) else cell
        return replace(look, task=task, chosen=chosen, page=0)
    if do == "sort" and isinstance(value, str) and value in SORTS:
        if value != look.sort:
            return replace(look, sort=value, descending=False, page=0)
        if not look.descending:
            return replace(look, descending=True, page=0)
        return replace(look, sort="order", descending=False, page=0)
    if do == "page" and type(value) is int and 0 <= value < 10**6:
        return replace(look, page=value)
    if do == "clear":
        return Look(head=look.head, row=look.row, pinned=look.pinned)
    return look


def stepped(look: Look, action: Mapping[str, Any], ids: Sequence[str]) -> Look:
    """The look after a row was opened, or the next, previous or any other one of `ids`, the rows
    that the filters leave; or after the open one was pinned. The page follows the row."""
    do, value = action.get("do"), action.get("value")
    if do == "open" and isinstance(value, str) and value in ids:
        return paged(replace(look, row=value), ids)
    if do == "pin":
        return replace(look, pinned="" if look.pinned == look.row else look.row)
    if do == "unpin":
        return replace(look, pinned="")
    if do != "step" or not ids:
        return look
    at = ids.index(look.row) if look.row in ids else -1
    if value == "next":
        at = min(at + 1, len(ids) - 1)
    elif value == "previous":
        at = max(at - 1, 0)
    elif value == "random":
        at = random.choice([i for i in range(len(ids)) if i != at] or [at])
    else:
        return look
    return paged(replace(look, row=ids[at]), ids)


def paged(look: Look, ids: Sequence[str]) -> Look:
    """The look at the page on which its row is."""
    return replace(look, page=ids.index(look.row) // PAGE) if look.row in ids else look


def within(look: Look, rows: int) -> Look:
    """The look with a page that exists."""
    return replace(look, page=min(look.page, _last(rows)))


def known(look: Look, samples: Collection[str], rows: int) -> tuple[Look, list[str]]:
    """A link's look without what is not there, and what to tell of that. Only the samples can say.

    samples: ids of all of them. rows: how many the look's filters leave.
    """
    asked = {"row": look.row, "pinned": look.pinned}
    told = [unknown(key, name) for key, name in asked.items() if name and name not in samples]
    row, pinned = (name if name in samples else "" for name in asked.values())
    page = look.page
    if page > _last(rows):
        told.append(unknown(PAGE_KEY, str(page + 1)))
        page = 0
    return replace(look, row=row, pinned=pinned, page=page), told


def _last(rows: int) -> int:
    """The last page of so many rows."""
    return max(0, (rows - 1) // PAGE)


def index_of(found: Inspection, name: str) -> int | None:
    """The number of the row with this id."""
    return next((i for i, row in enumerate(found.rows) if row.id == name), None) if name else None
