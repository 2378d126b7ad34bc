"""Both answers to one input: what differs, and the panel of every tab, twice."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import gradio as gr

from semerge.errors import UserError
from semerge.examples import Example
from semerge.settings import AUTO
from semerge.ui import compare_text
from semerge.ui.compare_asked import Asked
from semerge.ui.compare_sides import WHICH
from semerge.ui.context import Context
from semerge.ui.given import given
from semerge.ui.inspect_table import sample as whole_sample
from semerge.ui.result_panel import ResultPanel, html
from semerge.ui.sources import sample_of
from semerge.ui.view import View

WAITING = "Waiting for the models"
Answer = tuple[View | None, str]  # a View, or why there is none


class Differs:
    """The input and what differs, above the panels."""

    def __init__(self, name: str) -> None:
        html('<h2 class="se-title">What differs</h2>')
        self.given = html(elem_id=f"{name}-given")
        self.lines = html(elem_id=f"{name}-differs")


class Answers:
    """`show` gives the values of `outputs`."""

    def __init__(self, context: Context, kept: Any, name: str, differs: Differs) -> None:
        self.context, self.kept, self.differs = context, kept, differs
        self.shown = gr.State(False)
        self.heads, self.panels = [], []
        with gr.Row(elem_classes="se-compare", equal_height=False):
            for which in WHICH:
                with gr.Column(
                    min_width=320, elem_classes="se-side", elem_id=f"{name}-side-{which}"
                ):
                    self.heads.append(html(compare_text.side(which.upper(), None)))
                    self.panels.append(ResultPanel(f"{name}-{which}", waiting=WAITING))

    @property
    def outputs(self) -> list[Any]:
        sides = zip(self.heads, self.panels, strict=True)
        panels = [part for head, panel in sides for part in (head, *panel.outputs)]
        return [self.shown, self.differs.given, self.differs.lines, *panels]

    def show(self, asked: Asked) -> list[Any]:
        """Both answers. Where one can't be given, its place says why and the other is shown."""
        try:
            answers, seen = self._answers(asked)
        except UserError as error:  # the input itself can't be used
            answers, seen = [(None, str(error))] * len(WHICH), ""
        (a, _), (b, _) = answers
        differs = compare_text.differences(a, b) if a and b else ""
        values: list[Any] = [True, seen, differs]
        for which, panel, (view, why) in zip(WHICH, self.panels, answers, strict=True):
            values.append(compare_text.side(which.upper(), view))
            values += panel.show(view) if view else panel.fail(why)
        return values

    def _answers(self, asked: Asked) -> tuple[list[Answer], str]:
        """An answer for each side, and the input as HTML.

        Raises:
            UserError: there is no input, or it can't be used.
        """
        if asked.key and asked.look.row:
            return self._of_row(asked)
        sample = sample_of(asked.source, asked.suite, self.context.examples)
        answers: list[Answer] = []
        picture = None
        for suite, settings in asked.sides:
            try:
                view, seen = self.context.ask(suite.name, asked.source, settings)
                picture = picture or seen
                answers.append((view, ""))
            except UserError as error:
                answers.append((None, str(error)))
        shown = given(sample, picture) if picture or asked.suite.modality == "text" else ""
        return answers, shown

    def _of_row(self, asked: Asked) -> tuple[list[Answer], str]:
        """The same for a row of the comparison on screen."""
        found = self.kept.get(asked.key).found
        i = next((i for i, (row, _) in enumerate(found.rows) if row.id == asked.look.row), None)
        if i is None:
            raise UserError("This sample is not among those that were compared; choose another.")
        at = found.pairs[i][0]
        sample, (text, text_b) = found.a.sample(at), found.a.text(at)
        answers: list[Answer] = []
        for row, (suite, settings) in zip(found.rows[i], asked.sides, strict=True):
            given_head = asked.look.head == "oracle" and settings.head == AUTO
            used = replace(settings, head=row.task) if given_head else settings  # as in the table
            try:
                result = self.context.predict(suite.name, sample, used)
                truth = Example(-1, row.task, row.label, text=text, text_b=text_b or None)
                answers.append((View(result, suite, truth), ""))
            except UserError as error:
                answers.append((None, str(error)))
        return answers, whole_sample(found.a, at)
