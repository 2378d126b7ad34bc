"""The Inspect tab."""

from __future__ import annotations

from typing import Any

from semerge.ui.context import Context
from semerge.ui.links import Query, button
from semerge.ui.picker import InputPicker
from semerge.ui.result_panel import html


class InspectTab:
    name = "inspect"

    def __init__(self, context: Context) -> None:
        self.context = context
        self.picker = InputPicker(context, self.name)
        self.link = html(button(self.name, {}), elem_id=f"{self.name}-link")

    @property
    def restored(self) -> list[Any]:
        return [*self.picker.outputs, self.link]

    def restore(self, query: Query) -> list[Any]:
        suite, source = self.picker.read(query)
        return [
            *self.picker.put(suite, source),
            button(self.name, self.picker.link(suite, source)[0]),
        ]
