"""Inspecting a suite on a labelled set: a row a sample, what to look at first, and its files."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property, partial
from typing import Any, TextIO

import semerge
from semerge.common import UserError, quoted, samples, templates
from semerge.data.batches import picture
from semerge.data.labelled import Sets
from semerge.data.tabular import escaped
from semerge.engine import Engine
from semerge.evaluation.collect import Collected, Place, collect
from semerge.evaluation.figures import (
    BOTH_RIGHT,
    HEADS,
    STATUSES,
    Limits,
    Row,
    limits,
    limits_of_mean,
    status,
    summary,
)
from semerge.evaluation.measure import Cancelled, Progress
from semerge.inputs import CleanText, DecodedImage, png_url
from semerge.result import today
from semerge.settings import Resolved, Settings
from semerge.suites import Suite

CONFIGURATION = tuple(
    field.name
    for field in fields(Resolved)
    # not those of a reader, nor what the others say
    if field.init and field.name not in ("head", "hard", "fast", "changed")
)
"""All of a `Resolved` that changes a row: two runs that differ in none of it have the same rows."""
LOW_MARGIN = 0.05
"""What counts as a low margin where the suite's validation has set no threshold."""


@dataclass(frozen=True)
class Inspection:
    """Rows of the samples that were run, in the order of the sets. places: where each row's sample
    lies. complete: nothing was left out by a cancel."""

    suite: Suite
    sets: Sets
    resolved: Resolved
    rows: Sequence[Row]
    places: Sequence[Place]
    complete: bool
    weights_sha256: str

    @classmethod
    def of(
        cls, engine: Engine, sets: Sets, resolved: Resolved, found: Collected, column: int = 0
    ) -> Inspection:
        """What was collected under one of several settings."""
        return cls(
            suite=engine.suite,
            sets=sets,
            resolved=resolved,
            rows=found.rows[column],
            places=found.places,
            complete=found.complete,
            weights_sha256=engine.models.sha256,
        )

    def sample(self, i: int) -> DecodedImage | CleanText:
        """The input of row i, as `Engine.predict` takes it."""
        which, row = self.places[i]
        samples = self.sets.sets[which]
        if samples.visual:
            return DecodedImage(picture(samples.pixels(row)))
        return CleanText(samples.texts[row], samples.texts_b[row])

    def text(self, i: int) -> tuple[str, str]:
        """The sentence or pair of row i; empty for images."""
        which, row = self.places[i]
        samples = self.sets.sets[which]
        return ("", "") if samples.visual else (samples.texts[row], samples.texts_b[row] or "")

    def picture_url(self, i: int, side: int) -> str:
        """The image of row i, no larger than `side`, as an address that holds it; "" for text."""
        sample = self.sample(i)
        if isinstance(sample, CleanText):
            return ""
        small = sample.image.copy()
        small.thumbnail((side, side))
        return png_url(small)

    def about(self) -> dict[str, Any]:
        """What the rows come from: goes into every export."""
        return {
            "suite": self.suite.name,
            "weights_sha256": self.weights_sha256,
            **{name: getattr(self.resolved, name) for name in CONFIGURATION},
            "version": semerge.__version__,
            "date": today(),
            "data": self.sets.data,
            "split": self.sets.split,
            "samples": self.sets.total,
            "done": len(self.rows),
        }

    @cached_property
    def low_margin(self) -> float:
        """Margins below this are low: the suite's threshold of what is closer than usual, which
        holds at its default probe, layer and pooling, else LOW_MARGIN."""
        usual = self.resolved.probing == Settings().resolve(self.suite).probing
        limit = self.suite.thresholds.get("near_tie") if usual else None
        return LOW_MARGIN if limit is None else limit


def inspect(
    engine: Engine,
    sets: Sets,
    settings: Settings,
    progress: Progress | None = None,
    cancelled: Cancelled | None = None,
    so_far: Callable[[Inspection], None] | None = None,
) -> Inspection:
    """Run labelled sets of the engine's suite; a cancel keeps the rows that are done. progress gets
    (samples done, samples in all) after each batch, so_far the inspection of what is done by then.
    Raises UserError where the settings do not fit the suite, or a sample can't be read."""
    resolved = settings.resolve(engine.suite)
    of = partial(Inspection.of, engine, sets, resolved)
    tell = None if so_far is None else lambda found: so_far(of(found))
    return of(collect(engine, sets, [resolved], progress, cancelled, tell))


# ---- what a row tells ---------------------------------------------------------------------------


def misrouted(row: Row) -> bool:
    """Whether another task's expert was taken."""
    return row.chosen != row.task


def disagrees(row: Row, head: str = "oracle") -> bool:
    """Whether SE-Merging and the static merge answer differently under the same head."""
    se: str = getattr(row, f"se_{head}")
    static: str = getattr(row, f"static_{head}")
    return se != static


# ---- views --------------------------------------------------------------------------------------


def _has(kind: str, row: Row, view: View, low: float) -> bool:
    return status(row, view.head) == kind


FILTERS: Mapping[str, Callable[[Row, View, float], bool]] = {
    "all": lambda row, view, low: True,
    "disagree": lambda row, view, low: disagrees(row, view.head),
    **{kind: partial(_has, kind) for kind in STATUSES if kind != BOTH_RIGHT},
    "misrouted": lambda row, view, low: misrouted(row),
    "low margin": lambda row, view, low: row.margin < low,
}
SORTS = ("order", "status", "misrouted", *(f.name for f in fields(Row)))


@dataclass(frozen=True)
class View:
    """Which rows are on screen, and in which order.

    filter: a key of FILTERS. tasks: of the samples; empty for all. chosen: the expert that was
    taken; with one task it is a cell of the matrix. search: words that all have to be somewhere in
    the row or its sentence, in any case. rows: numbers of those that were picked; None for all.
    sort: of SORTS; "order" is that of the sets.
    """

    filter: str = "all"
    tasks: tuple[str, ...] = ()
    chosen: str | None = None
    search: str = ""
    rows: tuple[int, ...] | None = None
    sort: str = "order"
    descending: bool = False
    head: str = "oracle"


def select(inspection: Inspection, view: View) -> tuple[int, ...]:
    """Numbers of the rows that a view shows, in its order; equals keep the order of the sets.
    Raises UserError where the view names a filter, order or head that does not exist."""
    for name, value, valid in (
        ("filter", view.filter, tuple(FILTERS)),
        ("sort", view.sort, SORTS),
        ("head", view.head, HEADS),
    ):
        if value not in valid:
            raise UserError(f"{name} {quoted(value)} is unknown; valid are {', '.join(valid)}.")
    keep, words = FILTERS[view.filter], view.search.casefold().split()
    picked = None if view.rows is None else frozenset(view.rows)
    chosen = [
        i
        for i, row in enumerate(inspection.rows)
        if (picked is None or i in picked)
        and (not view.tasks or row.task in view.tasks)
        and view.chosen in (None, row.chosen)
        and keep(row, view, inspection.low_margin)
        and (not words or _mentions(inspection, i, words))
    ]
    if view.sort != "order":
        # reverse=True keeps equals in their order, as Python's sort is stable both ways
        chosen.sort(key=partial(_rank, inspection, view), reverse=view.descending)
    elif view.descending:
        chosen.reverse()
    return tuple(chosen)


def _mentions(inspection: Inspection, i: int, words: Sequence[str]) -> bool:
    cells = [value for value in vars(inspection.rows[i]).values() if isinstance(value, str)]
    text = "\n".join([*cells, *inspection.text(i)]).casefold()
    return all(word in text for word in words)


def _rank(inspection: Inspection, view: View, i: int) -> Any:
    row = inspection.rows[i]
    if view.sort == "status":
        return STATUSES.index(status(row, view.head))
    if view.sort == "misrouted":
        return not misrouted(row)
    # ids as numbers: 10 comes after 9
    return inspection.places[i] if view.sort == "id" else getattr(row, view.sort)


# ---- the figures above the table ----------------------------------------------------------------


def counts(inspection: Inspection, head: str = "oracle") -> dict[str, int]:
    """Rows by filter: what the summary's buttons say, and "both right"."""
    view, rows, low = View(head=head), inspection.rows, inspection.low_margin
    numbers = {name: sum(test(row, view, low) for row in rows) for name, test in FILTERS.items()}
    return numbers | {BOTH_RIGHT: sum(_has(BOTH_RIGHT, row, view, low) for row in rows)}


def figures(inspection: Inspection) -> dict[str, Any]:
    """Accuracies by task, their averages and the recovered gap, as `figures.summary` has them."""
    return summary(inspection.rows, [task.name for task in inspection.suite.tasks if task.real])


def matrix(inspection: Inspection) -> tuple[tuple[int, ...], ...]:
    """T x T counts in the suite's order: samples of task i for which expert j was taken."""
    names = inspection.suite.task_names
    pairs = [(row.task, row.chosen) for row in inspection.rows]
    return tuple(tuple(pairs.count((task, chosen)) for chosen in names) for task in names)


# ---- CSV and JSON: exactly the rows of a view, in its order --------------------------------------

ABOUT = ("suite", "weights_sha256", *CONFIGURATION, "version", "date")
"""What every line of the CSV repeats, so that lines of two files can be told apart."""
HEADER = (
    *(field.name for field in fields(Row)),
    *("status", "status_routed", "misrouted", "text", "text_b"),
    *ABOUT,
)
MARK = "\ufeff"
"""What a CSV file begins with, or else Excel takes it for another encoding than UTF-8."""


def write_csv(inspection: Inspection, file: TextIO, view: View | None = None) -> None:
    """The view's rows (all without one) as CSV with a header."""
    about, chosen = inspection.about(), select(inspection, view or View())
    write_table(file, HEADER, (record | about for record in records(inspection, chosen)))


def write_table(
    file: TextIO, header: Sequence[str], records: Iterable[Mapping[str, object]]
) -> None:
    """Records as a CSV file, the columns of `header`; see `MARK` and `cell`."""
    file.write(MARK)
    # quoted throughout, as the writer leaves a lone carriage return bare, which breaks the line
    writer = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writerow(header)
    writer.writerows([cell(record[name]) for name in header] for record in records)


def to_json(inspection: Inspection, view: View | None = None) -> str:
    """The view's rows as one JSON object: what they come from, the view, `rows`."""
    view = view or View()
    rows = list(records(inspection, select(inspection, view)))
    content = {**inspection.about(), "view": vars(view), "n": len(rows), "rows": rows}
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)


def records(inspection: Inspection, chosen: Sequence[int]) -> Iterator[dict[str, Any]]:
    """Rows by number as dictionaries, with their status under either head and their sentences."""
    for i in chosen:
        row, (text, text_b) = inspection.rows[i], inspection.text(i)
        yield {
            **vars(row),
            "status": status(row),
            "status_routed": status(row, "routed"),
            "misrouted": misrouted(row),
            "text": text,
            "text_b": text_b,
        }


def cell(value: object) -> str:
    """One value in a CSV, empty for None: numbers have six digits, and what a spreadsheet would run
    as a formula is `escaped`, which reading it as a labelled set undoes."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.6g}"
    return escaped(str(value))


# ---- one HTML page that needs no server, no script and no network --------------------------------

LIMIT = 200
"""Rows on a page."""
THUMBNAIL = 64
"""Pixels of a thumbnail's longer side."""
HEAD_TITLES = {"oracle": "given", "routed": "chosen expert's"}
REPORTED = {
    "base_oracle": "base",
    "base_routed": "base, chosen head",
    "static_oracle": "static",
    "static_routed": "static, chosen head",
    "se_oracle": "SE",
    "se_routed": "SE, chosen head",
    "expert": "expert",
    "routing": "right expert",
}
"""The columns of a page's accuracies, with their headings; the head is the given one, unless it
says the chosen expert's."""


def _with_limits(share: float, within: Limits) -> str:
    low, high = (f"{100 * limit:.1f}" for limit in within)
    return f"{100 * share:.1f} ({low}–{high})"


def static_report(inspection: Inspection, view: View | None = None, limit: int = LIMIT) -> str:
    """The page: settings, accuracies, counts, the matrix, and the view's first `limit` rows."""
    view, about, content = view or View(), inspection.about(), figures(inspection)
    titles = {task.name: task.title for task in inspection.suite.tasks}
    within, of_mean = limits(content["tasks"]), limits_of_mean(content["tasks"])
    lines = [(titles[name], line, within[name]) for name, line in content["tasks"].items()]
    if average := content["average"]:
        lines.append(("average", average | {"n": len(inspection.rows)}, of_mean))
    looked = vars(view) | {"tasks": ", ".join(titles[name] for name in view.tasks)}
    looked |= {"chosen": view.chosen and titles[view.chosen], "head": HEAD_TITLES[view.head]}
    if view.rows is not None:
        looked = looked | {"rows": f"{len(view.rows)} that were picked"}
    settings = {name.replace("_", " "): value for name, value in about.items() if value is not None}
    page = templates().get_template("inspection_page.html")
    text = page.render(
        title=f"{inspection.suite.title}: {samples(about['done'])} of {about['data']}",
        average=average,
        limits=of_mean,
        heads=("task", *REPORTED.values(), "n"),
        accuracies=[
            (name, *(_with_limits(line[key], own[key]) for key in REPORTED), f"{line['n']:,}")
            for name, line, own in lines
        ],
        counts=counts(inspection, view.head).items(),
        matrix=matrix(inspection),
        inspection=inspection,
        titles=titles,
        view=view,
        chosen=select(inspection, view),
        limit=limit,
        status=status,
        side=THUMBNAIL,
        entropy=not inspection.resolved.hard,  # of one expert alone it is 0
        settings=[*settings.items(), *((k, value) for k, value in looked.items() if value)],
    )
    return text.lstrip() + "\n"
