"""Which labelled set an inspection runs on, and what a page shows of it. No gradio, no torch."""

from __future__ import annotations

import random
import re
import shlex
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from semerge.common import UserError, reading
from semerge.data.hub import HUB, check_hub_data
from semerge.data.labelled import SPLITS, Sets
from semerge.data.sets import (
    EXAMPLES,
    GENERATED,
    GENERATED_COUNT,
    chosen_sets,
    example_sets,
    names_no_task,
    rendered_tasks,
    subsample,
)
from semerge.data.uploads import uploaded_sets
from semerge.settings import AUTO, FINAL, Settings, descriptions
from semerge.suites import SUITES_FOLDER, Suite
from semerge.suites.class_names import Notice
from semerge.suites.examples import Examples
from semerge.ui.context import of_settings
from semerge.ui.links import Query, read_settings, unknown
from semerge.ui.safe import on_this_computer

if TYPE_CHECKING:
    from semerge.evaluation.inspection import Inspection, View

FOLDER, UPLOAD = "folder", "upload"
KINDS = (EXAMPLES, GENERATED, FOLDER, UPLOAD, HUB)
MAX_LIMIT = 1_000_000
OWN_UPLOAD = "Your upload is not in the link; everything else is."


@dataclass(frozen=True)
class Choice:
    """kind: of KINDS. place: the path of a folder, a file, or an upload. split: of a folder, the
    rendered tasks or the hub. task: of a file's samples; None to infer it. limit: samples a task;
    None for all."""

    suite: Suite
    kind: str = EXAMPLES
    place: str = ""
    split: str = "test"
    task: str | None = None
    limit: int | None = None
    settings: Settings = field(default_factory=Settings)

    @property
    def splits(self) -> bool:
        """Whether the set has splits."""
        return self.kind in (GENERATED, FOLDER, HUB)

    @property
    def names_task(self) -> bool:
        """Whether a task can be named for all samples."""
        return self.kind in (FOLDER, UPLOAD)

    @property
    def quick(self) -> bool:
        """Whether a link may run it without being asked once more."""
        return self.kind == EXAMPLES

    def check(self, examples: Examples) -> None:
        """Raises UserError for what can be told before anything is read."""
        if self.kind not in kinds(self.suite, examples):
            raise UserError("This labelled set is not on offer here; choose another one.")
        if self.kind == FOLDER and not self.place.strip():
            raise UserError("Name a folder, or a .zip, CSV or JSON file.")
        if self.kind == UPLOAD and not self.place:
            images = self.suite.modality == "image"
            what = "a zip archive with one folder a class" if images else "a CSV or JSON file"
            raise UserError(f"Upload {what} first.")
        if self.kind == UPLOAD and not Path(self.place).is_file():
            raise UserError("This upload has been deleted by now; please choose it again.")
        if self.limit is not None and not 1 <= self.limit <= MAX_LIMIT:
            raise UserError("The limit must be 1 or more samples a task.")
        self.settings.resolve(self.suite)

    def sets(self, examples: Examples, notice: Notice = lambda text: None) -> Sets:
        """The samples; `notice` is told what is not read. Raises UserError where there are none
        that fit."""
        if self.kind == EXAMPLES:
            found = example_sets(self.suite, examples)
            return found if self.limit is None else subsample(found, self.limit, 0)
        if self.kind == UPLOAD:
            return uploaded_sets(self.suite, self.place, self.task, limit=self.limit, notice=notice)
        place = self._path() if self.kind == FOLDER else self.kind
        with reading(self.place.strip()):
            # a folder of tasks says them itself; what is left in the box is of another kind of set
            task = self.task if self._of_labels() else None
            return chosen_sets(self.suite, place, self.split, self.limit, task=task, notice=notice)

    def same(self, other: Choice) -> bool:
        """Whether it asks for the same rows, whatever is left in boxes that do not count."""

        def counts(choice: Choice) -> tuple[Any, ...]:
            place = choice.place.strip() if choice.kind in (FOLDER, UPLOAD) else ""
            split = choice.split if choice.splits else ""
            task = choice.task if choice.names_task else None
            settings = choice.settings.resolve(choice.suite)
            return choice.suite.name, choice.kind, place, split, task, choice.limit, settings

        return counts(self) == counts(other)

    def command(self) -> str:
        """The command line that gives the same rows."""
        data = {FOLDER: self._path(), UPLOAD: Path(self.place).name}.get(self.kind, self.kind)
        argv = ["python", "-m", "semerge", "evaluate", "--suite", _called(self.suite)]
        argv += ["--data", data]
        if self.splits and self.split != "test":
            argv += ["--split", self.split]
        if self.task and self._of_labels():
            argv += ["--task", self.task]
        if self.limit is not None:
            argv += ["--limit", str(self.limit)]
        usual, chosen = Settings().resolve(self.suite), self.settings.resolve(self.suite)
        for name, described in descriptions().items():
            value = getattr(chosen, name)
            # rows are read under every head, and the final embedding has no pooling to name
            named = described.link and name != "head" and (name == "layer" or value != FINAL)
            if named and value != getattr(usual, name):
                flag = "--methods" if name == "method" else f"--{name.replace('_', '-')}"
                argv += [flag, str(value)]
        return shlex.join([*argv, "--csv", "rows.csv"])

    def link(self) -> tuple[dict[str, Any], str]:
        """As values of a link, and what of it the link can't hold. A path is named only where it
        can be asked for: the address bar of a public page never holds one."""
        values = {
            "suite": self.suite.name,
            "set": self.kind,
            "data": self.place.strip() if self.kind == FOLDER else None,
            "split": self.split if self.splits and self.split != "test" else None,
            "of": self.task if self.names_task else None,
            "limit": self.limit,
            **of_settings(self.settings),
        }
        return values, OWN_UPLOAD if self.kind == UPLOAD and self.place else ""

    def _path(self) -> str:
        """The place with the ~ of a home expanded: quoted in a command, no shell does."""
        place = self.place.strip()
        try:
            return str(Path(place).expanduser()) if place.startswith("~") else place
        except RuntimeError:  # ~name of nobody
            return place

    def _of_labels(self) -> bool:
        """Whether the labels tell the task, so that one can be named."""
        return self.kind == UPLOAD or (
            self.kind == FOLDER and names_no_task(self.suite, self._path())
        )


def _called(suite: Suite) -> str:
    """The suite as a command names it: a shipped one by its name, another one by its folder. A
    page for everybody does not tell where on the server that is."""
    shipped = suite.folder == SUITES_FOLDER / suite.name
    return suite.name if shipped or not on_this_computer() else str(suite.folder.resolve())


def kinds(suite: Suite, examples: Examples) -> dict[str, str]:
    """The kinds of labelled sets that are on offer for a suite, with their titles."""
    own = [e for e in examples.of(suite.modality) if e.task in suite.task_names]
    found = {EXAMPLES: f"Bundled examples ({len(own)})"} if own else {}
    if rendered := rendered_tasks(suite):
        count = len(rendered) * GENERATED_COUNT["test"]
        found[GENERATED] = f"Rendered tasks ({count:,} images)"
    if on_this_computer():
        found[FOLDER] = "A folder or file on this computer"
    found[UPLOAD] = "Your upload"
    try:
        check_hub_data(suite)
    except UserError:
        return found
    return found | {HUB: "The published test sets, from the hub"}


def first_choice(suite: Suite, examples: Examples) -> Choice:
    """What the form says before anybody has touched it."""
    return Choice(suite, next(iter(kinds(suite, examples))))


def read_choice(query: Query, suite: Suite, examples: Examples) -> Choice:
    """The choice that a link names."""
    offered = tuple(kinds(suite, examples))
    kind = query.one_of("set", offered, offered[0])
    limit = query.whole("limit", 1, MAX_LIMIT, 0)
    return Choice(
        suite,
        kind,
        place=query.text("data") if kind == FOLDER else "",
        split=query.one_of("split", SPLITS, "test"),
        task=query.one_of("of", suite.task_names, "") or None,
        limit=limit or None,
        settings=replace(read_settings(query, suite), head=AUTO, fallback="route"),
    )


# ---- what a page shows of an inspection ----------------------------------------------------------

PAGE = 25
"""Rows of the table that are in the page at once."""
PAGE_KEY = "table_page"
"""The table's page in a link. `page` alone is a name of Gradio's own, see `own_query`."""
HEADS = {"oracle": "the sample's own task", "routed": "the chosen expert"}
LAYOUTS = ("table", "gallery")
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
    """A frozen value; every button makes a new one. filter: of FILTERS. task, chosen: names, or ""
    for any. sort: of SORTS, where `static` and `se` are their answers under `head`. row, pinned:
    ids of samples, or "". region: numbers of rows that were picked on the map, as `ranges` writes
    them, or "" for all. layout: of LAYOUTS."""

    filter: str = "all"
    task: str = ""
    chosen: str = ""
    search: str = ""
    sort: str = "order"
    descending: bool = False
    head: str = "routed"
    page: int = 0
    row: str = ""
    pinned: str = ""
    region: str = ""
    layout: str = "table"

    def view(self) -> View:
        """As the library takes it, so that table and exports show the same rows."""
        from semerge.evaluation.inspection import View  # imports torch

        answers = {"static": f"static_{self.head}", "se": f"se_{self.head}"}
        return View(
            filter=self.filter,
            tasks=(self.task,) if self.task else (),
            chosen=self.chosen or None,
            search=self.search,
            rows=numbers(self.region) if self.region else None,
            sort=answers.get(self.sort, self.sort),
            descending=self.descending,
            head=self.head,
        )

    @property
    def usual(self) -> Look:
        """All rows, in the order of the sets, as this one reads and lays them out."""
        return Look(head=self.head, layout=self.layout)

    @property
    def narrowed(self) -> bool:
        """Whether anything but the order keeps rows out."""
        return bool(self.filter != "all" or self.task or self.chosen or self.search or self.region)

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
        if len(self.region) > REGION:
            del found["region"]
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
        region=region(query.text("region")),
        sort=query.one_of("sort", SORTS, "order"),
        descending=query.one_of("order", ("ascending", "descending"), "") == "descending",
        head=query.one_of("under", tuple(HEADS), Look.head),
        layout=query.one_of("layout", LAYOUTS, Look.layout),
        page=query.whole(PAGE_KEY, 1, 10**6, 1) - 1,
        row=query.text("row"),
        pinned=query.text("pinned"),
    )


def changed(
    look: Look, action: Mapping[str, Any], tasks: Collection[str], filters: Collection[str]
) -> Look:
    """The look after a button of the summary, the matrix or the table; unchanged if a client sent
    something else. Filters begin at the first page. tasks, filters: those that there are."""
    do, value = action.get("do"), action.get("value")
    if do == "filter" and isinstance(value, str) and value in filters:
        # pressed once more, a filter is taken away
        return replace(look, filter="all" if value == look.filter else value, page=0)
    if do == "cell" and action.get("task") in tasks and action.get("chosen") in tasks:
        cell = (action["task"], action["chosen"])
        task, chosen = ("", "") if cell == (look.task, look.chosen) else cell
        return replace(look, task=task, chosen=chosen, page=0)
    if do == "task" and value in tasks:
        return replace(look, task="" if value == look.task else str(value), page=0)
    if do == "region":
        picked = region(value)
        return replace(look, region="" if picked == look.region else picked, page=0)
    if do == "sort" and isinstance(value, str) and value in SORTS:
        if value != look.sort:
            return replace(look, sort=value, descending=False, page=0)
        if not look.descending:
            return replace(look, descending=True, page=0)
        return replace(look, sort="order", descending=False, page=0)
    if do == "page" and type(value) is int and 0 <= value < 10**6:
        return replace(look, page=value)
    if do == "layout" and isinstance(value, str) and value in LAYOUTS:
        return replace(look, layout=value)
    if do == "clear":
        return replace(look.usual, row=look.row, pinned=look.pinned)
    return look


REGION = 1500
"""Letters of a region that a link holds."""
_REGION = re.compile(r"(\d{1,7}(-\d{1,7})?)(,\d{1,7}(-\d{1,7})?)*")
MAX_PICKED = 100_000


def ranges(rows: Iterable[int]) -> str:
    """Numbers of rows as text: 0-4,7."""
    found: list[list[int]] = []
    for row in sorted(set(rows)):
        if found and row == found[-1][1] + 1:
            found[-1][1] = row
        else:
            found.append([row, row])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in found)


def numbers(text: str) -> tuple[int, ...]:
    """What `ranges` wrote."""
    ends = [part.partition("-")[::2] for part in text.split(",") if part]
    return tuple(chain.from_iterable(range(int(a), int(b or a) + 1) for a, b in ends))


def region(text: Any) -> str:
    """A region that a client or a link sends; "" for what is none."""
    if not isinstance(text, str) or len(text) > 100 * REGION or not _REGION.fullmatch(text):
        return ""
    ends = [part.partition("-")[::2] for part in text.split(",")]
    picked = sum(max(0, int(b or a) - int(a) + 1) for a, b in ends)
    return ranges(numbers(text)) if picked <= MAX_PICKED else ""


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


def new_look(before: Look, now: Look, usual: Look) -> Look:
    """The look at a new result: `usual`, but for what was changed in `now` since `before`."""
    since = {name: value for name, value in vars(now).items() if value != vars(before)[name]}
    return replace(usual, **since)


def paged(look: Look, ids: Sequence[str]) -> Look:
    """The look at the page on which its row is."""
    return replace(look, page=ids.index(look.row) // PAGE) if look.row in ids else look


def within(look: Look, rows: int) -> Look:
    """The look with a page that exists, of so many rows."""
    return replace(look, page=min(look.page, last_page(rows)))


def known(look: Look, samples: Collection[str], rows: int) -> tuple[Look, list[str]]:
    """A link's look without what is not there, and what to tell of that. Only the samples can say.
    samples: ids of all of them. rows: how many the look's filters leave."""
    asked = {"row": look.row, "pinned": look.pinned}
    missing = {key: name for key, name in asked.items() if name and name not in samples}
    notices = [unknown(key, name) for key, name in missing.items()]
    if look.page > last_page(rows):
        notices.append(unknown(PAGE_KEY, str(look.page + 1)))
        look = replace(look, page=0)
    nothing: dict[str, Any] = dict.fromkeys(missing, "")
    return replace(look, **nothing), notices


def last_page(rows: int) -> int:
    """The last page of so many rows."""
    return max(0, (rows - 1) // PAGE)


def index_of(inspection: Inspection, name: str) -> int | None:
    """The number of the row with this id."""
    rows = enumerate(inspection.rows) if name else ()
    return next((i for i, row in rows if row.id == name), None)
