"""What the Inspect tab shows above the open row: figures, counts, matrix, filters, table, files."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from semerge.ui.context import Context
from semerge.ui.events import page_event
from semerge.ui.inspect_board import board
from semerge.ui.inspect_export import export, exporter, exports
from semerge.ui.inspect_look import Look, known, within
from semerge.ui.inspect_runs import Held, Kept
from semerge.ui.inspect_table import rows_table
from semerge.ui.result_panel import html

SCRIPTS = Path(__file__).resolve().parents[2] / "assets" / "scripts"
ANY = ""  # in the lists of tasks and experts


class Page:
    """The components, and what they show of a look at an inspection."""

    def __init__(self, context: Context, kept: Kept) -> None:
        self.script = (SCRIPTS / "inspect.js").read_text(encoding="utf-8")
        keys = (SCRIPTS / "inspect_keys.js").read_text(encoding="utf-8")
        with gr.Row(elem_classes="se-overview", equal_height=False):
            with gr.Column(scale=5, min_width=320):
                self.figures = html("", elem_id="inspect-figures")
            with gr.Column(scale=7, min_width=320):
                self.board = acting(self.script, "inspect-board")
        with gr.Row(elem_classes="se-fields se-narrow"):
            self.search = gr.Textbox(
                "", label="Search", placeholder="words of a sample, class or id", max_lines=1,
                min_width=200, elem_id="inspect-search",
            )  # fmt: skip
            self.task = gr.Dropdown(
                [("all", ANY)], value=ANY, label="Task", min_width=150, elem_id="inspect-task"
            )
            self.chosen = gr.Dropdown(
                [("any", ANY)], value=ANY, label="Expert chosen", min_width=150,
                elem_id="inspect-chosen",
            )  # fmt: skip
            self.under = gr.Radio(
                [("own task's", "oracle"), ("chosen expert's", "routed")], value="oracle",
                label="Head that answers", min_width=260, elem_id="inspect-under",
            )  # fmt: skip
        self.table = acting(self.script + keys, "inspect-table")
        functions = [exporter(partial(export, kept))]
        self.files = acting(self.script, "inspect-files", server_functions=functions)

    @property
    def outputs(self) -> list[Any]:
        """What `draw` fills."""
        return [
            self.board, self.search, self.task, self.chosen, self.under, self.table, self.files
        ]  # fmt: skip

    def ids(self, held: Held, look: Look) -> list[str]:
        """The samples that a look shows, in its order."""
        from semerge.evaluation.inspection import select  # imports torch

        return [held.found.rows[i].id for i in select(held.found, look.view())]

    def known(self, held: Held, look: Look) -> tuple[Look, list[str]]:
        """A link's look without what the samples do not have, and what to tell of that."""
        samples = {row.id for row in held.found.rows}
        return known(look, samples, len(self.ids(held, look)))

    def draw(
        self, key: str, held: Held, look: Look, anew: bool
    ) -> tuple[Look, Sequence[str], list[Any]]:
        """The look at a page that exists, the ids of all samples that it shows, and the values of
        `outputs`. anew: the search box too, in which somebody may be typing."""
        from semerge.evaluation.inspection import select  # imports torch

        found = held.found
        chosen = select(found, look.view())
        look = within(look, len(chosen))
        tasks = [(task.title, task.name) for task in found.suite.tasks]
        values = [
            board(found, look),
            look.search if anew else gr.skip(),
            gr.update(choices=[("all", ANY), *tasks], value=look.task),
            gr.update(choices=[("any", ANY), *tasks], value=look.chosen),
            look.head,
            rows_table(found, look, chosen),
            exports(key, look, held.choice, len(chosen)),
        ]
        return look, [found.rows[i].id for i in chosen], values


def paced(event: Any, name: str) -> Any:
    """An event of a tab's `acting` parts, after which their script sends the next action."""
    part = f"document.getElementById('{name}-results')"
    for after in (event.then, event.failure):
        after(None, js=f"() => {{ {part}?.dispatchEvent(new Event('answered')); }}", **page_event())
    return event


def action_of(event: gr.EventData) -> dict[str, Any]:
    """What the script sends; empty if a client sent something else."""
    data = getattr(event, "_data", None)
    return data if isinstance(data, dict) else {}


def acting(script: str, name: str, **options: Any) -> gr.HTML:
    """HTML whose buttons reach Python by the events `view` and `row`."""
    return gr.HTML("", js_on_load=script, apply_default_css=False, elem_id=name, **options)
