"""A comparison on a set from its Run button to its end: progress with time left, and a cancel."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import gradio as gr

from semerge.errors import UserError
from semerge.ui import inspect_status, markup
from semerge.ui.compare_asked import Asked
from semerge.ui.compare_pair import comparing
from semerge.ui.compare_set import SetPart
from semerge.ui.context import Context
from semerge.ui.events import model_event, page_event
from semerge.ui.inspect_runs import Run

POLL = 0.3  # seconds between looks at a run
IDLE = [gr.update(interactive=True), gr.update(visible=False)]  # Run, Cancel
REFUSED = "The run could not begin; try again in a moment."
STATUS = 2  # its place among what a comparison changes


class Follow:
    """Wires Run and Cancel. Its event is none of the models' queue: a run takes minutes, and no
    other question should wait for it. The engine is safe to use beside it."""

    def __init__(self, context: Context, runs: Any, part: SetPart) -> None:
        self.context, self.runs, self.part = context, runs, part

    def wire(
        self,
        run_id: gr.State,
        asked: list[Any],
        read: Callable[[Sequence[Any]], Asked],
        shown: list[Any],
        ended: Callable[[Run, Asked], list[Any]],
    ) -> Any:
        """asked: what `read` reads. shown: what `ended` fills. Returns the event of the end."""
        part = self.part
        begun = [run_id, part.status, part.run, part.cancel]

        def begin(*values: Any) -> list[Any]:
            try:
                pair = read(values).pair
                pair.check(self.context.examples)
                name = self.runs.add(pair)
            except UserError as error:
                return ["", markup.failure(str(error)), gr.skip(), gr.skip()]
            stopped = gr.update(visible=True, interactive=True)
            return [name, gr.skip(), gr.update(interactive=False), stopped]

        async def follow(name: str, *values: Any) -> AsyncIterator[list[Any]]:
            # where the page goes away this is closed, and the run with it
            run = self.runs.get(name)
            if run is None or run.begun:
                yield [*IDLE, *(gr.skip() for _ in shown)]
                return
            work = comparing(self.context.engines.get, run.choice, self.context.examples)
            told = ""
            try:
                run.start(work, self.runs.turn)
                while not run.over:
                    if (now := inspect_status.progress(run)) != told and not run.cancelled():
                        told, quiet = now, [gr.skip() for _ in shown]
                        quiet[STATUS] = now
                        yield [gr.skip(), gr.skip(), *quiet]
                    await asyncio.sleep(POLL)
            finally:
                run.cancel()
            yield [*IDLE, *await asyncio.to_thread(ended, run, read(values))]

        def cancel(name: str) -> list[Any]:
            if run := self.runs.get(name):
                run.cancel()
            return [inspect_status.STOPPING, gr.update(interactive=False)]

        def refused() -> list[Any]:
            return ["", markup.failure(REFUSED), *IDLE]

        own = model_event(
            concurrency_id="comparison", concurrency_limit=None, trigger_mode="multiple"
        )
        end = part.run.click(begin, asked, begun, **page_event()).then(
            follow, [run_id, *asked], [part.run, part.cancel, *shown], **own
        )
        end.failure(refused, None, begun, **page_event())
        part.cancel.click(cancel, run_id, [part.status, part.cancel], **page_event())
        return end
