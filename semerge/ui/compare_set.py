"""The labelled set of the Compare tab: which one, how far the run is, and what both made of it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import gradio as gr

from semerge.suites import Suite
from semerge.ui import compare_rows
from semerge.ui.compare_pair import Pair, pair_of
from semerge.ui.compare_sides import Sides
from semerge.ui.context import Context
from semerge.ui.inspect_choice import FOLDER, UPLOAD, kinds
from semerge.ui.inspect_export import exporter
from semerge.ui.inspect_form import WANTED
from semerge.ui.inspect_look import Look, within
from semerge.ui.inspect_page import SCRIPTS, acting
from semerge.ui.links import Query
from semerge.ui.result_panel import html

LIMITS = [("20", 20), ("100", 100), ("500", 500), ("all", 0)]
USUAL = 100  # samples a task


class SetPart:
    """`inputs` and `put`: the form. `results` and `draw`: what a comparison found."""

    def __init__(self, context: Context, kept: Any, name: str, suite: Suite) -> None:
        self.context = context
        offered = self._kinds((suite,))
        with gr.Column(elem_classes="se-input se-set", elem_id=f"{name}-set-form"):
            html('<h2 class="se-title">On a labelled set</h2>')
            with gr.Row(elem_classes="se-fields"):
                self.kind = gr.Dropdown(
                    offered, value=offered[0][1], label="Samples", min_width=200,
                    elem_id=f"{name}-set",
                )  # fmt: skip
                self.limit = gr.Dropdown(
                    LIMITS, value=USUAL, label="Samples a task, at most", min_width=150,
                    elem_id=f"{name}-limit",
                )  # fmt: skip
                self.head = gr.Dropdown(
                    [("the chosen expert's head", "routed"), ("the own task's head", "oracle")],
                    value="routed", label="Answers are read with", min_width=200,
                    elem_id=f"{name}-under",
                )  # fmt: skip
            self.folder = gr.Textbox(
                "", label="Path", visible=False, max_lines=1, elem_id=f"{name}-path",
                info="A folder as evaluate --data reads it, or a .zip, .csv or .jsonl file",
            )  # fmt: skip
            self.upload = gr.File(
                None, label="Your labelled samples", visible=False, height=132,
                file_types=[".zip", ".csv", ".tsv", ".jsonl", ".json", ".txt"],
                elem_id=f"{name}-upload", elem_classes="se-drop",
            )  # fmt: skip
            with gr.Row(elem_classes="se-go"):
                self.run = gr.Button("Run", variant="primary", elem_id=f"{name}-run", min_width=120)
                self.cancel = gr.Button(
                    "Cancel", visible=False, elem_id=f"{name}-cancel", min_width=120
                )
            self.status = html(compare_rows.HINT, elem_id=f"{name}-status")
        script = (SCRIPTS / "inspect.js").read_text(encoding="utf-8")
        with gr.Column(visible=False, elem_id=f"{name}-results") as self.column:
            self.board = acting(script, f"{name}-board")
            self.table = acting(script, f"{name}-table")
            functions = [exporter(partial(compare_rows.export, kept))]
            self.files = acting(script, f"{name}-files", server_functions=functions)

    # ---- the form ----------------------------------------------------------------------------

    @property
    def inputs(self) -> list[Any]:
        return [self.kind, self.limit, self.folder, self.upload]

    @property
    def touched(self) -> list[Any]:
        """The events by which a visitor changes `inputs`."""
        typed = [self.kind.input, self.limit.input, self.folder.input]
        return [*typed, self.upload.upload, self.upload.clear]

    @property
    def outputs(self) -> list[Any]:
        """What `put` fills."""
        return [*self.inputs, self.head]

    def put(self, pair: Pair, head: str) -> list[Any]:
        """Values of `outputs` that show a choice."""
        choice = pair.a
        choices = self._kinds((pair.a.suite, pair.b.suite))
        return [
            gr.update(choices=choices, value=choice.kind),
            choice.limit or 0,
            gr.update(
                value=choice.place if choice.kind == FOLDER else "", visible=choice.kind == FOLDER
            ),
            gr.update(value=None, visible=choice.kind == UPLOAD),
            head,
        ]

    def first(self, sides: Sides) -> Pair:
        """What the form says before anybody has touched it."""
        offered = self._kinds([suite for suite, _ in sides])
        return pair_of(sides, offered[0][1], USUAL, "", None)

    def read_link(self, query: Query, sides: Sides) -> Pair:
        """The set that a link names."""
        offered = [kind for _, kind in self._kinds([suite for suite, _ in sides])]
        kind = query.one_of("set", offered, offered[0])
        limit = query.one_of("limit", [value for _, value in LIMITS], USUAL)
        return pair_of(sides, kind, limit, query.text("data") if kind == FOLDER else "", None)

    def for_kind(self, name: str, kind: str) -> list[Any]:
        """Updates of the folder, the upload and the hint for a kind of set."""
        hint = compare_rows.HINT
        if kind == UPLOAD:
            hint = f'<p class="se-hint">{WANTED[self.context.suite(name).modality]}.</p>'
        return [gr.update(visible=kind == FOLDER), gr.update(visible=kind == UPLOAD), hint]

    def _kinds(self, suites: Sequence[Suite]) -> list[tuple[str, str]]:
        """The sets that are on offer for all of these suites."""
        first, *others = (kinds(suite, self.context.examples) for suite in suites)
        return [(title, kind) for kind, title in first.items() if all(kind in o for o in others)]

    # ---- the results -------------------------------------------------------------------------

    @property
    def results(self) -> list[Any]:
        """What `draw` fills."""
        return [self.column, self.board, self.table, self.files]

    def draw(self, key: str, found: Any, look: Look) -> tuple[Look, list[Any]]:
        """The look at a page that exists, and the values of `results`."""
        count = len(compare_rows.ids(found, look))
        look = within(look, count)
        return look, [
            gr.update(visible=True),
            compare_rows.board(found, look),
            compare_rows.rows_table(found, look),
            compare_rows.files(key, look, count),
        ]
