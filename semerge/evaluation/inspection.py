"""Inspecting a suite on a labelled set: a row a sample, what to look at first, and its files."""

from __future__ import annotations

import base64
import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from html import escape
from typing import Any, TextIO

import semerge
from semerge.common import UserError
from semerge.data.batches import picture
from semerge.data.labelled import Sets
from semerge.engine import Engine
from semerge.evaluation.collect import Collected, Place, collect
from semerge.evaluation.figures import COLUMNS, HEADS, Row, summary
from semerge.evaluation.measure import Cancelled, Progress
from semerge.inputs import CleanText, DecodedImage
from semerge.settings import Resolved, Settings
from semerge.suites import Suite

CONFIGURATION = (
    "method",
    "preset",
    "probe",
    "layer",
    "pool",
    "probe_lambda",
    "similarity",
    "normalise",
    "temperature",
    "mass",
    "quantise",
    "fallback",
)
"""All of a `Resolved` that changes a row: two runs that differ in none of it have the same rows."""
FIXED, BROKEN, BOTH_WRONG, BOTH_RIGHT = "fixed", "broken", "both wrong", "both right"
STATUSES = (FIXED, BROKEN, BOTH_WRONG, BOTH_RIGHT)
LOW_MARGIN = 0.05
"""What counts as a low margin where the suite's validation has set no threshold."""


@dataclass(frozen=True)
class Inspection:
    """Rows of the samples that were run, in the order of the sets.

    places: where each row's sample lies. complete: nothing was left out by a cancel.
    """

    suite: Suite
    sets: Sets
    resolved: Resolved
    rows: tuple[Row, ...]
    places: tuple[Place, ...]
    complete: bool
    weights_sha256: str

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

    def about(self) -> dict[str, Any]:
        """What the rows come from: goes into every export."""
        return about(self.suite, self.resolved, self.weights_sha256) | {
            "data": self.sets.data,
            "split": self.sets.split,
            "samples": self.sets.total,
            "done": len(self.rows),
        }

    @cached_property
    def low_margin(self) -> float:
        """Margins below this are low: the suite's threshold of a near tie, which holds at its
        default probe, layer and pooling, else LOW_MARGIN."""
        defaults = self.suite.defaults
        usual = (defaults.probe, defaults.layer, defaults.pool) == self.resolved.probing
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
    """Run labelled sets of the engine's suite; a cancel keeps the rows that are done.

    progress gets (samples done, samples in all) after each batch; cancelled is asked before each.
    so_far gets the inspection of what is done after each batch, for who can't wait for the next.

    Raises:
        UserError: the settings do not fit the suite, or a sample can't be read.
    """
    resolved = settings.resolve(engine.suite)

    def inspected(found: Collected) -> Inspection:
        return Inspection(
            suite=engine.suite,
            sets=sets,
            resolved=resolved,
            rows=found.rows[0],
            places=found.places,
            complete=found.complete,
            weights_sha256=engine.models.sha256,
        )

    tell = None if so_far is None else lambda found: so_far(inspected(found))
    return inspected(collect(engine, sets, [resolved], progress, cancelled, tell))


def about(suite: Suite, resolved: Resolved, weights_sha256: str) -> dict[str, Any]:
    """Suite, weights, settings and version."""
    return {
        "suite": suite.name,
        "weights_sha256": weights_sha256,
        **{name: getattr(resolved, name) for name in CONFIGURATION},
        "static_lambda": suite.defaults.static_lambda,
        "version": semerge.__version__,
    }


# ---- what a row tells ---------------------------------------------------------------------------


def status(row: Row, head: str = "oracle") -> str:
    """What SE-Merging made of the static merge's answer, both under the same head: `oracle`, the
    task's own, or `routed`, the chosen expert's, where a wrong expert is a wrong answer."""
    static, se = row.right(f"static_{head}"), row.right(f"se_{head}")
    if static == se:
        return BOTH_RIGHT if se else BOTH_WRONG
    return FIXED if se else BROKEN


def misrouted(row: Row) -> bool:
    """Whether another task's expert was taken."""
    return row.chosen != row.task


def disagrees(row: Row, head: str = "oracle") -> bool:
    """Whether SE-Merging and the static merge answer differently under the same head."""
    se: str = getattr(row, f"se_{head}")
    static: str = getattr(row, f"static_{head}")
    return se != static


# ---- views --------------------------------------------------------------------------------------

_Test = Callable[[Row, "View", float], bool]
FILTERS: Mapping[str, _Test] = {
    "all": lambda row, view, low: True,
    "disagree": lambda row, view, low: disagrees(row, view.head),
    FIXED: lambda row, view, low: status(row, view.head) == FIXED,
    BROKEN: lambda row, view, low: status(row, view.head) == BROKEN,
    BOTH_WRONG: lambda row, view, low: status(row, view.head) == BOTH_WRONG,
    "misrouted": lambda row, view, low: misrouted(row),
    "low margin": lambda row, view, low: row.margin < low,
}
SORTS = ("order", "status", "misrouted", *(f.name for f in fields(Row)))


@dataclass(frozen=True)
class View:
    """Which rows are on screen, and in which order.

    filter: a key of FILTERS. tasks: of the samples; empty for all. chosen: the expert that was
    taken; with one task it is a cell of the matrix. search: words that all have to be somewhere in
    the row or its sentence, in any case. sort: of SORTS; "order" is that of the sets.
    """

    filter: str = "all"
    tasks: tuple[str, ...] = ()
    chosen: str | None = None
    search: str = ""
    sort: str = "order"
    descending: bool = False
    head: str = "oracle"


def select(found: Inspection, view: View) -> tuple[int, ...]:
    """Numbers of the rows that a view shows, in its order; equals keep the order of the sets.

    Raises:
        UserError: the view names a filter, order or head that does not exist.
    """
    for name, value, valid in (
        ("filter", view.filter, tuple(FILTERS)),
        ("sort", view.sort, SORTS),
        ("head", view.head, HEADS),
    ):
        if value not in valid:
            raise UserError(f"{name} {value!r} is unknown; valid are {', '.join(valid)}.")
    keep, words = FILTERS[view.filter], view.search.casefold().split()
    chosen = [
        i
        for i, row in enumerate(found.rows)
        if (not view.tasks or row.task in view.tasks)
        and view.chosen in (None, row.chosen)
        and keep(row, view, found.low_margin)
        and (not words or _mentions(found, i, words))
    ]
    if view.sort != "order":
        # reverse=True keeps equals in their order, as Python's sort is stable both ways
        chosen.sort(key=lambda i: _rank(found, i, view), reverse=view.descending)
    elif view.descending:
        chosen.reverse()
    return tuple(chosen)


def _mentions(found: Inspection, i: int, words: Sequence[str]) -> bool:
    row = found.rows[i]
    cells = [str(value) for value in vars(row).values() if isinstance(value, str)]
    text = "\n".join([*cells, *found.text(i)]).casefold()
    return all(word in text for word in words)


def _rank(found: Inspection, i: int, view: View) -> Any:
    row = found.rows[i]
    if view.sort == "status":
        return STATUSES.index(status(row, view.head))
    if view.sort == "misrouted":
        return not misrouted(row)
    if view.sort == "id":
        return found.places[i]  # as numbers: 10 comes after 9
    return getattr(row, view.sort)


# ---- the figures above the table ----------------------------------------------------------------


def counts(found: Inspection, head: str = "oracle") -> dict[str, int]:
    """Rows by filter: what the summary's buttons say, and "both right"."""
    view = View(head=head)
    rows, low = found.rows, found.low_margin
    numbers = {name: sum(test(row, view, low) for row in rows) for name, test in FILTERS.items()}
    return numbers | {BOTH_RIGHT: sum(status(row, head) == BOTH_RIGHT for row in rows)}


def figures(found: Inspection) -> dict[str, Any]:
    """Accuracies by task, their averages and the recovered gap, as `metrics.summary` has them."""
    return summary(found.rows, [task.name for task in found.suite.tasks if task.real])


def matrix(found: Inspection) -> tuple[tuple[int, ...], ...]:
    """T x T counts in the suite's order: samples of task i for which expert j was taken."""
    names = found.suite.task_names
    pairs = [(row.task, row.chosen) for row in found.rows]
    return tuple(tuple(pairs.count((task, chosen)) for chosen in names) for task in names)


# --------------------------------------------------------------------------------------------------
# An inspection as files: CSV and JSON of the rows of a view, and one HTML page.

# --------------------------------------------------------------------------------------------------
# The rows of an inspection as CSV and JSON: exactly those of a view, in its order.

ABOUT = (
    "suite",
    "weights_sha256",
    *CONFIGURATION,
    "static_lambda",
    "version",
)
"""What every line of the CSV repeats, so that lines of two files can be told apart."""
HEADER = (
    *(field.name for field in fields(Row)),
    "status",
    "status_routed",
    "misrouted",
    "text",
    "text_b",
    *ABOUT,
)
_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what spreadsheets run when a cell begins with it


def write_csv(found: Inspection, file: TextIO, view: View | None = None) -> None:
    """The view's rows (all without one) as CSV with a header.

    Cells that a spreadsheet would run as a formula begin with an apostrophe; numbers have six
    digits.
    """
    about = found.about()
    # quoted throughout, as the writer leaves a lone carriage return bare, which breaks the line
    writer = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writerow(HEADER)
    for record in records(found, select(found, view or View())):
        record |= {name: about[name] for name in ABOUT}
        writer.writerow([cell(record[name]) for name in HEADER])


def to_json(found: Inspection, view: View | None = None) -> str:
    """The view's rows as one JSON object: what they come from, the view, `rows`."""
    view = view or View()
    rows = list(records(found, select(found, view)))
    content = {**found.about(), "view": vars(view), "n": len(rows), "rows": rows}
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)


def records(found: Inspection, chosen: Sequence[int]) -> Iterator[dict[str, Any]]:
    """Rows by number as dictionaries, with their status under either head and their sentences."""
    for i in chosen:
        row, (text, text_b) = found.rows[i], found.text(i)
        yield {
            **vars(row),
            "status": status(row),
            "status_routed": status(row, "routed"),
            "misrouted": misrouted(row),
            "text": text,
            "text_b": text_b,
        }


def cell(value: object) -> str:
    """One value in a CSV, empty for None: what a spreadsheet would run as a formula begins with an
    apostrophe."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.6g}"
    text = str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


# --------------------------------------------------------------------------------------------------
# An inspection as one HTML page that needs no server, no script and no network.

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
