"""What two configurations make of one input, and of the same labelled samples. No gradio here."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from semerge.common import UserError
from semerge.methods import METHODS
from semerge.probes import PROBES
from semerge.registry import Registry
from semerge.settings import descriptions
from semerge.ui import words
from semerge.ui.links import Query
from semerge.ui.runs import Store
from semerge.ui.tabs import inspect_html
from semerge.ui.tabs.inspect_choice import HEADS, PAGE_KEY, Look
from semerge.ui.tabs.inspect_html import UNKNOWN, on_page, paging, suffix
from semerge.ui.words import View, macro

if TYPE_CHECKING:
    from semerge.evaluation.comparison import Comparison

part, echo = partial(macro, template="compare.html"), partial(macro, "echo")
FIRST = Look(head="routed")
FILTERS = {
    "all": ("Differ", "in answer or expert"),
    "only A": ("Only A right", "B is wrong"),
    "only B": ("Only B right", "A is wrong"),
    "both wrong": ("Both wrong", "each in its own way"),
    "expert": ("Expert only", "the answers are alike"),
}


# ---- the look at the rows ------------------------------------------------------------------------


def read_look(query: Query) -> Look:
    """The look that a link names."""
    return replace(
        FIRST,
        filter=query.one_of("filter", tuple(FILTERS), "all"),
        head=query.one_of("under", tuple(HEADS), FIRST.head),
        page=query.whole(PAGE_KEY, 1, 10**6, 1) - 1,
        row=query.text("row"),
    )


def selected(comparison: Comparison, look: Look) -> tuple[int, ...]:
    """Numbers of the pairs that a look shows, in its order."""
    from semerge.evaluation.comparison import differing  # imports torch

    return differing(comparison, look.head, look.filter)


def ids(comparison: Comparison, look: Look) -> Sequence[str]:
    """The samples that a look shows, in its order."""
    return [comparison.rows[i][0].id for i in selected(comparison, look)]


# ---- the labelled samples ------------------------------------------------------------------------


def board(comparison: Comparison, look: Look) -> Markup:
    """Who is right how often, and the ways to differ as buttons that filter."""
    from semerge.evaluation.comparison import COLUMNS, right  # imports torch

    sides = {"A": comparison.a, "B": comparison.b}
    methods = {METHODS.title(side.about()["method"]) for side in sides.values()}
    about = [f"{name}: {side.suite.title}, {used(side.about())}." for name, side in sides.items()]
    return part(
        "board",
        right=right(comparison, look.head),
        n=len(comparison.rows),
        head=HEADS[look.head],
        columns=COLUMNS,
        method=methods.pop() if len(methods) == 1 else "merge",
        about=" ".join(about),
        filters=FILTERS,
        numbers={name: len(selected(comparison, replace(look, filter=name))) for name in FILTERS},
        filter=look.filter,
    )


def used(settings: Mapping[str, Any]) -> str:
    """The settings of a run or of a Result, in a few words."""
    method, where = METHODS.title(spec(METHODS, settings, "method")), words.layer(settings["layer"])
    probe = spec(PROBES, settings, "probe")
    return f"{method}, preset {settings['preset']}, probe {probe}, {where}"


def spec(registry: Registry[Any], settings: Mapping[str, Any], key: str) -> str:
    """A method or probe with its options, which a Result has beside its name."""
    return registry.spec(settings[key], settings.get(f"{key}_options", {}))


def rows_table(comparison: Comparison, look: Look) -> Markup:
    """One page of the samples on which the two differ, each with a button that opens it."""
    from semerge.evaluation.comparison import difference  # imports torch

    chosen, lines = selected(comparison, look), []
    for i in on_page(look, chosen):
        a, b = comparison.rows[i]
        seen = inspect_html.excerpt(comparison.a, comparison.pairs[i][0])
        lines.append((a, b, seen, FILTERS[difference(a, b, look.head)][0]))
    return part(
        "rows",
        lines=lines,
        paging=paging(look, chosen, len(comparison.rows)),
        look=look,
        sides=(comparison.a.suite, comparison.b.suite),
    )


def files(key: str, look: Look, count: int) -> Markup:
    """The button that saves exactly the rows shown."""
    asked = {"key": key, "filter": look.filter, "head": look.head}
    return inspect_html.part("files", count=f"{count:,}", kinds=[("csv", "CSV")], asked=asked)


def export(store: Store, asked: Any) -> dict[str, str]:
    """The file that {"key", "filter", "head"} ask for: {"name", "type", "text"}. Raises UserError
    where the comparison is gone, or a client asked for something that there is not."""
    asked = asked if isinstance(asked, dict) else {}
    key, head, filter = (str(asked.get(name)) for name in ("key", "head", "filter"))
    if head not in HEADS or filter not in FILTERS:
        raise UserError(UNKNOWN)
    comparison = store.get(key).result
    from semerge.evaluation.comparison import write_csv  # imports torch

    file = io.StringIO(newline="")
    write_csv(comparison, file, head, filter)
    name = f"{comparison.a.suite.name}-against-{comparison.b.suite.name}{suffix(filter)}.csv"
    return {"name": name, "type": "text/csv", "text": file.getvalue()}


# ---- one input -----------------------------------------------------------------------------------


def differences(a: View, b: View) -> Markup:
    """The verdict, then every line in which the two differ."""
    lines = [line for line in _lines(a, b) if line[1] != line[2]]
    same, expert = a.answer("se") == b.answer("se"), a.result["chosen"] == b.result["chosen"]
    return part("differences", lines, same, expert)


def _lines(a: View, b: View) -> list[tuple[Any, ...]]:
    """Everything that is compared: suite, settings, routing, answers, coefficients."""
    both = (a, b)
    lines: list[tuple[Any, ...]] = [("Suite", *(echo(view.suite.title) for view in both))]
    lines += [
        (described.label, *(_setting(view, key) for view in both))
        for key, described in descriptions().items()
        if key in a.result
    ]
    lines += [
        ("Expert chosen", *(echo(v.title(v.result["chosen"])) for v in both)),
        ("Margin", *(words.percent(v.result["margin"]) for v in both)),
        ("SE-Merging answers", *(_answer(v, "se") for v in both)),
        ("The static merge answers", *(_answer(v, "static") for v in both)),
    ]
    tasks = {task: v.title(task) for v in (b, a) for task in v.tasks}  # by A's titles
    return lines + [
        (Markup("λ of {}").format(echo(tasks[task])), *(_coefficient(v, task) for v in both))
        for task in dict.fromkeys((*a.tasks, *b.tasks))
    ]


def _setting(view: View, key: str) -> Any:
    value = view.result[key]
    if key == "head":
        return echo(view.title(value))
    told: dict[str, Any] = {
        "method": lambda _: METHODS.title(spec(METHODS, view.result, "method")),
        "probe": lambda _: spec(PROBES, view.result, "probe"),
        "layer": words.layer,
        "fast": lambda value: "yes" if value else "no",
        "mass": lambda value: "T·λ" if value == "T*lambda" else str(value),
        "fallback": words.FALLBACKS.__getitem__,
        "pool": lambda value: words.POOLS.get(value, "none"),
    }
    if key in told:
        return told[key](value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _answer(view: View, kind: str) -> Markup:
    best = view.result["predictions"][kind][0]
    return Markup("{}, score {}").format(echo(best["label"]), words.percent(best["score"]))


def _coefficient(view: View, task: str) -> str:
    if task not in view.tasks:
        return "–"
    return words.number(view.column("coefficients")[view.tasks.index(task)])


def side(which: str, view: View | None) -> Markup:
    """The heading of one side's panel, with the settings that it answers by."""
    about = "" if view is None else f"{view.suite.title}; {used(view.result)}"
    return part("side", which=which, about=about)
