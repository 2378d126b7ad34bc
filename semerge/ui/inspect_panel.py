"""The whole result of the open row, and of the pinned one beside it: the panel of every tab."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import gradio as gr

from semerge.errors import UserError
from semerge.examples import Example
from semerge.settings import Settings
from semerge.ui.context import Context
from semerge.ui.inspect_look import Look, index_of
from semerge.ui.inspect_page import acting
from semerge.ui.inspect_runs import Kept
from semerge.ui.inspect_table import open_row, pinned_row
from semerge.ui.result_panel import ResultPanel
from semerge.ui.view import View

if TYPE_CHECKING:
    from semerge.evaluation.inspection import Inspection


class RowPanel:
    """A column that shows one row of a kept inspection; hidden while there is none.

    which: "opened" or "pinned". `tops`, the column and its head, change with the table; the panel
    once its Result is there.
    """

    def __init__(self, context: Context, kept: Kept, script: str, which: str) -> None:
        self.context, self.kept, self.which = context, kept, which
        with gr.Column(visible=False, elem_classes="se-side", min_width=320) as self.column:
            self.head = acting(script, f"inspect-{which}")
            self.panel = ResultPanel(f"inspect-{which}", waiting="Computing the whole result")

    @property
    def tops(self) -> list[Any]:
        """What `top` fills."""
        return [self.column, self.head]

    def top(self, found: Inspection, look: Look, ids: Sequence[str]) -> list[Any]:
        """Values of `tops`."""
        opened = self.which == "opened"
        content = open_row(found, look, ids) if opened else pinned_row(found, look)
        return [gr.update(visible=bool(content)), content]

    def show(self, key: str, row: str, look: Look) -> list[Any]:
        """Values of `panel.outputs` for the row with this id."""
        try:
            view = self.view(key, row, look)
        except UserError as error:
            return self.panel.fail(str(error))
        return self.panel.skip() if view is None else self.panel.show(view)

    def view(self, key: str, row: str, look: Look) -> View | None:
        """The row's Result as one request gives it, read by the head of the look; None where there
        is no such row."""
        held = self.kept.get(key) if key and row else None
        i = index_of(held.found, row) if held else None
        if held is None or i is None:
            return None
        found = held.found
        own, used = found.rows[i], found.resolved
        settings = Settings(
            probe=used.probe,
            layer=used.layer,
            pool=used.pool,
            preset=used.preset,
            head="auto" if look.head == "routed" else own.task,
        )
        result = self.context.predict(held.choice.suite.name, found.sample(i), settings)
        text, text_b = found.text(i)
        truth = Example(-1, own.task, own.label, text=text, text_b=text_b or None)
        return View(result, found.suite, truth)
