"""What the Compare tab is asked, and what two configurations make of it. No gradio here."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from semerge.common import UserError
from semerge.ui import words
from semerge.ui.links import Query
from semerge.ui.markup import CHECK, CROSS, echo, esc, table
from semerge.ui.tabs import inspect_choice
from semerge.ui.tabs.inspect_choice import (
    HEADS,
    PAGE,
    PAGE_KEY,
    Look,
)
from semerge.ui.tabs.inspect_html import UNKNOWN, act, excerpt, pages
from semerge.ui.view import View

if TYPE_CHECKING:
    from semerge.evaluation.comparison import Comparison


# --------------------------------------------------------------------------------------------------
# What two configurations make of the same labelled samples, as HTML: figures, the ways to differ
# as buttons, and the rows that differ. No gradio here, and no torch before there is something to
# show.

HINT = (
    '<p class="se-hint">Run a labelled set through both to count who is right, and to see the '
    "samples on which they differ.</p>"
)
FIRST = Look(head="routed")
FILTERS = {
    "all": ("Differ", "in answer or expert"),
    "only A": ("Only A right", "B is wrong"),
    "only B": ("Only B right", "A is wrong"),
    "both wrong": ("Both wrong", "each in its own way"),
    "expert": ("Expert only", "the answers are alike"),
}
NAMES = {name: title for name, (title, _) in FILTERS.items()}
HEADINGS = ("Input", "Task", "True", "A answers", "A's expert", "B answers", "B's expert")


def read_look(query: Query) -> Look:
    """The look that a link names."""
    return replace(
        FIRST,
        filter=query.one_of("filter", tuple(FILTERS), "all"),
        head=query.one_of("under", tuple(HEADS), FIRST.head),
        page=query.whole(PAGE_KEY, 1, 10**6, 1) - 1,
        row=query.text("row"),
    )


def known(found: Comparison, look: Look) -> tuple[Look, list[str]]:
    """A link's look without what the samples do not have, and what to tell of that."""
    samples = {a.id for a, _ in found.rows}
    return inspect_choice.known(look, samples, len(ids(found, look)))


def changed(look: Look, action: Mapping[str, Any]) -> Look:
    """The look after a button; unchanged if a client sent something else."""
    do, value = action.get("do"), action.get("value")
    if do == "filter" and isinstance(value, str) and value in FILTERS:
        return replace(look, filter="all" if value == look.filter else value, page=0)
    if do == "page" and type(value) is int and 0 <= value < 10**6:
        return replace(look, page=value)
    return look


def board(found: Comparison, look: Look) -> str:
    """Who is right how often, and the ways to differ as buttons that filter."""
    from semerge.evaluation.comparison import COLUMNS, differing, right  # imports torch

    counts, n = right(found, look.head), len(found.rows)
    a, b = counts["se"]
    lead = (
        f'<p class="se-sentence">Of {n:,} samples A has <strong>{a:,}</strong> '
        f"right ({_share(a, n)}) and B <strong>{b:,}</strong> "
        f"({_share(b, n)}).</p>"
        f'<p class="se-hint">Read with the head of {HEADS[look.head]}. '
        f"{esc(_told('A', found.a))} {esc(_told('B', found.b))}</p>"
    )
    rows = [
        (title, *(f"{count:,} ({_share(count, n)})" for count in counts[key]), _gap(*counts[key]))
        for key, title in COLUMNS.items()
    ]
    heads = ("Right, of all samples", "A", "B", "B − A")
    buttons = ""
    for name, (title, about) in FILTERS.items():
        number = len(differing(found, look.head, name))
        label = f"<b>{number:,}</b><span>{esc(title)}</span><small>{esc(about)}</small>"
        buttons += act(label, f"filter {name}", look.filter == name, do="filter", value=name)
    return (
        f'<div class="se-figures">{lead}{table("Right answers of both", heads, rows)}</div>'
        f'<div class="se-counts" role="group" aria-label="Show samples">{buttons}</div>'
    )


def _share(count: int, n: int) -> str:
    return words.percent(count / n) if n else "–"


def _gap(a: int, b: int) -> str:
    return f"{b - a:+,}".replace("-", "−") if a != b else "0"


def _told(which: str, side: Any) -> str:
    about = side.about()
    where = words.layer(about["layer"])
    return (
        f"{which}: {side.suite.title}, preset {about['preset']}, probe {about['probe']}, {where}."
    )


def rows_table(found: Comparison, look: Look) -> str:
    """One page of the samples on which the two differ, each with a button that opens it."""
    from semerge.evaluation.comparison import differing  # imports torch

    chosen = differing(found, look.head, look.filter)
    start = look.page * PAGE
    shown = chosen[start : start + PAGE]
    count = f"{len(chosen):,} of {len(found.rows):,} samples"
    told = f'<div class="se-found"><p role="status">{count}</p></div>'
    if not shown:
        return f'<div class="se-rows">{told}<p class="se-none">No sample is like this.</p></div>'
    top = "".join(f'<th scope="col">{esc(h)}</th>' for h in ("Sample", *HEADINGS, "Difference"))
    body = "".join(_row(found, look, i) for i in shown)
    caption = f"Samples {start + 1:,} to {start + len(shown):,} on which A and B differ"
    return (
        f'<div class="se-rows">{told}'
        f'<div class="se-scroll se-samples" tabindex="0" role="region" aria-label="{esc(caption)}">'
        f"<table><caption>{esc(caption)}</caption><thead><tr>{top}</tr></thead>"
        f"<tbody>{body}</tbody></table></div>{pages(look, len(chosen))}</div>"
    )


def _row(found: Comparison, look: Look, i: int) -> str:
    from semerge.evaluation.comparison import difference  # imports torch

    a, b = found.rows[i]
    opener = act(echo(a.id), f"row {a.id}", name=f"Open {a.id}", do="open", value=a.id)
    cells = [excerpt(found.a, found.pairs[i][0]), echo(found.a.suite.task(a.task).title)]
    cells.append(echo(a.label))
    for row, side in ((a, found.a), (b, found.b)):
        mark, word = (CHECK, "right: ") if row.right(f"se_{look.head}") else (CROSS, "wrong: ")
        answer = echo(getattr(row, f"se_{look.head}"))
        cells += [
            f'{mark}<span class="se-unseen">{word}</span>{answer}',
            echo(side.suite.task(row.chosen).title),
        ]
    cells.append(esc(NAMES[difference(a, b, look.head)]))
    tag = '<tr aria-current="true">' if a.id == look.row else "<tr>"
    return f'{tag}<th scope="row">{opener}</th>' + "".join(f"<td>{c}</td>" for c in cells) + "</tr>"


def files(key: str, look: Look, count: int) -> str:
    """The button that saves exactly the rows shown."""
    asked = {"key": key, "filter": look.filter, "head": look.head}
    return (
        f'<div class="se-exports"><h3>Save the {count:,} samples shown</h3><div>'
        f'<button type="button" class="se-button" data-key="export csv" '
        f'data-export="{esc(json.dumps(asked))}">CSV</button>'
        '<span role="status"></span></div></div>'
    )


def export(kept: Any, asked: Any) -> dict[str, str]:
    """The file that {"key", "filter", "head"} ask for: {"name", "type", "text"}.

    Raises:
        UserError: the comparison is gone, or a client asked for something that there is not.
    """
    fits = isinstance(asked, dict) and asked.get("head") in HEADS
    if not fits or asked.get("filter") not in FILTERS:
        raise UserError(UNKNOWN)
    found = kept.get(str(asked.get("key"))).found
    from semerge.evaluation.comparison import write_csv  # imports torch

    file = io.StringIO(newline="")
    write_csv(found, file, asked["head"], asked["filter"])
    part = "" if asked["filter"] == "all" else "-" + asked["filter"].replace(" ", "-")
    name = f"{found.a.suite.name}-against-{found.b.suite.name}{part}.csv"
    return {"name": name, "type": "text/csv", "text": file.getvalue()}


def ids(found: Comparison, look: Look) -> Sequence[str]:
    """The samples that a look shows, in its order."""
    from semerge.evaluation.comparison import differing  # imports torch

    return [found.rows[i][0].id for i in differing(found, look.head, look.filter)]


# --------------------------------------------------------------------------------------------------
# What differs between two answers to one input: a sentence and a short table. No gradio here.

SETTINGS = {
    "preset": "Preset",
    "probe": "Probe",
    "layer": "Layer",
    "pool": "Pooling",
    "probe_lambda": "λ of the probed merge",
    "temperature": "Temperature",
    "mass": "Mass of the coefficients",
    "head": "Head that reads the answer",
    "fallback": "When no expert fits",
}


def differences(a: View, b: View) -> str:
    """The verdict, then every line in which the two differ."""
    rows = [line for line in _lines(a, b) if line[1] != line[2]]
    if not rows:
        return (
            '<p class="se-verdict same"><span>Nothing differs</span><small>A and B are the same '
            "configuration.</small></p>"
        )
    same, expert = a.answer("se") == b.answer("se"), a.result["chosen"] == b.result["chosen"]
    verdict = "Same answer" if same else "Different answers"
    by = "by the same expert" if expert else "by different experts"
    counted = f"{words.count(len(rows))} {'line' if len(rows) == 1 else 'lines'} of difference"
    return (
        f'<p class="se-verdict {"same" if same else "differ"}" aria-live="polite">'
        f"<span>{verdict}, {by}</span><small>{esc(counted)} between A and B</small></p>"
        + table("What differs between A and B", ("", "A", "B"), rows, kind="words")
    )


def _lines(a: View, b: View) -> list[tuple[str, ...]]:
    """Everything that is compared, as HTML: suite, settings, routing, answers, coefficients."""
    lines: list[tuple[str, ...]] = [("Suite", echo(a.suite.title), echo(b.suite.title))]
    lines += [(title, _setting(a, key), _setting(b, key)) for key, title in SETTINGS.items()]
    lines += [
        ("Expert chosen", *(echo(v.title(v.result["chosen"])) for v in (a, b))),
        ("Margin", *(words.percent(v.result["margin"]) for v in (a, b))),
        ("SE-Merging answers", *(_answer(v, "se") for v in (a, b))),
        ("The static merge answers", *(_answer(v, "static") for v in (a, b))),
    ]
    tasks = {task: v.title(task) for v in (b, a) for task in v.tasks}
    in_order = [*a.tasks, *(task for task in b.tasks if task not in a.tasks)]
    return lines + [
        (f"λ of {echo(tasks[task])}", _coefficient(a, task), _coefficient(b, task))
        for task in in_order
    ]


def _setting(view: View, key: str) -> str:
    value = view.result[key]
    if key == "layer":
        return esc(words.layer(value))
    if key == "head":
        return echo(view.title(value))
    if key == "mass":
        return "T·λ" if value == "T*lambda" else esc(value)
    if key == "fallback":
        return esc(words.FALLBACKS[value])
    if key == "pool":
        return esc(words.POOLS.get(value, "none"))
    return esc(f"{value:g}" if isinstance(value, float) else value)


def _answer(view: View, kind: str) -> str:
    best = view.result["predictions"][kind][0]
    return f"{echo(best['label'])}, score {words.percent(best['score'])}"


def _coefficient(view: View, task: str) -> str:
    if task not in view.tasks:
        return "–"
    return words.number(view.column("coefficients")[view.tasks.index(task)])


def side(which: str, view: View | None) -> str:
    """The heading of one side's panel, with the settings that it answers by."""
    said = ""
    if view is not None:
        r = view.result
        said = f"{view.suite.title}; preset {r['preset']}, probe {r['probe']}, "
        said += words.layer(r["layer"])
    return f'<div class="se-side-head"><h2>{which}</h2><p>{esc(said)}</p></div>'
