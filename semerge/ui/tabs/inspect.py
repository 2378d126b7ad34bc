"""The Inspect tab: where SE-Merging fixes, breaks and misroutes a labelled set, and why."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import gradio as gr
from markupsafe import Markup

from semerge.common import ASSETS, UserError
from semerge.data.labelled import SPLITS
from semerge.settings import AUTO
from semerge.suites import Suite
from semerge.suites.examples import Example
from semerge.ui import maps
from semerge.ui.context import Context, on_gpu
from semerge.ui.links import Query
from semerge.ui.options import Options, called
from semerge.ui.parts import heading, html, model_event, page_event
from semerge.ui.runs import TEMPLATE, Controls, Item, Run, Store, outcome, said
from semerge.ui.tabs import Tab, Update, inspect_html
from semerge.ui.tabs.ask import ResultPanel
from semerge.ui.tabs.inspect_choice import (
    FILTERS,
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
    new_look,
    ranges,
    read_choice,
    read_look,
    stepped,
    within,
)
from semerge.ui.words import View, button, macro

if TYPE_CHECKING:
    from semerge.evaluation.inspection import Inspection

HINT = (
    "Run a labelled set to see where SE-Merging mends the static merge, where it breaks it, and "
    "where it takes the wrong expert."
)
WAITS = "This link names a set that takes a while: press Run, and it is shown as the link has it."
NO_UPLOAD = "No link holds an upload: choose the file again and press Run."
SCRIPTS = ASSETS / "scripts"
SCRIPT = (SCRIPTS / "inspect.js").read_text(encoding="utf-8")
SEARCH_LIMIT = 500  # characters


class InspectTab(Tab):
    """`store` has the inspections that pages show; a page has the key of its own."""

    label, place = "Inspect", 30

    def __init__(self, context: Context) -> None:
        self.context, self.store = context, Store()
        self.spread = on_gpu(self._spread)
        self.key, self.look = gr.State(""), gr.State(Look())
        self.drawn = gr.State({})  # what the two panels show: {"opened": (key, row, head), ..}
        self.form = SetForm(context, self.name)
        link = self._link(first_choice(self.form.suites[0], context.examples), Look())
        self.link = html(link, elem_id="inspect-link", render=False)
        self.run = Controls(context.runs, self.name, HINT, self.link)
        self.old = html(elem_id="inspect-old")
        with gr.Column(visible=False, elem_id="inspect-results") as self.results:
            self.page = Page(self.store)
            with self.page.desk, gr.Row(elem_id="inspect-detail", equal_height=False):
                self.opened = RowPanel(context, self.store, "opened")
                self.pinned = RowPanel(context, self.store, "pinned")
        self._wire()

    @property
    def both(self) -> tuple[RowPanel, RowPanel]:
        return self.opened, self.pinned

    @property
    def viewed(self) -> list[Any]:
        """What changes with the look at an inspection."""
        tops = [part for panel in self.both for part in (panel.column, panel.head)]
        state = [self.run.status, self.results, self.look]
        return [*state, *self.page.outputs, *tops, self.link]

    @property
    def detail(self) -> list[Any]:
        """What changes with the open row."""
        return [self.drawn, *(part for panel in self.both for part in panel.panel.outputs)]

    @property
    def outputs(self) -> list[Any]:
        parts = (*self.form.outputs, *self.run.outputs, *self.viewed, self.old)
        return list(dict.fromkeys(parts))

    def _wire(self) -> None:
        page, state = self.page, [self.key, self.look]

        def opening(event: Any) -> None:
            latest = model_event(self.opened.panel.headline, trigger="always_last")
            event.then(self._open, [*state, self.drawn], self.detail, **latest)

        acting_parts = (page.filters, page.board, page.map, page.table)
        for part in (*acting_parts, self.opened.head, self.pinned.head):
            paced(part.view(self._view, state, self.viewed, **page_event()), self.name)
            opening(paced(part.row(self._row, state, self.viewed, **page_event()), self.name))
        boxes = [page.search, page.task, page.chosen, page.under]
        # a paste fires no `input`; `change` also comes when the box was filled by the page
        refine = (self._refine, [*state, *boxes], self.viewed)
        for event in (page.search.change, page.task.input, page.chosen.input):
            event(*refine, **page_event(trigger_mode="always_last"))
        opening(page.under.input(*refine, **page_event(trigger_mode="always_last")))
        formed = (self._formed, [*state, *self.form.inputs], [self.link, self.old])
        self.form.wire(*formed)
        asked, shown = [self.look, *self.form.inputs], [self.key, page.figures, *self.viewed]
        ended = self.run.wire(self._asked, asked, self._ended, state, shown)
        opening(ended)
        ended.then(*formed, **page_event())
        ended.then(self._place, state, page.map, **model_event(trigger="always_last"))

    # ---- a run -------------------------------------------------------------------------------

    def _asked(self, look: Look, *values: Any) -> Run:
        return self._run(self.form.read(values), look)

    def _run(self, choice: Choice, look: Look, opening: bool = False) -> Run:
        """look: at what is on screen when it begins."""

        def work(run: Run) -> Inspection:
            run.reaches("Loading the models")
            engine = self.context.engines.get(choice.suite.name)
            from semerge.evaluation.inspection import inspect  # imports torch

            run.reaches("Reading the samples")
            sets = choice.sets(self.context.examples, run.notices.append)
            run.reaches("Running", sets.total)
            return inspect(engine, sets, choice.settings, run.progress, run.cancelled, run.keep)

        return Run(work, choice, look, opening)

    def _ended(self, run: Run, key: str, look: Look) -> Update:
        """The page after a run; what was there before stays where it did nothing."""
        if run.result is None or not run.result.rows:
            return {}
        new = self.store.put(run.result, run.asked, key)
        item = self.store.get(new)
        # a look that a link has asked for waits for the first run
        fresh = new_look(run.before, look, look.usual) if key else look
        fresh = fresh.fitting(run.result.suite)
        samples, count = {row.id for row in run.result.rows}, len(self.page.ids(item, fresh))
        fresh, notices = known(fresh, samples, count)
        return {
            self.key: new,
            self.page.figures: inspect_html.figures(run.result),
            **self._draw(new, item, fresh, anew=fresh.search != look.search),
            self.results: gr.update(visible=True),
            self.run.status: outcome(run) + macro("notices", () if key else notices),
        }

    def _place(self, key: str, look: Look) -> Update:
        """The samples on the map, once they are there."""
        try:
            item = self.store.get(key)
        except UserError:
            return {}
        if self.page.MAP not in item.made:
            item.made[self.page.MAP] = self.spread(item.result)
        return {self.page.map: self.page.on_map(item, look)}

    def _spread(self, result: Inspection) -> tuple[str, list[tuple[int, float, float]]] | None:
        """What the suite's map is, and where the samples lie; None where it can't have one."""
        from semerge.evaluation.plane import spread  # imports torch

        found = self.context.map(result.suite.name)
        if found is None:
            return None
        return maps.told(found), spread(found.looks, found.plane, result, maps.MOST)

    # ---- looks -------------------------------------------------------------------------------

    def _draw(self, key: str, item: Item, look: Look, anew: bool = False) -> Update:
        """The look at an inspection. anew: the search box too, in which somebody may be typing."""
        look, ids, update = self.page.draw(key, item, look, anew)
        for panel in self.both:
            update |= panel.top(item.result, look, ids)
        return update | {self.look: look, self.link: self._link(item.asked, look)}

    def _look(self, key: str, new: Callable[[Item], Look], anew: bool = False) -> Update:
        """The page with the look that somebody asked for."""
        try:
            item = self.store.get(key)
        except UserError as error:
            told = macro("failure", str(error))
            return {self.run.status: told, self.results: gr.update(visible=False)}
        return self._draw(key, item, new(item), anew)

    def _view(self, event: gr.EventData, key: str, look: Look) -> Update:
        action = action_of(event)
        anew = action.get("do") == "clear"
        return self._look(
            key, lambda item: changed(look, action, item.result.suite.task_names, FILTERS), anew
        )

    def _row(self, event: gr.EventData, key: str, look: Look) -> Update:
        action = action_of(event)

        def step(item: Item) -> Look:
            rows, row = item.result.rows, action.get("row")
            if type(row) is int and 0 <= row < len(rows):  # of the map, which knows numbers alone
                return stepped(look, {"do": "open", "value": rows[row].id}, [rows[row].id])
            return stepped(look, action, self.page.ids(item, look))

        return self._look(key, step)

    def _refine(
        self, key: str, look: Look, search: Any, task: Any, chosen: Any, head: Any
    ) -> Update:
        """What is above the table was changed."""
        new = replace(
            look,
            search=str(search or "")[:SEARCH_LIMIT],
            task=str(task or ""),
            chosen=str(chosen or ""),
            head=head if head in HEADS else look.head,
        )
        if new == look or not key:  # boxes that the page has filled, perhaps not all of them yet
            return gr.skip()
        return self._look(key, lambda item: replace(new, page=0).fitting(item.result.suite))

    def _open(self, key: str, look: Look, drawn: dict[str, Any]) -> Update:
        """The whole result of the open and of the pinned row, where it is not there already."""
        update: Update = {self.drawn: {}}
        for panel, row in zip(self.both, (look.row, look.pinned), strict=True):
            now = update[self.drawn][panel.which] = (key, row, look.head)
            if drawn.get(panel.which) != now:
                update |= panel.show(key, row, look)
        return update

    # ---- links -------------------------------------------------------------------------------

    def _link(self, choice: Choice, look: Look) -> Markup:
        values, note = choice.link()
        return button(self.name, values | look.link(), note)

    def _formed(self, key: str, look: Look, *values: Any) -> Update:
        """What follows from the form while it was not run yet: its link, where nothing was; or that
        what is shown is of another set."""
        choice = None
        try:
            choice = self.form.read(values)
            if not key:
                return {self.link: self._link(choice, look)}
            asked = self.store.get(key).asked
        except UserError:  # told when it is run
            return {self.old: macro("old", template="inspect.html") if key else ""}
        same = choice.same(asked)
        return {self.old: "" if same else macro("old", template="inspect.html")}

    def restore(self, query: Query) -> Update:
        first = self.form.suites[0]
        names = [suite.name for suite in self.form.suites]
        suite = self.context.suite(query.one_of("suite", names, first.name))
        choice, look = read_choice(query, suite, self.context.examples), read_look(query, suite)
        update = {**self.form.put(choice), self.look: look, self.page.search: look.search}
        update[self.link] = self._link(choice, look)
        return update | of_link(self.run, choice, self._run(choice, look, opening=True))


def of_link(controls: Controls, choice: Choice, run: Run) -> Update:
    """What a link to a set leads to: a run of its own, so that the form is the visitor's from now
    on; or, where it takes a while, a sentence."""
    if choice.quick:
        return controls.begin(run)
    return {controls.status: said(NO_UPLOAD if choice.kind == UPLOAD else WAITS)}


# ---- the form: suite, labelled set, its limit and the options ------------------------------------

INFER = ""  # in the list of tasks: the labels tell
WANTED = {
    "image": "A zip archive with one folder a class, named as in the suite; up to 10 MB. Optional: "
    "folders of tasks around them, named as in the suite: {tasks}.",
    "text": "A CSV or JSON file with the columns text and label, and text_b for pairs; up to "
    "10 MB. Optional: a column task, which names each sample's task as the suite does: {tasks}.",
}


def hint(text: str) -> Markup:
    return macro("hint", text, template=TEMPLATE)


class SetBoxes:
    """What names a labelled set in a form: `kind`, and a path or a file where that asks for one."""

    context: Context

    def add_kind(self, name: str, suites: Sequence[Suite]) -> None:
        offered = self.kinds(suites)
        self.kind = gr.Dropdown(
            offered, value=offered[0][1], label="Samples", min_width=200, elem_id=f"{name}-set"
        )

    def add_boxes(self, name: str) -> None:
        kind = self.kind.value
        self.folder = gr.Textbox(
            "", label="Path", visible=kind == FOLDER, max_lines=1, min_width=260,
            info="A folder, .zip, CSV or JSON file, as evaluate --data reads it",
            elem_id=f"{name}-path",
        )  # fmt: skip
        self.upload = gr.File(
            None, label="Your labelled samples", visible=kind == UPLOAD, height=132,
            file_types=[".zip", ".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".txt"],
            elem_id=f"{name}-upload", elem_classes="se-drop",
        )  # fmt: skip

    def add_wanted(self, name: str, choice: Choice) -> None:
        self.wanted = html(elem_id=f"{name}-wanted", **self._wanted(choice))

    def kinds(self, suites: Sequence[Suite]) -> list[tuple[str, str]]:
        """The sets that are on offer for all of these suites."""
        first, *others = (kinds(suite, self.context.examples) for suite in suites)
        return [(title, kind) for kind, title in first.items() if all(kind in o for o in others)]

    @staticmethod
    def place(kind: Any, folder: Any, upload: Any) -> str:
        """Where the set is, by the values of the boxes; what is left in the other one is not."""
        return str((upload if kind == UPLOAD else folder if kind == FOLDER else "") or "")

    def put_set(self, choice: Choice, suites: Sequence[Suite]) -> Update:
        """The boxes with this choice."""
        place = choice.place if choice.kind == FOLDER else ""
        return {
            self.kind: gr.update(choices=self.kinds(suites), value=choice.kind),
            self.folder: gr.update(value=place, visible=choice.kind == FOLDER),
            self.upload: gr.update(value=None, visible=choice.kind == UPLOAD),
            self.wanted: gr.update(**self._wanted(choice)),
        }

    def changed_kind(self, name: str, kind: str) -> Update:
        """What there is to fill in for a kind of set."""
        return {
            self.folder: gr.update(visible=kind == FOLDER),
            self.upload: gr.update(visible=kind == UPLOAD),
            self.wanted: gr.update(**self._wanted(Choice(self.context.suite(name), kind))),
        }

    @staticmethod
    def _wanted(choice: Choice) -> dict[str, Any]:
        """What an upload has to be; hidden where none is asked for."""
        wanted = WANTED[choice.suite.modality].format(tasks=", ".join(choice.suite.task_names))
        return {"value": hint(wanted), "visible": choice.kind == UPLOAD}


class SetForm(SetBoxes):
    """`inputs` go into a handler, `read` makes a Choice of their values, `put` shows one."""

    def __init__(self, context: Context, name: str) -> None:
        self.context = context
        self.suites = list(context.suites.values())
        suite = self.suites[0]
        choice = first_choice(suite, context.examples)
        with gr.Column(elem_classes="se-input se-set"):
            heading("Labelled set")
            with gr.Row(elem_classes="se-fields"):
                self.suite = gr.Dropdown(
                    [(called(s), s.name) for s in self.suites], value=suite.name, label="Suite",
                    min_width=200, elem_id=f"{name}-suite",
                )  # fmt: skip
                self.add_kind(name, [suite])
                self.split = gr.Dropdown(
                    list(SPLITS), value="test", label="Split", visible=choice.splits,
                    min_width=110, elem_id=f"{name}-split",
                )  # fmt: skip
                self.limit = gr.Number(
                    0, label="Samples a task (0: all)", precision=0, minimum=0, min_width=110,
                    elem_id=f"{name}-limit",
                )  # fmt: skip
            with gr.Row(elem_classes="se-fields"):
                self.add_boxes(name)
                self.task = gr.Dropdown(
                    self._tasks(suite), value=INFER, label="Their task", min_width=200,
                    visible=choice.names_task, elem_id=f"{name}-task-of",
                )  # fmt: skip
            self.add_wanted(name, choice)
            self.options = Options(self.suites, name, whole=False)

    @property
    def inputs(self) -> list[Any]:
        parts = [self.suite, self.kind, self.split, self.limit, self.folder, self.upload, self.task]
        return [*parts, *self.options.choices]

    @property
    def outputs(self) -> list[Any]:
        """What `put` fills."""
        return list(dict.fromkeys((*self.inputs, *self.options.outputs, self.wanted)))

    def read(self, values: Sequence[Any]) -> Choice:
        """Values of `inputs` -> what they ask for. Raises UserError for what can't be."""
        name, kind, split, limit, folder, upload, task, *choices = values
        suite = self.context.suite(name)
        choice = Choice(
            suite,
            str(kind),
            place=self.place(kind, folder, upload),
            split=str(split),
            task=task if task in suite.task_names else None,
            limit=(limit if isinstance(limit, int) else 0) or None,  # an emptied box is no number
            settings=self.options.read(suite, choices),
        )
        choice.check(self.context.examples)
        return choice

    def put(self, choice: Choice) -> Update:
        """The form with this choice."""
        tasks, value = self._tasks(choice.suite), choice.task or INFER
        return {
            **self.put_set(choice, [choice.suite]),
            self.suite: choice.suite.name,
            self.split: gr.update(value=choice.split, visible=choice.splits),
            self.limit: choice.limit or 0,
            self.task: gr.update(choices=tasks, value=value, visible=choice.names_task),
            **self.options.put(choice.suite, choice.settings),
        }

    def wire(self, *after: Any) -> None:
        """What of the form follows from other parts of it. after: handler, inputs and outputs of
        what follows every change; not by `change` events, which would send what is half changed.
        """
        options, calm = self.options, page_event()
        boxes = [self.split, self.folder, self.upload, self.task, self.wanted]
        chosen = [part.input for part in options.choices]
        events = (
            self.suite.input(self._changed_suite, self.suite, self.outputs, **calm),
            self.kind.input(self.changed_kind, [self.suite, self.kind], boxes, **calm),
            gr.on(chosen, self._follow, [self.suite, *options.choices], options.followers, **calm),
            options.reset.click(
                lambda name: options.defaults(self.context.suite(name)),
                self.suite,
                options.outputs,
                **calm,
            ),
        )
        for event in events:
            event.then(*after, **calm)
        typed = [part.input for part in (self.split, self.limit, self.folder, self.task)]
        files = [self.upload.upload, self.upload.clear]
        gr.on([*typed, *files], *after, **page_event(trigger_mode="always_last"))

    def _changed_suite(self, name: str) -> Update:
        return self.put(first_choice(self.context.suite(name), self.context.examples))

    def changed_kind(self, name: str, kind: str) -> Update:
        choice = Choice(self.context.suite(name), kind)
        return {
            **super().changed_kind(name, kind),
            self.split: gr.update(visible=choice.splits),
            self.task: gr.update(visible=choice.names_task),
        }

    def _follow(self, name: str, *values: Any) -> Update:
        suite = self.context.suite(name)
        try:
            return self.options.follow(suite, self.options.read(suite, values))
        except UserError:  # told when the run is asked for
            return gr.skip()

    @staticmethod
    def _tasks(suite: Suite) -> list[tuple[str, str]]:
        return [("the one that the labels fit", INFER), *((t.title, t.name) for t in suite.tasks)]


# ---- what stands above the open row: figures, counts, matrix, filters, table, files --------------

ANY = ""  # in the lists of tasks and experts


class Page:
    """The components, and what they show of a look at an inspection. On a wide screen the `desk`
    has filters, samples and the open row beside each other. MAP: where an item of the store keeps
    the map of its samples."""

    MAP = "map"

    def __init__(self, store: Store) -> None:
        keys, drawing = (
            (SCRIPTS / f"{name}.js").read_text(encoding="utf-8") for name in ("inspect_keys", "map")
        )
        with gr.Row(elem_classes="se-overview", elem_id="inspect-overview", equal_height=False):
            with gr.Column(scale=5, min_width=320):
                self.figures = html("", elem_id="inspect-figures")
            with gr.Column(scale=7, min_width=320):
                self.board = acting("inspect-board")
            with gr.Column(min_width=320, elem_id="inspect-place"):
                self.map = acting("inspect-map", SCRIPT + drawing)
        with gr.Row(elem_id="inspect-desk", equal_height=False) as self.desk:
            with gr.Column(min_width=200, elem_id="inspect-narrow"):
                self.filters = acting("inspect-filters")
                with gr.Row(elem_classes="se-fields se-narrow"):
                    self.search = gr.Textbox(
                        "", label="Search", placeholder="words of a sample, class or id",
                        max_lines=1, min_width=200, elem_id="inspect-search",
                    )  # fmt: skip
                    self.task = gr.Dropdown(
                        [("all", ANY)], value=ANY, label="Task", min_width=150,
                        elem_id="inspect-task",
                    )  # fmt: skip
                    self.chosen = gr.Dropdown(
                        [("any", ANY)], value=ANY, label="Expert chosen", min_width=150,
                        elem_id="inspect-chosen",
                    )  # fmt: skip
                    self.under = gr.Radio(
                        [("chosen expert's", "routed"), ("given: own task's", "oracle")],
                        value=Look.head, label="Head that answers", min_width=260,
                        elem_id="inspect-under",
                    )  # fmt: skip
            with gr.Column(min_width=320, elem_id="inspect-list"):
                self.table = acting("inspect-table", SCRIPT + keys)
        functions = [inspect_html.exporter(partial(inspect_html.export, store))]
        self.files = acting("inspect-files", server_functions=functions)

    @property
    def outputs(self) -> list[Any]:
        """What `draw` fills."""
        boxes = [self.search, self.task, self.chosen, self.under]
        return [self.filters, self.board, self.map, *boxes, self.table, self.files]

    def ids(self, item: Item, look: Look) -> list[str]:
        """The samples that a look shows, in its order."""
        from semerge.evaluation.inspection import select  # imports torch

        return [item.result.rows[i].id for i in select(item.result, look.view())]

    def draw(
        self, key: str, item: Item, look: Look, anew: bool
    ) -> tuple[Look, Sequence[str], Update]:
        """The look at a page that exists, the ids of all samples that it shows, and the components.
        anew: the search box too, in which somebody may be typing."""
        from semerge.evaluation.inspection import select  # imports torch

        result = item.result
        chosen = select(result, look.view())
        look = within(look, len(chosen))
        tasks = [(task.title, task.name) for task in result.suite.tasks]
        update = {
            self.filters: inspect_html.filters(result, look),
            self.board: inspect_html.board(result, look),
            self.map: self.on_map(item, look, chosen),
            self.task: gr.update(choices=[("all", ANY), *tasks], value=look.task),
            self.chosen: gr.update(choices=[("any", ANY), *tasks], value=look.chosen),
            self.under: look.head,
            self.table: inspect_html.rows_table(result, look, chosen),
            self.files: inspect_html.exports(key, look, item.asked, len(chosen)),
        }
        if anew:
            update[self.search] = look.search
        return look, [result.rows[i].id for i in chosen], update

    def on_map(self, item: Item, look: Look, chosen: Sequence[int] | None = None) -> str:
        """The samples on the map. chosen: numbers of the rows that the look shows, where the caller
        has them."""
        from semerge.evaluation.inspection import select  # imports torch

        if self.MAP not in item.made:
            return macro("waiting_map", template="inspect.html")
        if item.made[self.MAP] is None:
            return ""
        told, spread = item.made[self.MAP]
        result = item.result
        on = frozenset(select(result, look.view()) if chosen is None else chosen)
        tasks = [row.task for row in result.rows]
        row = index_of(result, look.row)
        return maps.of_set("inspect-map", told, result.suite, spread, tasks, on, look, ranges, row)


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


def acting(name: str, script: str = SCRIPT, **options: Any) -> gr.HTML:
    """HTML whose buttons reach Python by the events `view` and `row`."""
    return gr.HTML("", js_on_load=script, apply_default_css=False, elem_id=name, **options)


# ---- the whole result of the open row, and of the pinned one beside it ---------------------------


class RowPanel:
    """A column that shows one row of a kept inspection; hidden while there is none.

    which: "opened" or "pinned". The column and its head change with the table, the panel once its
    Result is there.
    """

    def __init__(self, context: Context, store: Store, which: str) -> None:
        self.context, self.store, self.which = context, store, which
        with gr.Column(visible=False, elem_classes="se-side", min_width=320) as self.column:
            self.head = acting(f"inspect-{which}")
            self.panel = ResultPanel(f"inspect-{which}", waiting="Computing the whole result")

    def top(self, result: Inspection, look: Look, ids: Sequence[str]) -> Update:
        """The column and its head."""
        if self.which == "opened":
            content = inspect_html.open_row(result, look, ids)
        else:
            content = inspect_html.pinned_row(result, look)
        return {self.column: gr.update(visible=bool(content)), self.head: content}

    def show(self, key: str, row: str, look: Look) -> Update:
        """The panel for the row with this id."""
        try:
            view = self.view(key, row, look)
        except UserError as error:
            return self.panel.fail(str(error))
        return self.panel.show(view) if view else {}

    def view(self, key: str, row: str, look: Look) -> View | None:
        """The row's Result as one request gives it, read by the head of the look; None where there
        is no such row."""
        item = self.store.get(key) if key and row else None
        i = index_of(item.result, row) if item else None
        if item is None or i is None:
            return None
        result = item.result
        own = result.rows[i]
        settings = replace(item.asked.settings, head=AUTO if look.head == "routed" else own.task)
        answer = self.context.predict(item.asked.suite.name, result.sample(i), settings)
        text, text_b = result.text(i)
        truth = Example(-1, own.task, own.label, text=text, text_b=text_b or None)
        return View(answer, result.suite, truth, called=own.id)
