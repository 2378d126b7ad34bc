"""A visitor of the running Blocks: fires events as a browser does, and sees what they return."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qsl

import gradio as gr
from gradio.helpers import special_args

from semerge.ui.links import Query

Steps = Callable[[int], None]


class Visitor:
    """One visitor's page: the value of each component, by what the handlers have returned.

    An event runs every handler that listens to it, then what follows it (`then`), and whatever
    listens to a State that a queued one has changed; only those tell their change in a browser.
    """

    def __init__(self, part: Any, session: str = "visitor") -> None:
        """part: any component of the Blocks."""
        while not isinstance(part, gr.Blocks):
            part = part.parent
        self.blocks, self.session = part, session
        self.values: dict[int, Any] = {}
        self.props: dict[int, dict[str, Any]] = {}
        self.steps: list[Mapping[Any, Any]] = []  # what handlers with progress have yielded

    # ---- what is seen ------------------------------------------------------------------------

    def get(self, part: Any) -> Any:
        return self.values.get(part._id, getattr(part, "value", None))

    def prop(self, part: Any, name: str) -> Any:
        return self.props.get(part._id, {}).get(name, getattr(part, name))

    def visible(self, part: Any) -> bool:
        return bool(self.prop(part, "visible"))

    def link(self, part: Any) -> str:
        """The query string of a "Copy link" button."""
        html = str(self.get(part))
        return html.split('data-link="', 1)[1].split('"', 1)[0].replace("&amp;", "&")

    # ---- what is done ------------------------------------------------------------------------

    def set(self, part: Any, value: Any) -> None:
        """What is typed or chosen, without an event."""
        self.values[part._id] = value

    def enter(self, part: Any, value: Any, event: str = "input") -> None:
        """Type or choose it."""
        self.set(part, value)
        self.fire(part, event)

    def fire(self, part: Any, event: str, data: Any = None, at: Steps | None = None) -> None:
        """data: what an event carries. at: called with the number of each step of progress."""
        for fn in list(self.blocks.fns.values()):
            if (part._id, event) in fn.targets:
                self._run(fn, data, at)

    def open(self, tab: Any, query: str, at: Steps | None = None) -> Query:
        """Open a tab by a link; answers with the query, which has the notices."""
        asked, changed = self.restore(tab, query)
        self.tell(changed, at)
        return asked

    def restore(self, tab: Any, query: str) -> tuple[Query, list[Any]]:
        """The first half of `open`: the page is as the link has it, nothing has followed yet."""
        asked = Query(dict(parse_qsl(query)))
        return asked, self.take(tab.restore(asked), tab.outputs)

    def tell(self, states: list[Any], at: Steps | None = None) -> None:
        """Run what listens to these States."""
        for state in states:
            self.fire(state, "change", at=at)

    def take(self, update: Any, outputs: Any) -> list[Any]:
        """What the page does with a handler's answer; the States that it changes."""
        outputs = list(outputs)
        if not isinstance(update, dict):
            update = dict(zip(outputs, update if len(outputs) > 1 else [update], strict=True))
        elif update == gr.skip():
            return []
        before = {part._id: self.get(part) for part in outputs if isinstance(part, gr.State)}
        for part, value in update.items():
            assert any(part is output for output in outputs), f"{part} is no output"
            if isinstance(value, dict) and value.get("__type__") == "update":
                if "value" in value:
                    self.values[part._id] = value["value"]
                self.props.setdefault(part._id, {}).update(value)
            else:
                self.values[part._id] = value
        return [p for p in outputs if p._id in before and before[p._id] != self.get(p)]

    def _run(self, fn: Any, data: Any = None, at: Steps | None = None) -> None:
        changed: list[Any] = []
        if fn.fn is not None:
            request: Any = SimpleNamespace(session_hash=self.session, query_params={})
            event: Any = gr.EventData(None, data)
            inputs = [self.get(part) for part in fn.inputs]
            given = special_args(fn.fn, inputs, request, event)[0]
            answer = fn.fn(*given)
            if inspect.isasyncgen(answer):
                asyncio.run(self._follow(fn, answer, at))
            else:
                changed = self.take(answer, fn.outputs)
        if fn.queue:
            self.tell(changed, at)
        for other in list(self.blocks.fns.values()):
            if other.trigger_after == fn._id and not other.trigger_only_on_failure:
                self._run(other, at=at)

    async def _follow(self, fn: Any, answers: Any, at: Steps | None) -> None:
        async for answer in answers:
            self.steps.append(answer)
            self.take(answer, fn.outputs)
            if at:
                at(len(self.steps))
