"""A visitor of a page without a browser: fills its boxes, presses its buttons, reads what changed.

    page = Visitor(build(context))
    page["language-text"] = "Play some quiet music"
    shown = page.press("language-run")     # {component: value}, of all that this has set
    page["language-sentence"]              # the value now, whoever set it

A component is named by its `elem_id` or its label, where one alone has it; "vision-options/Preset"
is the one of this label within another. It may be given itself, too. A handler gets what the page
holds, as for the page's own events; nothing is sent, so values are those of the handlers, neither
pre- nor postprocessed, and no validator is asked. What follows an event (`.then`, a State's change)
follows here too.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterator, Mapping
from types import SimpleNamespace
from typing import Any

import gradio as gr
from gradio.helpers import special_args

Each = Callable[[dict[Any, Any]], None]


class Visitor:
    """One visitor. Those of one page do not share what they see; those of one `session` are the
    same person to the handlers."""

    def __init__(
        self, page: gr.Blocks, session: str = "visitor", query: Mapping[str, str] | None = None
    ) -> None:
        self.page = page
        self.request = SimpleNamespace(session_hash=session, query_params=dict(query or {}))
        self._set: dict[tuple[int, str], Any] = {}  # (component, property) -> what was set here

    @classmethod
    def around(cls, part: Any) -> Visitor:
        """One of the page that a component is on."""
        while part.parent is not None:
            part = part.parent
        return cls(part)

    # ---- what is on the page -----------------------------------------------------------------

    def part(self, name: Any) -> Any:
        """The component of this name.

        Raises:
            KeyError: none has it, or several.
        """
        if not isinstance(name, str):
            return name
        place: Any = self.page
        for step in name.split("/"):
            inside = [part for part in self.page.blocks.values() if _within(part, place)]
            for attribute in ("elem_id", "label"):
                if found := [part for part in inside if getattr(part, attribute, None) == step]:
                    break
            if len(found) != 1:
                raise KeyError(f"{len(found)} components are named {step!r} ({name})")
            place = found[0]
        return place

    def of(self, name: Any, attribute: str) -> Any:
        """A property of a component as it is now: "value", "visible", "choices" and so on."""
        part = self.part(name)
        return self._set.get((part._id, attribute), getattr(part, attribute, None))

    def visible(self, name: Any) -> bool:
        """Whether a component is shown, which it is not in one that is hidden."""
        part = self.part(name)
        while part is not None and self.of(part, "visible") in (True, None):
            part = part.parent
        return part is None

    def __getitem__(self, name: Any) -> Any:
        return self.of(name, "value")

    def __setitem__(self, name: Any, value: Any) -> None:
        """Fill in; no event follows, see `change`."""
        self._set[self.part(name)._id, "value"] = value

    # ---- what a visitor does -----------------------------------------------------------------

    def load(self, each: Each | None = None) -> dict[Any, Any]:
        """Open the page at the visitor's query."""
        return self._fire(self.page._id, "load", None, each)

    def tick(self) -> dict[Any, Any]:
        """All timers that run, once."""
        shown: dict[Any, Any] = {}
        for part in list(self.page.blocks.values()):
            if isinstance(part, gr.Timer) and self.of(part, "active"):
                shown |= self._fire(part._id, "tick", None, None)
        return shown

    def press(self, name: Any, each: Each | None = None) -> dict[Any, Any]:
        """Press a button."""
        return self.event(name, "click", each=each)

    def change(self, name: Any, value: Any) -> dict[Any, Any]:
        """Set a control as by hand."""
        self[name] = value
        return self.event(name, "input")

    def event(
        self, name: Any, kind: str, data: Any = None, each: Each | None = None
    ) -> dict[Any, Any]:
        """Any event of a component: "submit", "select", "upload" and so on.

        data: what the event brings beside the values, for handlers that take a `gr.EventData`.
        each: gets what every step of a handler that goes on for a while has set.

        Raises:
            KeyError: nothing listens to it.
        """
        return self._fire(self.part(name)._id, kind, data, each)

    # ---- how the page answers ----------------------------------------------------------------

    def _fire(self, target: int, kind: str, data: Any, each: Each | None) -> dict[Any, Any]:
        listening = [f for f in self.page.fns.values() if (target, kind) in f.targets]
        if not listening:
            raise KeyError(f"nothing listens to {kind} of {self.page.blocks[target]}")
        shown: dict[Any, Any] = {}
        for function in listening:
            shown |= self._run(function, data, each)
        return shown

    def _run(self, function: Any, data: Any, each: Each | None) -> dict[Any, Any]:
        states = {part: self[part] for part in function.outputs if isinstance(part, gr.State)}
        shown: dict[Any, Any] = {}
        for step in self._answers(function, data):
            shown |= step
            if each:
                each(step)
        # in a browser, too, it is the queue that tells of a State's change
        asked = states.items() if function.queue else ()
        changed = {(part._id, "change") for part, old in asked if self[part] != old}
        for other in self.page.fns.values():
            follows = other.trigger_after == function._id and not other.trigger_only_on_failure
            if follows or changed & set(other.targets):
                shown |= self._run(other, None, each)
        return shown

    def _answers(self, function: Any, data: Any) -> Iterator[dict[Any, Any]]:
        """What each step of a handler sets: one, or as many as it yields."""
        if function.fn is None:  # a script of the page alone
            return
        event = None if data is None else gr.EventData(None, data)
        values, *_ = special_args(
            function.fn, [self[part] for part in function.inputs], self.request, event
        )
        answer = function.fn(*values)
        if inspect.iscoroutine(answer):
            answer = asyncio.run(answer)
        if inspect.isasyncgen(answer):
            answer = _steps(answer)
        for step in answer if inspect.isgenerator(answer) else [answer]:
            yield self._take(function, step)

    def _take(self, function: Any, answer: Any) -> dict[Any, Any]:
        if not isinstance(answer, dict) or answer.get("__type__") == "update":
            several = isinstance(answer, tuple | list) and len(function.outputs) != 1
            values = answer if several else [answer] * len(function.outputs)
            answer = dict(zip(function.outputs, values, strict=True))
        strange = [part for part in answer if part not in function.outputs]
        assert not strange, f"{function.name} sets what is none of its outputs: {strange}"
        shown = {}
        for part, value in answer.items():
            update = _update(value)
            for attribute, new in update.items():
                self._set[part._id, attribute] = new
            if "value" in update:
                shown[part] = update["value"]
        return shown


def _within(part: Any, place: Any) -> bool:
    while part is not None and part is not place:
        part = part.parent
    return part is not None


def _update(value: Any) -> dict[str, Any]:
    """The properties that a handler's value for a component sets."""
    if isinstance(value, dict) and value.get("__type__") == "update":
        return {key: new for key, new in value.items() if key != "__type__"}
    if isinstance(value, gr.blocks.Block):  # `gr.Timer(active=True)` in an update's place
        return dict(value._constructor_args[0])
    return {"value": value}


def _steps(answer: Any) -> Iterator[Any]:
    """An asynchronous generator's steps, one by one."""
    loop = asyncio.new_event_loop()
    try:
        while True:
            yield loop.run_until_complete(anext(answer))
    except StopAsyncIteration:
        pass
    finally:
        loop.close()
