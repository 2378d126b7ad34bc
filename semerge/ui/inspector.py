"""The Inspect tab: where SE-Merging fixes, breaks and misroutes a labelled set, and why."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import gradio as gr

from semerge.errors import UserError
from semerge.ui import inspect_status, markup
from semerge.ui.context import Context
from semerge.ui.events import model_event, page_event
from semerge.ui.inspect_board import figures
from semerge.ui.inspect_choice import Choice, first_choice, read_choice
from semerge.ui.inspect_form import SetForm
from semerge.ui.inspect_look import HEADS, Look, changed, read_look, stepped
from semerge.ui.inspect_page import Page, action_of, paced
from semerge.ui.inspect_panel import RowPanel
from semerge.ui.inspect_runs import Held, Kept, Run, Runs, inspecting
from semerge.ui.links import Query, button
from semerge.ui.result_panel import html

POLL = 0.3
"""Seconds between looks at a run."""


class InspectTab:
    """`kept` has the inspections that pages show, `runs` those under way; a page has their ids.

    A run is no event of the models' queue: it takes minutes, and nobody's question should wait for
    it. The engine is safe to use beside it.
    """

    name = "inspect"

    def __init__(self, context: Context) -> None:
        self.context = context
        self.kept, self.runs = Kept(), Runs()
        self.key, self.run_id, self.look = gr.State(""), gr.State(""), gr.State(Look())
        self.drawn = gr.State({})  # what the two panels show: {"opened": (key, row, head), ..}
        self.form = SetForm(context, self.name)
        with gr.Row(elem_classes="se-go"):
            self.run = gr.Button("Run", variant="primary", elem_id="inspect-run", min_width=120)
            self.cancel = gr.Button(
                "Cancel", visible=False, elem_id="inspect-cancel", min_width=120
            )
            first = first_choice(self.form.suites[0], context.examples)
            self.link = html(self._link(first, Look()), elem_id="inspect-link")
        self.status = html(inspect_status.INVITATION, elem_id="inspect-status")
        with gr.Column(visible=False, elem_id="inspect-results") as self.results:
            self.page = Page(context, self.kept)
            with gr.Row(elem_id="inspect-detail", equal_height=False):
                self.opened, self.pinned = (
                    RowPanel(context, self.kept, self.page.script, which)
                    for which in ("opened", "pinned")
                )
        self._wire()

    # ---- outputs -----------------------------------------------------------------------------

    @property
    def viewed(self) -> list[Any]:
        """What changes with the look at an inspection."""
        tops = [part for panel in self._both for part in panel.tops]
        return [self.status, self.results, self.look, *self.page.outputs, *tops, self.link]

    @property
    def shown(self) -> list[Any]:
        """What changes with the inspection."""
        return [self.key, self.page.figures, *self.viewed]

    @property
    def _both(self) -> tuple[RowPanel, RowPanel]:
        return self.opened, self.pinned

    @property
    def panels(self) -> list[Any]:
        return [self.drawn, *self.opened.panel.outputs, *self.pinned.panel.outputs]

    @property
    def restored(self) -> list[Any]:
        return [*self.form.outputs, *self.shown, *self.panels]

    # ---- wiring ------------------------------------------------------------------------------

    def _wire(self) -> None:
        page, look = self.page, [self.key, self.look]
        opening = (self._open, [*look, self.drawn], self.panels)
        latest = model_event(self.opened.panel.headline, trigger="always_last")
        for part in (page.board, page.table, self.opened.head, self.pinned.head):
            paced(part.view(self._view, look, self.viewed, **page_event()), self.name)
            row = part.row(self._row, look, self.viewed, **page_event())
            paced(row, self.name).then(*opening, **latest)
        typed = page_event(trigger_mode="always_last")
        given = [*look, page.search, page.task, page.chosen, page.under]
        # a paste fires no `input`; `change` also comes when the box was filled by the page
        page.search.change(self._searched, given, self.viewed, **typed)
        for chooser in (page.task, page.chosen):
            chooser.input(self._refine, given, self.viewed, **typed)
        page.under.input(self._refine, given, self.viewed, **typed).then(*opening, **latest)
        inputs = self.form.inputs
        self.form.wire(self._formed, [*look, *inputs], self.link)
        begun = [self.run_id, self.status, self.run, self.cancel]
        own = model_event(
            concurrency_id="inspection", concurrency_limit=None, trigger_mode="multiple"
        )
        followed = self.run.click(self._begin, inputs, begun, **page_event()).then(
            self._follow, [self.run_id, *look], [self.run, self.cancel, *self.shown], **own
        )
        followed.then(*opening, **latest)
        followed.failure(self._refused, None, begun, **page_event())
        self.cancel.click(self._cancel, self.run_id, [self.status, self.cancel], **page_event())

    # ---- a run -------------------------------------------------------------------------------

    def _begin(self, *values: Any) -> list[Any]:
        try:
            run_id = self.runs.add(self.form.read(values))
        except UserError as error:
            return ["", markup.failure(str(error)), gr.skip(), gr.skip()]
        stopped = gr.update(visible=True, interactive=True)
        return [run_id, gr.skip(), gr.update(interactive=False), stopped]

    def _refused(self) -> list[Any]:
        """The queue had no place for it, or something broke that is in the log."""
        return ["", markup.failure("The run could not begin; try again in a moment."), *_IDLE]

    def _cancel(self, run_id: str) -> list[Any]:
        if run := self.runs.get(run_id):
            run.cancel()
        return [inspect_status.STOPPING, gr.update(interactive=False)]

    async def _follow(self, run_id: str, key: str, look: Look) -> AsyncIterator[list[Any]]:
        """Start the run, tell how far it is, and show it when it has ended or was cancelled. Where
        the page goes away this is closed, and the run with it."""
        run = self.runs.get(run_id)
        if run is None or run.begun:
            yield [*_IDLE, *_kept(self.shown)]
            return
        settings, engine = run.choice.settings, self.context.engines.get
        work = inspecting(
            lambda: engine(run.choice.suite.name),
            lambda: run.choice.sets(self.context.examples),
            settings,
        )
        told = ""
        try:
            run.start(work, self.runs.turn)
            while not run.over:
                if (now := inspect_status.progress(run)) != told and not run.cancelled():
                    told = now
                    yield [gr.skip(), gr.skip(), *self._said(now)]
                await asyncio.sleep(POLL)
        finally:
            run.cancel()
        yield [*_IDLE, *await asyncio.to_thread(self._ended, run, key, look)]

    def _ended(self, run: Run, key: str, look: Look) -> list[Any]:
        """Values of `shown` after a run; what was there before stays where it did nothing."""
        if run.found is None or not run.found.rows:
            return self._said(inspect_status.ended(run))
        new = self.kept.put(run.found, run.choice, key)
        told: list[str] = []
        if key:
            look = Look(head=look.head)
        else:  # a look that a link has asked for waits for the first run
            look, told = self.page.known(self.kept.get(new), look.fitting(run.found.suite))
        values = self._show(new, look)
        values[2] = inspect_status.ended(run) + markup.notices(told)
        return values

    def _said(self, status: str) -> list[Any]:
        """Values of `shown` that only tell something."""
        values = _kept(self.shown)
        values[2] = status
        return values

    # ---- looks -------------------------------------------------------------------------------

    def _show(self, key: str, look: Look) -> list[Any]:
        """Values of `shown` for an inspection that is kept."""
        held = self.kept.get(key)
        drawn = self._draw(key, held, look, anew=True)
        return [key, figures(held.found), drawn[0], gr.update(visible=True), *drawn[2:]]

    def _draw(self, key: str, held: Held, look: Look, anew: bool = False) -> list[Any]:
        """Values of `viewed`. anew: the search box too, in which somebody may be typing."""
        look, ids, parts = self.page.draw(key, held, look, anew)
        tops = [p for panel in self._both for p in panel.top(held.found, look, ids)]
        return [gr.skip(), gr.skip(), look, *parts, *tops, self._link(held.choice, look)]

    def _look(self, key: str, new: Any) -> list[Any]:
        """Values of `viewed` for `new(held)`, the look that somebody asked for."""
        try:
            held = self.kept.get(key)
        except UserError as error:
            values = _kept(self.viewed)
            values[:2] = [markup.failure(str(error)), gr.update(visible=False)]
            return values
        look, anew = new(held)
        return self._draw(key, held, look, anew)

    def _view(self, event: gr.EventData, key: str, look: Look) -> list[Any]:
        action = action_of(event)
        anew = action.get("do") == "clear"
        return self._look(key, lambda held: (changed(look, action, held.found.suite), anew))

    def _row(self, event: gr.EventData, key: str, look: Look) -> list[Any]:
        action = action_of(event)
        return self._look(key, lambda h: (stepped(look, action, self.page.ids(h, look)), False))

    def _refine(
        self, key: str, look: Look, search: Any, task: Any, chosen: Any, head: Any
    ) -> list[Any]:
        new = replace(
            look,
            search=str(search or "")[:500],
            task=str(task or ""),
            chosen=str(chosen or ""),
            head=head if head in HEADS else look.head,
            page=0,
        )
        return self._look(key, lambda held: (new.fitting(held.found.suite), False))

    def _searched(self, key: str, look: Look, search: Any, *values: Any) -> list[Any]:
        same = str(search or "")[:500] == look.search
        return _kept(self.viewed) if same else self._refine(key, look, search, *values)

    def _open(self, key: str, look: Look, drawn: dict[str, Any]) -> list[Any]:
        """The whole result of the open and of the pinned row, where it is not there already."""
        values, now = [], {}
        for panel, row in zip(self._both, (look.row, look.pinned), strict=True):
            now[panel.which] = (key, row, look.head)
            same = drawn.get(panel.which) == now[panel.which]
            values += panel.panel.skip() if same else panel.show(key, row, look)
        return [now, *values]

    # ---- links -------------------------------------------------------------------------------

    def _link(self, choice: Choice, look: Look) -> str:
        values, note = choice.link()
        return button(self.name, values | look.link(), note)

    def _formed(self, key: str, look: Look, *values: Any) -> Any:
        """The link to a form that was not run yet."""
        try:
            return gr.skip() if key else self._link(self.form.read(values), look)
        except UserError:  # told when it is run
            return gr.skip()

    def restore(self, query: Query) -> list[Any]:
        first = self.form.suites[0]
        names = [suite.name for suite in self.form.suites]
        suite = self.context.suite(query.one_of("suite", names, first.name))
        choice, look = read_choice(query, suite, self.context.examples), read_look(query, suite)
        values = self._said(inspect_status.waits(choice))
        values[4], values[-1] = look, self._link(choice, look)
        panels = _kept(self.panels)
        if choice.quick:
            run = Run(choice)
            work = inspecting(
                lambda: self.context.engines.get(suite.name),
                lambda: choice.sets(self.context.examples),
                choice.settings,
            )
            try:
                key = self.kept.put(work(run), choice)
                look, told = self.page.known(self.kept.get(key), look)
                query.notices += told
                values = self._show(key, look)
                values[2] = inspect_status.opened(len(self.kept.get(key).found.rows))
                panels = self._open(values[0], values[4], {})
            except UserError as error:
                values = self._said(markup.failure(str(error)))
        return [*self.form.put(choice), *values, *panels]


_IDLE = [gr.update(interactive=True), gr.update(visible=False)]  # Run, Cancel


def _kept(components: list[Any]) -> list[Any]:
    return [gr.skip() for _ in components]
