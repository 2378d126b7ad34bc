"""The Inspect tab without a browser: its handlers, called as the events of a page call them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from html import unescape
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr

from semerge.engine import load_engine
from semerge.suites import Suite, read_suite
from semerge.suites.examples import Example, Examples
from semerge.ui.context import Context
from semerge.ui.tabs.inspect import InspectTab
from semerge.ui.tabs.inspect_choice import Look


def tab_of(suites: Sequence[Suite], examples: Examples | None = None) -> InspectTab:
    """The tab on a page of its own, with real engines."""
    context = Context.make(suites, examples or Examples(), lambda suite: load_engine(suite.folder))
    with gr.Blocks():
        return InspectTab(context)


def examples_of(folder: Path) -> Examples:
    """Two examples a task of a tiny text suite."""
    suite = read_suite(folder)
    found = [
        Example(2 * t + i, task.name, task.classes[i], text=f"A {i} cat on mat {t}.",
                text_b="Really?" if task.pair else None)
        for t, task in enumerate(suite.tasks) for i in range(2)
    ]  # fmt: skip
    return Examples(text=tuple(found))


class Visitor:
    """One visitor's page: the values of the tab's components, by what its handlers return."""

    def __init__(self, tab: InspectTab, **form: Any) -> None:
        self.tab = tab
        self.values: dict[int, Any] = {}
        self.yields: list[list[Any]] = []
        for part in [tab.key, tab.run_id, tab.look, tab.drawn, *tab.form.inputs]:
            self.values[part._id] = part.value
        for name, value in form.items():
            part = getattr(tab.form, name, None) or getattr(tab.form.options, name)
            self.values[part._id] = value

    def get(self, part: Any) -> Any:
        return self.values.get(part._id, part.value)

    def take(self, outputs: Sequence[Any], values: Sequence[Any]) -> None:
        """What the page does with a handler's values."""
        assert len(outputs) == len(values)
        for part, value in zip(outputs, values, strict=True):
            if isinstance(value, dict) and value.get("__type__") == "update":
                if "value" in value:
                    self.values[part._id] = value["value"]
                self.values[part._id, "visible"] = value.get("visible", self.visible(part))
            else:
                self.values[part._id] = value

    def visible(self, part: Any) -> bool:
        return bool(self.values.get((part._id, "visible"), part.visible))  # type: ignore[call-overload]

    def form(self) -> list[Any]:
        return [self.get(part) for part in self.tab.form.inputs]

    def press_run(self, at: Callable[[int], None] | None = None) -> None:
        """Press Run and wait to the end. at: called with the number of each step of progress."""
        tab, self.yields = self.tab, []
        self.take([tab.run_id, tab.status, tab.run, tab.cancel], tab._begin(*self.form()))

        async def follow() -> None:
            steps = tab._follow(self.get(tab.run_id), self.get(tab.key), self.look)
            async for values in steps:
                self.yields.append(values)
                self.take([tab.run, tab.cancel, *tab.shown], values)
                if at:
                    at(len(self.yields))

        asyncio.run(follow())
        self.open()

    def press_cancel(self) -> None:
        tab = self.tab
        self.take([tab.status, tab.cancel], tab._cancel(self.get(tab.run_id)))

    def act(self, **action: Any) -> None:
        """Press a button of the summary, the matrix, the table or the open row."""
        tab = self.tab
        event: Any = SimpleNamespace(_data=action)
        row = action.get("do") in ("open", "step", "pin", "unpin")
        handler = tab._row if row else tab._view
        self.take(tab.viewed, handler(event, self.get(tab.key), self.look))
        if row:
            self.open()

    def refine(self, **given: Any) -> None:
        """Change what is above the table: search, task, chosen or head."""
        usual = {"search": self.look.search, "task": self.look.task, "chosen": self.look.chosen}
        given = usual | {"head": self.look.head} | given
        self.values[self.tab.page.search._id] = given["search"]  # where it was typed
        self.take(self.tab.viewed, self.tab._refine(self.get(self.tab.key), self.look, **given))
        self.open()

    def open(self) -> None:
        tab = self.tab
        self.take(tab.panels, tab._open(self.get(tab.key), self.look, self.get(tab.drawn)))

    def link(self) -> str:
        """The query string of the "Copy link" button."""
        html = str(self.get(self.tab.link))
        return html.split('data-link="', 1)[1].split('"', 1)[0].replace("&amp;", "&")

    @property
    def look(self) -> Look:
        look: Look = self.get(self.tab.look)
        return look

    @property
    def status(self) -> str:
        return str(self.get(self.tab.status))

    @property
    def found(self) -> Any:
        return self.tab.kept.get(self.get(self.tab.key)).found

    def ids(self) -> list[str]:
        """Of the rows in the table, in order."""
        parts = str(self.get(self.tab.page.table)).split('data-key="row ')[1:]
        return [part.split('"', 1)[0] for part in parts]

    def export(self, kind: str) -> dict[str, str]:
        """What a button of the files saves, asked for as the page's script does."""
        part = str(self.get(self.tab.page.files)).partition(f'data-key="export {kind}"')[2]
        asked = json.loads(unescape(part.split("data-export='", 1)[1].split("'", 1)[0]))
        answer: dict[str, str] = self.tab.page.files.export_rows(asked)
        return answer


def cut(found: Any, rows: Sequence[Any]) -> Any:
    """An inspection with other rows."""
    return replace(found, rows=tuple(rows), places=found.places[: len(rows)])
