"""The Compare tab: two configurations on one input side by side, and on the same labelled set."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import gradio as gr
from markupsafe import Markup

from semerge.common import UserError
from semerge.data.sets import EXAMPLES
from semerge.settings import AUTO, PRESETS, Settings
from semerge.suites import Suite
from semerge.suites.examples import Example
from semerge.ui.context import Context, Source, first_source, of_settings, of_source, sample_of
from semerge.ui.links import Query, read_settings
from semerge.ui.options import Options, called
from semerge.ui.parts import heading, html, model_event, page_event, when_opened
from semerge.ui.picker import InputPicker
from semerge.ui.runs import Controls, Item, Run, Store, outcome
from semerge.ui.tabs import Tab, Update, compare_html
from semerge.ui.tabs.ask import ResultPanel
from semerge.ui.tabs.compare_html import FIRST
from semerge.ui.tabs.inspect import SetBoxes, acting, action_of, hint, of_link, paced
from semerge.ui.tabs.inspect_choice import (
    FOLDER,
    HEADS,
    OWN_UPLOAD,
    UPLOAD,
    Choice,
    Look,
    changed,
    known,
    new_look,
    stepped,
    within,
)
from semerge.ui.tabs.inspect_html import exporter, sample
from semerge.ui.words import View, button, given, macro

if TYPE_CHECKING:
    from semerge.evaluation.comparison import Comparison
    from semerge.evaluation.figures import Row

HINT = (
    "Run a labelled set through both to count who is right, and to see the samples on which they "
    "differ."
)
WAITING = "Waiting for the models"
WHICH = ("a", "b")
Answer = tuple[View | None, str]  # a View, or why there is none


# ---- what is asked -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Pair:
    """Two configurations, each as a Choice: both of the same labelled set."""

    a: Choice
    b: Choice

    @classmethod
    def of(
        cls, sides: Sequence[tuple[Suite, Settings]], kind: str, limit: int, place: str = ""
    ) -> Pair:
        """limit: samples a task; 0 for all."""
        a, b = (
            Choice(suite, kind, place=place, limit=limit or None, settings=settings)
            for suite, settings in sides
        )
        return cls(a, b)

    @property
    def both(self) -> tuple[Choice, Choice]:
        return self.a, self.b

    def same(self, other: Pair) -> bool:
        """Whether both ask for the same rows, however their settings are spelt."""
        one, two = (
            [
                (c.suite.name, c.kind, c.place, c.limit, c.settings.resolve(c.suite))
                for c in pair.both
            ]
            for pair in (self, other)
        )
        return one == two

    def link(self) -> dict[str, Any]:
        """As values of a link; all settings stay in it. Raises UserError for what is refused."""
        values: dict[str, Any] = {}
        for which, choice in zip(WHICH, self.both, strict=True):
            used = choice.settings.resolve(choice.suite)
            values |= {f"{which}_suite": choice.suite.name, **of_settings(used, f"{which}_")}
        values |= {"set": self.a.kind, "limit": self.a.limit or 0}
        return values | ({"data": self.a.place.strip()} if self.a.kind == FOLDER else {})


def usual(suite: Suite) -> tuple[Settings, Settings]:
    """What the tab opens with: the suite's defaults against the same with another preset."""
    other = next(name for name in PRESETS if name != suite.defaults.preset)
    return Settings(), Settings(preset=other)


def read_sides(query: Query, suite: Suite, suites: Sequence[Suite]) -> list[tuple[Suite, Settings]]:
    """The sides that a link names; those that the tab opens with where it names none."""
    names = {s.name: s for s in suites}
    sides = []
    for which, settings in zip(WHICH, usual(suite), strict=True):
        own = names[query.one_of(f"{which}_suite", tuple(names), suite.name)]
        named = query.has(f"{which}_preset") or own is not suite
        sides.append((own, read_settings(query, own, f"{which}_") if named else settings))
    return sides


@dataclass(frozen=True)
class Asked:
    """What the tab is asked at one moment. suite: of the input. source: empty where a row of a set
    is shown that is no example. key: of the comparison on screen, or ""."""

    suite: Suite
    source: Source
    key: str
    look: Look
    pair: Pair


def answer_of(ask: Callable[[], View]) -> Answer:
    """What is answered, or why nothing can be."""
    try:
        return ask(), ""
    except UserError as error:
        return None, str(error)


def row_source(pair: Pair, row: str) -> Source:
    """The example that a row is of; empty where the set is another one."""
    number = row.rpartition("/")[2]
    if pair.a.kind == EXAMPLES and number.isdecimal():
        return {"example": int(number)}
    return {}


# ---- the tab -------------------------------------------------------------------------------------


class CompareTab(Tab):
    """`store` has the comparisons that pages show; a page has the key of its own. Whatever asks
    anew sets `due`, and the answer follows: so that what fills the form is done at once, and the
    models, who take their time, change nothing that a visitor may set meanwhile."""

    label, place, takes = "Compare", 60, True

    def __init__(self, context: Context) -> None:
        self.context, self.store = context, Store()
        suites = [suite for suite in map(context.default, ("image", "text")) if suite]
        first = suites[0]
        self.key, self.look, self.due = gr.State(""), gr.State(FIRST), gr.State(0)
        self.answered = gr.State(False)  # whether the panels show an answer
        with gr.Row(elem_classes="se-desk", equal_height=False):
            with gr.Column(scale=5, min_width=320, elem_classes="se-ask"):
                self.picker = InputPicker(context, self.name, suites)
                self.options = [
                    Options(
                        context.of(first.modality),
                        f"{self.name}-{which}",
                        label=f"Configuration {which.upper()}",
                    )
                    for which in WHICH
                ]
                self.options[1].fields["preset"].value = usual(first)[1].preset
            with gr.Column(scale=8, min_width=320, elem_classes="se-tell"):
                heading("What differs")
                self.given = html(elem_id=f"{self.name}-given")
                self.differs = html(elem_id=f"{self.name}-differs")
        self.heads, self.panels = [], []
        with gr.Row(elem_classes="se-compare", equal_height=False):
            for which in WHICH:
                place = {"elem_classes": "se-side", "elem_id": f"{self.name}-side-{which}"}
                with gr.Column(min_width=320, **place):
                    self.heads.append(html(compare_html.side(which.upper(), None)))
                    self.panels.append(ResultPanel(f"{self.name}-{which}", waiting=WAITING))
        self.set = SetPart(context, self.name, first)
        self.run, self.results = self.set.run, Results(self.store, self.name)
        self.link = html(self._link(self._first(first)), elem_id="compare-link")
        self._wire()

    def _first(self, suite: Suite) -> Asked:
        """What the page says before anybody has touched it."""
        sides = [(suite, settings) for settings in usual(suite)]
        pair = Pair.of(sides, self.set.kinds([suite])[0][1], USUAL)
        return Asked(suite, first_source(suite, self.context.examples), "", FIRST, pair)

    # ---- inputs and outputs ------------------------------------------------------------------

    @property
    def inputs(self) -> list[Any]:
        """What an event reads: see `_read`."""
        states = [self.picker.suite, self.picker.source, self.key, self.look]
        sides = (part for options in self.options for part in options.inputs)
        return [*states, *self.set.inputs, *sides]

    def _read(self, values: Sequence[Any]) -> Asked:
        name, source, key, look, kind, limit, folder, upload, *rest = values
        half = len(rest) // len(WHICH)
        sides = []
        for options, (suite, *choices) in zip(
            self.options, (rest[:half], rest[half:]), strict=True
        ):
            own = self.context.suite(suite)
            sides.append((own, options.read(own, choices)))
        count = limit if isinstance(limit, int) and limit > 0 else 0
        pair = Pair.of(sides, str(kind), count, self.set.place(kind, folder, upload))
        return Asked(self.context.suite(name), source, key, look, pair)

    @property
    def answer(self) -> list[Any]:
        """What the models fill."""
        panels = [part for panel in self.panels for part in panel.outputs]
        return [self.answered, self.given, self.differs, *self.heads, *panels]

    @property
    def asking(self) -> list[Any]:
        """All but the input and its answer."""
        state = [self.key, self.look, self.due, self.link, *self.run.outputs]
        sides = (part for options in self.options for part in options.outputs)
        return [*state, *sides, *self.set.outputs, *self.results.outputs]

    @property
    def outputs(self) -> list[Any]:
        return [*self.picker.outputs, *self.asking]

    # ---- wiring ------------------------------------------------------------------------------

    def _wire(self) -> None:
        latest, typed = model_event(trigger="always_last"), page_event(trigger_mode="always_last")
        answer, relink = (self._answer, self.inputs, self.answer), (self._relink, self.inputs)
        self.due.change(*answer, **latest)
        when_opened(self.key, self._opened, [self.answered, *self.inputs], self.answer)
        self.picker.on(self._chosen, self.inputs[2:], self.asking, concurrency_id="page")
        for options in self.options:
            changes = [part.input for part in options.choices]
            followers = [part for o in self.options for part in o.followers]
            gr.on(changes, self._follow, self.inputs, [*followers, self.link], **typed)
            gr.on(changes, *answer, **latest)
            for event in (options.suite.input, options.reset.click):
                default = (partial(self._default, options), options.suite, options.outputs)
                changed = event(*default, **page_event())
                changed.then(*relink, self.link, **page_event())
                changed.then(*answer, **latest)
        part, results, queued = self.set, self.results, page_event(queue=True)
        boxes = [part.folder, part.upload, part.wanted]
        part.kind.input(part.changed_kind, [self.picker.suite, part.kind], boxes, **page_event())
        # not `change`: that comes too where the page fills the form, with values of before
        gr.on(part.touched, *relink, self.link, **typed)
        part.head.input(self._under, [part.head, *self.inputs], self.outputs, **page_event())
        for box in (results.board, results.table):
            paced(box.view(self._view, self.inputs, self.outputs, **page_event()), self.name)
            paced(box.row(self._row, self.inputs, self.outputs, **queued), self.name)
        self.run.wire(self._asked, self.inputs, self._ended, self.inputs, self.outputs)

    # ---- one input ---------------------------------------------------------------------------

    def _answer(self, *values: Any) -> Update:
        """Both answers. Where one can't be given, its place says why and the other is shown."""
        try:
            answers, seen = self._answers(self._read(values))
        except UserError as error:  # the input itself can't be used
            answers, seen = [(None, str(error))] * len(WHICH), Markup()
        (a, _), (b, _) = answers
        update: Update = {self.answered: True, self.given: seen}
        update[self.differs] = compare_html.differences(a, b) if a and b else ""
        for which, head, panel, (view, why) in zip(
            WHICH, self.heads, self.panels, answers, strict=True
        ):
            update[head] = compare_html.side(which.upper(), view)
            update |= panel.show(view) if view else panel.fail(why)
        return update

    def _answers(self, asked: Asked) -> tuple[list[Answer], Markup]:
        """An answer for each side, and the input as HTML. Raises UserError where there is no input,
        or it can't be used."""
        if asked.key and asked.look.row:
            return self._of_row(asked)
        own, pictures = sample_of(asked.source, asked.suite, self.context.examples), []

        def ask(choice: Choice) -> View:
            view, picture = self.context.ask(choice.suite.name, asked.source, choice.settings)
            pictures.append(picture)
            return view

        answers = [answer_of(partial(ask, choice)) for choice in asked.pair.both]
        if asked.suite.modality == "text":
            return answers, given(own, None)
        return answers, given(own, pictures[0]) if pictures else Markup()

    def _of_row(self, asked: Asked) -> tuple[list[Answer], Markup]:
        """The same for a row of the comparison on screen."""
        result = self.store.get(asked.key).result
        i = next((i for i, (row, _) in enumerate(result.rows) if row.id == asked.look.row), None)
        if i is None:
            raise UserError("This sample is not among those that were compared; choose another.")
        at = result.pairs[i][0]
        own, (text, text_b) = result.a.sample(at), result.a.text(at)

        def ask(row: Row, choice: Choice) -> View:
            settings = choice.settings
            if asked.look.head == "oracle" and settings.head == AUTO:  # as in the table
                settings = replace(settings, head=row.task)
            answer = self.context.predict(choice.suite.name, own, settings)
            truth = Example(-1, row.task, row.label, text=text, text_b=text_b or None)
            return View(answer, choice.suite, truth, called=row.id)

        both = zip(result.rows[i], asked.pair.both, strict=True)
        return [answer_of(partial(ask, row, choice)) for row, choice in both], sample(result.a, at)

    def _opened(self, answered: bool, *values: Any) -> Update:
        return gr.skip() if answered else self._answer(*values)

    def _follow(self, *values: Any) -> Update:
        """What follows from the options at once."""
        asked = self._read(values)
        update: Update = {self.link: self._link(asked)}
        for options, choice in zip(self.options, asked.pair.both, strict=True):
            try:
                update |= options.follow(choice.suite, choice.settings)
            except UserError:  # told in the panel's place
                continue
        return update

    def _default(self, options: Options, name: str) -> Update:
        return options.defaults(self.context.suite(name))

    def _chosen(self, suite: Suite, source: Source, *rest: Any) -> Update:
        """Another input. Of another kind, it has other suites: everything begins anew."""
        asked = self._read([suite.name, source, *rest])
        if asked.pair.a.suite.modality != suite.modality:
            return self._fresh(replace(self._first(suite), source=source))
        look = replace(asked.look, row="")
        link = self._link(replace(asked, look=look))
        return {self.look: look, self.link: link, self.due: time.monotonic_ns()}

    def _fresh(self, asked: Asked, ran: bool = False) -> Update:
        """All but the input anew."""
        update: Update = {}
        suites = self.context.of(asked.suite.modality)
        names = [(called(suite), suite.name) for suite in suites]
        for options, choice in zip(self.options, asked.pair.both, strict=True):
            update |= options.put(choice.suite, choice.settings)
            update[options.suite] = gr.update(
                choices=names, value=choice.suite.name, visible=len(suites) > 1
            )
        return {
            **update,
            **self.set.put(asked.pair, asked.look.head),
            self.key: "",
            self.look: asked.look,
            self.run.status: hint(HINT),
            self.results.column: gr.update(visible=False),
            self.link: self._link(asked, ran),
            self.due: time.monotonic_ns(),
        }

    def take(self, suite: Suite, source: Source) -> Update:
        asked = replace(self._first(suite), source=source)
        return {**self.picker.put(suite, source), **self._fresh(asked)}

    # ---- one set -----------------------------------------------------------------------------

    def _asked(self, *values: Any) -> Run:
        asked = self._read(values)
        for choice in asked.pair.both:
            choice.check(self.context.examples)
        return self._run(asked)

    def _run(self, asked: Asked, opening: bool = False) -> Run:
        pair = asked.pair

        def work(run: Run) -> Comparison:
            run.reaches("Loading the models")
            engines = [self.context.engines.get(choice.suite.name) for choice in pair.both]
            from semerge.evaluation.comparison import Side, compare  # imports torch

            run.reaches("Reading the samples")
            first = pair.a.sets(self.context.examples, run.notices.append)
            alike = pair.a.suite is pair.b.suite
            second = first if alike else pair.b.sets(self.context.examples, run.notices.append)
            a, b = (
                Side(engine, sets, choice.settings.resolve(choice.suite))
                for engine, sets, choice in zip(engines, (first, second), pair.both, strict=True)
            )
            run.reaches("Running", first.total + (0 if alike else second.total))
            return compare(a, b, run.progress, run.cancelled, run.keep)

        return Run(work, pair, asked.look, opening)

    def _ended(self, run: Run, *values: Any) -> Update:
        """The page after a run; what was there before stays where it did nothing."""
        if run.result is None or not run.result.rows:
            return {}
        asked = self._read(values)
        # a look that a link has asked for waits for the first run
        anew = replace(FIRST, head=asked.look.head)
        look = new_look(run.before, asked.look, anew) if asked.key else asked.look
        count = len(compare_html.ids(run.result, look))
        look, notices = known(look, {row.id for row, _ in run.result.rows}, count)
        key = self.store.put(run.result, run.asked, asked.key)
        status = outcome(run) + macro("notices", () if asked.key else notices)
        update = self._redraw(replace(asked, key=key, look=look))
        if look.row:
            update[self.due] = time.monotonic_ns()
        return {**update, self.key: key, self.run.status: status}

    def _redraw(self, asked: Asked) -> Update:
        """The page with a comparison that is kept, or was."""
        try:
            item = self.store.get(asked.key)
        except UserError as error:
            return {
                self.key: "",
                self.run.status: macro("failure", str(error)),
                self.results.column: gr.update(visible=False),
                self.link: self._link(replace(asked, key="")),
            }
        look, update = self.results.draw(asked.key, item, asked.look)
        return {**update, self.look: look, self.link: self._link(replace(asked, look=look))}

    def _looked(self, asked: Asked, look: Look) -> Update:
        """The page with another look; there may be nothing yet to look at."""
        asked = replace(asked, look=look)
        if asked.key:
            return self._redraw(asked)
        return {self.look: look, self.link: self._link(asked)}

    def _view(self, event: gr.EventData, *values: Any) -> Update:
        asked = self._read(values)
        return self._looked(asked, changed(asked.look, action_of(event), (), compare_html.FILTERS))

    def _under(self, head: str, *values: Any) -> Update:
        asked = self._read(values)
        head = head if head in HEADS else asked.look.head
        return self._looked(asked, replace(asked.look, head=head, page=0))

    def _row(self, event: gr.EventData, *values: Any) -> Update:
        """Mark a row as the open one; the panels follow."""
        asked = self._read(values)
        try:
            result = self.store.get(asked.key).result
        except UserError:
            return self._redraw(asked)
        look = stepped(asked.look, action_of(event), compare_html.ids(result, asked.look))
        asked = replace(asked, look=look, source=row_source(asked.pair, look.row))
        picked = self.picker.put(asked.suite, asked.source)
        return {**picked, **self._redraw(asked), self.due: time.monotonic_ns()}

    # ---- links -------------------------------------------------------------------------------

    def _relink(self, *values: Any) -> Update:
        return {self.link: self._link(self._read(values))}

    def _link(self, asked: Asked, ran: bool | None = None) -> Markup:
        """ran: whether the comparison on screen is of what is asked, where that is known."""
        try:
            pair = asked.pair.link()
        except UserError:  # settings that are refused: there is nothing to link to
            return Markup()
        ran = self._ran(asked) if ran is None else ran
        values, note = of_source(asked.source)
        values |= {"suite": asked.suite.name, **pair, **asked.look.link()}
        values["under"] = asked.look.head if asked.look.head != FIRST.head else None
        if asked.pair.a.kind == UPLOAD and asked.pair.a.place:
            note = note or OWN_UPLOAD
        return button(self.name, values | {"run": 1 if ran else None}, note)

    def _ran(self, asked: Asked) -> bool:
        """Whether the comparison on screen is of the set and the sides that the forms name."""
        if not asked.key:
            return False
        try:
            return bool(self.store.get(asked.key).asked.same(asked.pair))
        except UserError:  # it had to make room
            return False

    def restore(self, query: Query) -> Update:
        suite, source = self.picker.read(query)
        sides = read_sides(query, suite, self.context.of(suite.modality))
        pair, look = self.set.read_link(query, sides), compare_html.read_look(query)
        asked, ran = Asked(suite, source, "", look, pair), query.has("run")
        update = {**self.picker.put(suite, source), **self._fresh(asked, ran and pair.a.quick)}
        return update | (of_link(self.run, pair.a, self._run(asked, opening=True)) if ran else {})


# ---- the labelled set: which one, and what both made of it ---------------------------------------

LIMITS = [("20", 20), ("100", 100), ("500", 500), ("all", 0)]
USUAL = 100  # samples a task


class SetPart(SetBoxes):
    """The form, with the buttons of its runs. `put` fills it."""

    def __init__(self, context: Context, name: str, suite: Suite) -> None:
        self.context = context
        with gr.Column(elem_classes="se-input se-set", elem_id=f"{name}-set-form"):
            heading("On a labelled set")
            with gr.Row(elem_classes="se-fields"):
                self.add_kind(name, [suite])
                self.limit = gr.Dropdown(
                    LIMITS, value=USUAL, label="Samples a task, at most", min_width=150,
                    elem_id=f"{name}-limit",
                )  # fmt: skip
                self.head = gr.Dropdown(
                    [("the chosen expert's head", "routed"), ("the own task's head", "oracle")],
                    value="routed", label="Answers are read with", min_width=200,
                    elem_id=f"{name}-under",
                )  # fmt: skip
            self.add_boxes(name)
            self.add_wanted(name, Choice(suite, self.kind.value))
            self.run = Controls(context.runs, name, HINT)

    @property
    def inputs(self) -> list[Any]:
        return [self.kind, self.limit, self.folder, self.upload]

    @property
    def touched(self) -> list[Any]:
        """The events by which a visitor changes `inputs`."""
        typed = [self.kind.input, self.limit.input, self.folder.input]
        return [*typed, self.upload.upload, self.upload.clear]

    @property
    def outputs(self) -> list[Any]:
        return [*self.inputs, self.head, self.wanted]

    def put(self, pair: Pair, head: str) -> Update:
        """The form with this choice."""
        boxes = self.put_set(pair.a, [choice.suite for choice in pair.both])
        return {**boxes, self.limit: pair.a.limit or 0, self.head: head}

    def read_link(self, query: Query, sides: Sequence[tuple[Suite, Settings]]) -> Pair:
        """The set that a link names."""
        offered = [kind for _, kind in self.kinds([suite for suite, _ in sides])]
        kind = query.one_of("set", offered, offered[0])
        limit = query.one_of("limit", [value for _, value in LIMITS], USUAL)
        return Pair.of(sides, kind, limit, query.text("data") if kind == FOLDER else "")


class Results:
    """What a comparison found: a board of counts, the samples that differ, and their file."""

    def __init__(self, store: Store, name: str) -> None:
        with gr.Column(visible=False, elem_id=f"{name}-results") as self.column:
            self.board, self.table = acting(f"{name}-board"), acting(f"{name}-table")
            functions = [exporter(partial(compare_html.export, store))]
            self.files = acting(f"{name}-files", server_functions=functions)

    @property
    def outputs(self) -> list[Any]:
        return [self.column, self.board, self.table, self.files]

    def draw(self, key: str, item: Item, look: Look) -> tuple[Look, Update]:
        """The look at a page that exists, and the components with it."""
        result = item.result
        count = len(compare_html.ids(result, look))
        look = within(look, count)
        return look, {
            self.column: gr.update(visible=True),
            self.board: compare_html.board(result, look),
            self.table: compare_html.rows_table(result, look),
            self.files: compare_html.files(key, look, count),
        }
