"""A visitor of the Inspect tab, without a browser."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from html import unescape
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qsl

import gradio as gr
from visitor import Visitor

from semerge.engine import load_engine
from semerge.suites import Suite, read_suite
from semerge.suites.examples import Example, Examples
from semerge.ui.context import Context
from semerge.ui.links import Query
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


def arrive(visitor: Visitor, tab: Any, query: str) -> tuple[Query, list[gr.State]]:
    """The first half of opening a tab by a link: the page is as the link has it, and these states
    have changed; what listens to them has not run yet."""
    asked, states = Query(dict(parse_qsl(query))), {}
    for part in tab.outputs:
        if isinstance(part, gr.State):
            states[part] = visitor[part]
    restored = SimpleNamespace(name="restore", outputs=list(tab.outputs))
    visitor._take(restored, tab.restore(asked))
    return asked, [part for part, old in states.items() if visitor[part] != old]


def follow(visitor: Visitor, states: list[gr.State], each: Any = None) -> None:
    """The second half: what listens to them."""
    listened = {target for function in visitor.page.fns.values() for target in function.targets}
    for state in states:
        if (state._id, "change") in listened:
            visitor.event(state, "change", each=each)


def opened(visitor: Visitor, tab: Any, query: str) -> Query:
    """A tab opened by a link; the query has the notices."""
    asked, states = arrive(visitor, tab, query)
    follow(visitor, states)
    return asked


def page_of(part: Any) -> gr.Blocks:
    """The page that a component is on."""
    while not isinstance(part, gr.Blocks):
        part = part.parent
    return part


class Inspector(Visitor):
    """A visitor of the Inspect tab. `form` fills its form."""

    def __init__(self, tab: InspectTab, **form: Any) -> None:
        super().__init__(page_of(tab.key))
        self.tab = tab
        self.steps: list[Any] = []  # of the last run's progress
        for name, value in form.items():
            self[self._box(name)] = value

    def _box(self, name: str) -> Any:
        form, options = self.tab.form, self.tab.form.options
        further = {option: part for (_, option), part in options.further.items()}
        return further.get(name) or getattr(form, name, None) or options.fields[name]

    def form(self) -> list[Any]:
        return [self[part] for part in self.tab.form.inputs]

    def press_run(self, at: Callable[[int], None] | None = None) -> None:
        """Press Run and wait to the end. at: called with the number of each step of progress."""
        self.steps = []

        def each(step: dict[Any, Any]) -> None:
            if set(step) == {self.tab.run.status}:
                self.steps.append(step)
                if at:
                    at(len(self.steps))

        self.press(self.tab.run.run, each)

    def press_cancel(self) -> None:
        self.press(self.tab.run.cancel)

    def act(self, **action: Any) -> None:
        """Press a button of the summary, the matrix, the table or the open row."""
        row = action.get("do") in ("open", "step", "pin", "unpin")
        self.event(self.tab.page.table, "row" if row else "view", action)

    def refine(self, **given: Any) -> None:
        """Change what is above the table: search, task, chosen or head."""
        page = self.tab.page
        boxes = {"task": page.task, "chosen": page.chosen, "head": page.under}
        for name, value in given.items():
            if name == "search":
                self[page.search] = value
                self.event(page.search, "change")
            else:
                self.change(boxes[name], value)

    @property
    def query(self) -> str:
        """The query string of the "Copy link" button."""
        html = str(self[self.tab.link])
        return html.split('data-link="', 1)[1].split('"', 1)[0].replace("&amp;", "&")

    @property
    def look(self) -> Look:
        look: Look = self[self.tab.look]
        return look

    @property
    def key(self) -> str:
        return str(self[self.tab.key])

    @property
    def status(self) -> str:
        return str(self[self.tab.run.status])

    @property
    def found(self) -> Any:
        return self.tab.store.get(self.key).result

    def ids(self) -> list[str]:
        """Of the rows in the table, in order."""
        parts = str(self[self.tab.page.table]).split('data-key="row ')[1:]
        return [part.split('"', 1)[0] for part in parts]

    def export(self, kind: str) -> dict[str, str]:
        """What a button of the files saves, asked for as the page's script does."""
        part = str(self[self.tab.page.files]).partition(f'data-key="export {kind}"')[2]
        asked = json.loads(unescape(part.split("data-export='", 1)[1].split("'", 1)[0]))
        answer: dict[str, str] = self.tab.page.files.export_rows(asked)
        return answer


def cut(found: Any, rows: Sequence[Any]) -> Any:
    """An inspection with other rows."""
    return replace(found, rows=tuple(rows), places=found.places[: len(rows)])
