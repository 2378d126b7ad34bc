"""The Methods tab: the field under SE-Merging as a table, and what others have published, apart."""

from __future__ import annotations

from functools import partial

import gradio as gr

from semerge.common import measured
from semerge.evaluation.field.reading import Field, command, read_field
from semerge.suites.published import FAMILIES
from semerge.ui import charts
from semerge.ui.context import Context
from semerge.ui.parts import chart, fold, html
from semerge.ui.tabs import Tab
from semerge.ui.words import button, macro

part = partial(macro, template="methods.html")
KINDS = (
    ("exact", "SE-Merging by one of its probes"),
    ("static", "another dynamic method, or a placebo"),
    ("other", "told the task"),
)
CHART = (
    "How often each row is right with the head of the expert that it chooses, by its cost in "
    "forward passes of one model; the table below has the numbers."
)


class MethodsTab(Tab):
    label, place, needs_suite = "Methods", 60, False

    def __init__(self, context: Context) -> None:
        suites = [*context.of("image"), *context.of("text")]
        with gr.Column(elem_classes="se-prose se-wide"):
            html(part("intro"))
            for number, suite in enumerate(suites):
                found = read_field(suite)
                if found is not None:
                    _show(found, number)
                elif not suite.published:
                    html(part("missing", suite.title, command(suite)))
            html(part("published"))
            for family in FAMILIES.values():
                with fold(family.title):
                    html(part("family", family))
            html(button("methods", {}), elem_id="methods-link")


def _show(found: Field, number: int) -> None:
    """One suite: the table in a sentence, the chart, its best rows, and all of them."""
    html(part("suite", found))
    title = f"Accuracy against cost, {found.suite.title}"
    with gr.Column(elem_classes="se-chart"):
        html(macro("chart_head", title, CHART, "methods", f"field-{number}", KINDS))
        chart(charts.plot(charts.field(found.best)), f"methods-field-{number}")
    rows = partial(part, "rows", found, measured=measured)
    html(rows(lines=found.best, caption=f"{found.suite.title}, the best row of each"))
    with fold(f"All {len(found.lines):,} rows of {found.suite.title}, and what is left out"):
        html(rows(lines=found.lines, caption=f"{found.suite.title}, every row"))
        html(part("absent", found, command(found.suite)))
    html(part("columns", found))
