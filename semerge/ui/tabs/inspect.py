"""The Inspect tab: where SE-Merging fixes, breaks and misroutes a labelled set, and why."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import gradio as gr

from semerge.common import ASSETS, UserError
from semerge.data.labelled import SPLITS
from semerge.settings import Settings
from semerge.suites import Suite
from semerge.suites.examples import Example
from semerge.ui import markup, runs
from semerge.ui.context import Context
from semerge.ui.events import model_event, page_event
from semerge.ui.links import Query, button
from semerge.ui.options import Options, called
from semerge.ui.panel import ResultPanel, html
from semerge.ui.runs import Held, Kept, Run, Runs, inspecting
from semerge.ui.tabs import Tab, listed
from semerge.ui.tabs.inspect_choice import (
    FOLDER,
    HEADS,
    UPLOAD,
    Choice,
    Look,
    changed,
    first_choice,
    index_of,
    kinds,
    known,
    read_choice,
    read_look,
    stepped,
    within,
)
from semerge.ui.tabs.inspect_html import (
    board,
    export,
    exporter,
    exports,
    figures,
    open_row,
    pinned_row,
    rows_table,
)
from semerge.ui.view import View

if TYPE_CHECKING:
    from semerge.evaluation.inspection import Inspection

POLL = 0.3
"""Seconds between looks at a run."""


class InspectTab(Tab):
    """`kept` has the inspections that pages show, `runs` those under way; a page has their ids.

    A run is no event of the models' queue: it takes minutes, and nobody's question should wait for
    it. The engine is safe to use beside it.
    """

    label, place = "Inspect", 30

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
        self.status = html(runs.INVITATION, elem_id="inspect-status")
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
        return [runs.STOPPING, gr.update(interactive=False)]

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
                if (now := runs.progress(run)) != told and not run.cancelled():
                    told = now
                    yield [gr.skip(), gr.skip(), *self._said(now)]
                await asyncio.sleep(POLL)
        finally:
            run.cancel()
        yield [*_IDLE, *await asyncio.to_thread(self._ended, run, key, look)]

    def _ended(self, run: Run, key: str, look: Look) -> list[Any]:
        """Values of `shown` after a run; what was there before stays where it did nothing."""
        if run.found is None or not run.found.rows:
            return self._said(runs.ended(run))
        new = self.kept.put(run.found, run.choice, key)
        told: list[str] = []
        if key:
            look = Look(head=look.head)
        else:  # a look that a link has asked for waits for the first run
            look, told = self.page.known(self.kept.get(new), look.fitting(run.found.suite))
        values = self._show(new, look)
        values[2] = runs.ended(run) + markup.notices(told)
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
            values += _kept(panel.panel.outputs) if same else panel.show(key, row, look)
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
        values = self._said(runs.waits(choice))
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
                values[2] = runs.opened(len(self.kept.get(key).found.rows))
                panels = self._open(values[0], values[4], {})
            except UserError as error:
                values = self._said(markup.failure(str(error)))
        return [*self.form.put(choice), *values, *panels]


_IDLE = [gr.update(interactive=True), gr.update(visible=False)]  # Run, Cancel


def _kept(components: list[Any]) -> list[Any]:
    return [gr.skip() for _ in components]


# --------------------------------------------------------------------------------------------------
# The form of the Inspect tab: suite, labelled set, its limit and the options.

INFER = ""  # in the list of tasks: the labels tell
WANTED = {
    "image": "A zip archive with one folder a class, named as in the suite; up to 10 MB",
    "text": "A CSV or JSONL file with text, label and, for pairs, text_b; up to 10 MB",
}


class SetForm:
    """`inputs` go into a handler, `read` makes a Choice of their values, `put` shows one."""

    def __init__(self, context: Context, name: str) -> None:
        self.context = context
        self.suites = list(context.suites.values())
        suite = self.suites[0]
        choice = first_choice(suite, context.examples)
        with gr.Column(elem_classes="se-input se-set"):
            html('<h2 class="se-title">Labelled set</h2>')
            with gr.Row(elem_classes="se-fields"):
                self.suite = gr.Dropdown(
                    [(called(s), s.name) for s in self.suites], value=suite.name, label="Suite",
                    min_width=200, elem_id=f"{name}-suite",
                )  # fmt: skip
                self.kind = gr.Dropdown(
                    self._kinds(suite), value=choice.kind, label="Samples", min_width=200,
                    elem_id=f"{name}-set",
                )  # fmt: skip
                self.split = gr.Dropdown(
                    list(SPLITS), value="test", label="Split", visible=choice.splits,
                    min_width=110, elem_id=f"{name}-split",
                )  # fmt: skip
                self.limit = gr.Number(
                    0, label="Samples a task (0: all)", precision=0, minimum=0, min_width=110,
                    elem_id=f"{name}-limit",
                )  # fmt: skip
            with gr.Row(elem_classes="se-fields"):
                self.folder = gr.Textbox(
                    "", label="Path", visible=choice.kind == FOLDER, max_lines=1, min_width=260,
                    info="A folder as evaluate --data reads it, or a .zip, .csv or .jsonl file",
                    elem_id=f"{name}-path",
                )  # fmt: skip
                self.upload = gr.File(
                    None, label="Your labelled samples", visible=choice.kind == UPLOAD, height=132,
                    file_types=[".zip", ".csv", ".tsv", ".jsonl", ".json", ".txt"],
                    elem_id=f"{name}-upload", elem_classes="se-drop",
                )  # fmt: skip
                self.task = gr.Dropdown(
                    self._tasks(suite), value=INFER, label="Their task", min_width=200,
                    visible=choice.names_task, elem_id=f"{name}-task-of",
                )  # fmt: skip
            self.wanted = html(self._wanted(choice), elem_id=f"{name}-wanted")
            self.options = Options(self.suites, name, whole=False)

    # ---- values ------------------------------------------------------------------------------

    @property
    def inputs(self) -> list[Any]:
        return [
            self.suite, self.kind, self.split, self.limit, self.folder, self.upload, self.task,
            *self.options.choices,
        ]  # fmt: skip

    def read(self, values: Sequence[Any]) -> Choice:
        """Values of `inputs` -> what they ask for. Raises UserError for what can't be."""
        name, kind, split, limit, folder, upload, task, *choices = values
        suite = self.context.suite(name)
        if not isinstance(limit, int):  # an emptied box
            limit = 0
        choice = Choice(
            suite,
            str(kind),
            place=str((upload if kind == UPLOAD else folder) or ""),
            split=str(split),
            task=task if task in suite.task_names else None,
            limit=limit or None,
            settings=Options.read(suite, choices),
        )
        choice.check(self.context.examples)
        return choice

    @property
    def outputs(self) -> list[Any]:
        """What `put` fills."""
        return [*self.inputs, self.options.preset_about, self.wanted]

    def put(self, choice: Choice) -> list[Any]:
        """Values of `outputs` that show a choice."""
        options = listed(self.options.outputs, self.options.put(choice.suite, choice.settings))
        return [
            choice.suite.name,
            gr.update(choices=self._kinds(choice.suite), value=choice.kind),
            gr.update(value=choice.split, visible=choice.splits),
            choice.limit or 0,
            gr.update(value=choice.place if choice.kind == FOLDER else "",
                      visible=choice.kind == FOLDER),
            gr.update(value=None, visible=choice.kind == UPLOAD),
            gr.update(choices=self._tasks(choice.suite), value=choice.task or INFER,
                      visible=choice.names_task),
            *options, self._wanted(choice),
        ]  # fmt: skip

    # ---- events ------------------------------------------------------------------------------

    def wire(self, *after: Any) -> None:
        """What of the form follows from other parts of it. after: handler, inputs and outputs of
        what follows every change; not by `change` events, which would send what is half changed.
        """
        options, calm = self.options, page_event()
        suite = self.suite.input(self._changed_suite, self.suite, self.outputs, **calm)
        followers = [self.split, self.folder, self.upload, self.task, self.wanted]
        kind = self.kind.input(self._changed_kind, [self.suite, self.kind], followers, **calm)
        chosen = [self.suite, options.preset, options.probe, options.layer, options.pool]
        inputs = [part.input for part in chosen[1:]]
        other = gr.on(inputs, self._follow, chosen, options.followers, **calm)
        reset = options.reset.click(
            lambda name: options.defaults(self.context.suite(name)),
            self.suite,
            options.outputs,
            **calm,
        )
        for event in (suite, kind, other, reset):
            event.then(*after, **calm)
        typed = [part.input for part in (self.split, self.limit, self.folder, self.task)]
        given = [*typed, self.upload.upload, self.upload.clear]
        gr.on(given, *after, **page_event(trigger_mode="always_last"))

    def _changed_suite(self, name: str) -> list[Any]:
        return self.put(first_choice(self.context.suite(name), self.context.examples))

    def _changed_kind(self, name: str, kind: str) -> list[Any]:
        choice = Choice(self.context.suite(name), kind)
        shown = (choice.splits, kind == FOLDER, kind == UPLOAD, choice.names_task)
        return [*(gr.update(visible=visible) for visible in shown), self._wanted(choice)]

    def _follow(self, name: str, preset: Any, probe: Any, layer: Any, pool: Any) -> list[Any]:
        suite = self.context.suite(name)
        try:
            found = Options.read(suite, [preset, probe, layer, pool, None, None]).resolve(suite)
        except UserError:  # told when the run is asked for
            return [gr.skip() for _ in self.options.followers]
        return listed(self.options.followers, self.options.follow(suite, found))

    def _kinds(self, suite: Suite) -> list[tuple[str, str]]:
        return [(title, kind) for kind, title in kinds(suite, self.context.examples).items()]

    @staticmethod
    def _tasks(suite: Suite) -> list[tuple[str, str]]:
        return [("the one that the labels fit", INFER), *((t.title, t.name) for t in suite.tasks)]

    @staticmethod
    def _wanted(choice: Choice) -> str:
        """What an upload has to be; nothing where none is asked for."""
        if choice.kind != UPLOAD:
            return ""
        return f'<p class="se-hint">{WANTED[choice.suite.modality]}.</p>'


# --------------------------------------------------------------------------------------------------
# What the Inspect tab shows above the open row: figures, counts, matrix, filters, table, files.

SCRIPTS = ASSETS / "scripts"
ANY = ""  # in the lists of tasks and experts


class Page:
    """The components, and what they show of a look at an inspection."""

    def __init__(self, context: Context, kept: Kept) -> None:
        self.script = (SCRIPTS / "inspect.js").read_text(encoding="utf-8")
        keys = (SCRIPTS / "inspect_keys.js").read_text(encoding="utf-8")
        with gr.Row(elem_classes="se-overview", equal_height=False):
            with gr.Column(scale=5, min_width=320):
                self.figures = html("", elem_id="inspect-figures")
            with gr.Column(scale=7, min_width=320):
                self.board = acting(self.script, "inspect-board")
        with gr.Row(elem_classes="se-fields se-narrow"):
            self.search = gr.Textbox(
                "", label="Search", placeholder="words of a sample, class or id", max_lines=1,
                min_width=200, elem_id="inspect-search",
            )  # fmt: skip
            self.task = gr.Dropdown(
                [("all", ANY)], value=ANY, label="Task", min_width=150, elem_id="inspect-task"
            )
            self.chosen = gr.Dropdown(
                [("any", ANY)], value=ANY, label="Expert chosen", min_width=150,
                elem_id="inspect-chosen",
            )  # fmt: skip
            self.under = gr.Radio(
                [("own task's", "oracle"), ("chosen expert's", "routed")], value="oracle",
                label="Head that answers", min_width=260, elem_id="inspect-under",
            )  # fmt: skip
        self.table = acting(self.script + keys, "inspect-table")
        functions = [exporter(partial(export, kept))]
        self.files = acting(self.script, "inspect-files", server_functions=functions)

    @property
    def outputs(self) -> list[Any]:
        """What `draw` fills."""
        return [
            self.board, self.search, self.task, self.chosen, self.under, self.table, self.files
        ]  # fmt: skip

    def ids(self, held: Held, look: Look) -> list[str]:
        """The samples that a look shows, in its order."""
        from semerge.evaluation.inspection import select  # imports torch

        return [held.found.rows[i].id for i in select(held.found, look.view())]

    def known(self, held: Held, look: Look) -> tuple[Look, list[str]]:
        """A link's look without what the samples do not have, and what to tell of that."""
        samples = {row.id for row in held.found.rows}
        return known(look, samples, len(self.ids(held, look)))

    def draw(
        self, key: str, held: Held, look: Look, anew: bool
    ) -> tuple[Look, Sequence[str], list[Any]]:
        """The look at a page that exists, the ids of all samples that it shows, and the values of
        `outputs`. anew: the search box too, in which somebody may be typing."""
        from semerge.evaluation.inspection import select  # imports torch

        found = held.found
        chosen = select(found, look.view())
        look = within(look, len(chosen))
        tasks = [(task.title, task.name) for task in found.suite.tasks]
        values = [
            board(found, look),
            look.search if anew else gr.skip(),
            gr.update(choices=[("all", ANY), *tasks], value=look.task),
            gr.update(choices=[("any", ANY), *tasks], value=look.chosen),
            look.head,
            rows_table(found, look, chosen),
            exports(key, look, held.choice, len(chosen)),
        ]
        return look, [found.rows[i].id for i in chosen], values


def paced(event: Any, name: str) -> Any:
    """An event of a tab's `acting` parts, after which their script sends the next action."""
    part = f"document.getElementById('{name}-results')"
    for after in (event.then, event.failure):
        after(None, js=f"() => {{ {part}?.dispatchEvent(new Event('answered')); }}", **page_event())
    return event


def action_of(event: gr.EventData) -> dict[str, Any]:
    """What the script sends; empty if a client sent something else."""
    data = getattr(event, "_data", None)
    return data if isinstance(data, dict) else {}


def acting(script: str, name: str, **options: Any) -> gr.HTML:
    """HTML whose buttons reach Python by the events `view` and `row`."""
    return gr.HTML("", js_on_load=script, apply_default_css=False, elem_id=name, **options)


# --------------------------------------------------------------------------------------------------
# The whole result of the open row, and of the pinned one beside it: the panel of every tab.


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
            return listed(self.panel.outputs, self.panel.fail(str(error)))
        return listed(self.panel.outputs, self.panel.show(view) if view else {})

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
