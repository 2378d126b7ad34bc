"""The Compare tab: two configurations on one input side by side, and on the same labelled set."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import gradio as gr

from semerge.common import UserError
from semerge.data.sets import EXAMPLES
from semerge.settings import AUTO, PRESETS, Settings
from semerge.suites import Suite
from semerge.suites.examples import Example, Examples
from semerge.ui import markup, runs
from semerge.ui import runs as inspect_status
from semerge.ui.context import Context, Source, first_source, sample_of
from semerge.ui.events import model_event, page_event, when_opened
from semerge.ui.links import Query, button, of_settings, of_source, read_settings
from semerge.ui.markup import given
from semerge.ui.options import Options, called
from semerge.ui.panel import ResultPanel, html
from semerge.ui.picker import InputPicker
from semerge.ui.runs import Kept, Run, Runs
from semerge.ui.tabs import Tab, compare_html, listed
from semerge.ui.tabs.compare_html import FIRST
from semerge.ui.tabs.inspect import SCRIPTS, WANTED, acting, action_of, paced
from semerge.ui.tabs.inspect_choice import (
    FOLDER,
    HEADS,
    OWN_UPLOAD,
    UPLOAD,
    Choice,
    Look,
    kinds,
    stepped,
    within,
)
from semerge.ui.tabs.inspect_html import exporter
from semerge.ui.tabs.inspect_html import sample as whole_sample
from semerge.ui.view import View

if TYPE_CHECKING:
    pass


class CompareTab(Tab):
    """`kept` has the comparisons that pages show, `runs` those under way; a page has their ids."""

    label, place, takes = "Compare", 60, True

    def __init__(self, context: Context) -> None:
        self.context = context
        # made for inspections; a comparison has the rows and the sets that they look at
        self.kept: Any = Kept()
        self.runs: Any = Runs()
        suites = [suite for suite in map(context.default, ("image", "text")) if suite]
        self.key, self.run_id, self.look = gr.State(""), gr.State(""), gr.State(FIRST)
        with gr.Row(elem_classes="se-desk", equal_height=False):
            with gr.Column(scale=5, min_width=320, elem_classes="se-ask"):
                self.picker = InputPicker(context, self.name, suites)
                self.options = SideOptions(context, self.name, suites[0])
            with gr.Column(scale=8, min_width=320, elem_classes="se-tell"):
                self.differs = Differs(self.name)
        self.answers = Answers(context, self.kept, self.name, self.differs)
        self.set = SetPart(context, self.kept, self.name, suites[0])
        self.link = html(self._link(self._first(suites[0])), elem_id="compare-link")
        self._wire()

    def _first(self, suite: Suite) -> Asked:
        """What the page says before anybody has touched it."""
        sides, source = usual(suite), first_source(suite, self.context.examples)
        return Asked(suite, source, "", FIRST, sides, self.set.first(sides))

    # ---- inputs and outputs ------------------------------------------------------------------

    @property
    def asked(self) -> list[Any]:
        """What an event reads: see `_read`."""
        states = [self.picker.suite, self.picker.source, self.key, self.look]
        return [*states, *self.set.inputs, *self.options.inputs]

    def _read(self, values: Sequence[Any]) -> Asked:
        (name, source, key, look), rest = values[:4], values[4:]
        form, options = rest[: len(self.set.inputs)], rest[len(self.set.inputs) :]
        sides = self.options.read(options)
        return Asked.of(self.context.suite(name), source, key, look, sides, form)

    @property
    def shown(self) -> list[Any]:
        """What changes with a comparison on a set, or with the look at it."""
        return [self.key, self.look, self.set.status, *self.set.results, self.link]

    @property
    def answered(self) -> list[Any]:
        """What changes with an answer."""
        return [*self.answers.outputs, self.link]

    @property
    def everything(self) -> list[Any]:
        """All but the input."""
        form = [*self.options.outputs, *self.set.outputs]
        return [*form, *self.shown[:-1], *self.answered]

    # ---- wiring ------------------------------------------------------------------------------

    def _wire(self) -> None:
        latest = model_event(trigger="always_last")
        again = (self._again, self.asked, [*self._followers, *self.answered])
        self.picker.on(self._chosen, self.asked[2:], self.everything)
        when_opened(self.key, self._opened, [self.answers.shown, *self.asked], self.answered)
        for options in self.options.options.values():
            own = [*options.inputs, options.preset_about]
            gr.on([part.input for part in options.choices], *again, **latest)
            for event in (options.suite.input, options.reset.click):
                event(self._defaults(options), options.suite, own, **page_event()).then(
                    *again, **latest
                )
        self._wire_set()

    def _wire_set(self) -> None:
        part, shown = self.set, self.shown
        followed = [part.folder, part.upload, part.status]
        part.kind.input(part.for_kind, [self.picker.suite, part.kind], followed, **page_event())
        typed = page_event(trigger_mode="always_last")
        # not `change`: that comes too where the page fills the form, with values of before
        gr.on(part.touched, self._relink, self.asked, self.link, **typed)
        part.head.input(self._under, [part.head, *self.asked], shown, **page_event())
        opening = (self._opened_row, self.asked, self.answered)
        latest = model_event(trigger="always_last")
        for box in (part.board, part.table):
            paced(box.view(self._view, self.asked, shown, **page_event()), self.name)
            row = box.row(self._row, self.asked, [*self.picker.outputs, *shown], **page_event())
            paced(row, self.name).then(*opening, **latest)
        Follow(self.context, self.runs, part).wire(
            self.run_id, self.asked, self._read, shown, self._ended
        ).then(*opening, **latest)

    @property
    def _followers(self) -> list[Any]:
        return [part for o in self.options.options.values() for part in o.followers]

    # ---- one input ---------------------------------------------------------------------------

    def _answer(self, asked: Asked) -> list[Any]:
        """Values of `answered`."""
        return [*self.answers.show(asked), self._link(asked)]

    def _again(self, *values: Any) -> list[Any]:
        asked = self._read(values)
        answer = self._answer(asked)
        follow: list[Any] = []
        for (suite, settings), options in zip(
            asked.sides, self.options.options.values(), strict=True
        ):
            try:
                found = options.follow(suite, settings.resolve(suite))
                follow += listed(options.followers, found)
            except UserError:  # told in the panel's place
                follow += _kept(options.followers)
        return [*follow, *answer]

    def _defaults(self, options: Options) -> Callable[[str], list[Any]]:
        return lambda name: listed(options.outputs, options.defaults(self.context.suite(name)))

    def _chosen(self, suite: Suite, source: Source, *rest: Any) -> list[Any]:
        """Another input. Of another kind, it has other suites: everything begins anew."""
        asked = self._read([suite.name, source, *rest])
        if asked.sides[0][0].modality != suite.modality:
            return self._fresh(replace(self._first(suite), source=source))
        asked = replace(asked, look=replace(asked.look, row=""))
        values = _kept(self.everything[: -len(self.answered)])
        values[self._at(self.look)] = asked.look
        return [*values, *self._answer(asked)]

    def _pick(self, suite: Suite, source: Source) -> list[Any]:
        return listed(self.picker.outputs, self.picker.put(suite, source))

    def _at(self, part: Any) -> int:
        return self.everything.index(part)

    def _fresh(self, asked: Asked, status: str = "", results: list[Any] | None = None) -> list[Any]:
        """Values of `everything`, the forms too. results: None where there are none to show."""
        hidden = [gr.update(visible=False), *_kept(self.set.results[1:])]
        return [
            *self.options.put(asked.sides),
            *self.set.put(asked.pair, asked.look.head),
            asked.key,
            asked.look,
            status or compare_html.HINT,
            *(results or hidden),
            *self._answer(asked),
        ]

    def _opened(self, shown: bool, *values: Any) -> list[Any]:
        return _kept(self.answered) if shown else self._answer(self._read(values))

    def _opened_row(self, *values: Any) -> list[Any]:
        """The open row in both panels: one that was clicked, or the one that a link has asked for,
        once the set has been run."""
        asked = self._read(values)
        return self._answer(asked) if asked.key and asked.look.row else _kept(self.answered)

    def take(self, suite: Suite, source: Source) -> list[Any]:
        """Values of `restored` for an input of another tab."""
        asked = replace(self._first(suite), source=source)
        return [*self._pick(suite, source), *self._fresh(asked)]

    # ---- one set -----------------------------------------------------------------------------

    def _redraw(self, asked: Asked) -> list[Any]:
        """Values of `shown` for a comparison that is kept, or was."""
        try:
            found = self.kept.get(asked.key).found
        except UserError as error:
            told = markup.failure(str(error))
            hidden = [gr.update(visible=False), *_kept(self.set.results[1:])]
            return ["", asked.look, told, *hidden, self._link(replace(asked, key=""))]
        look, results = self.set.draw(asked.key, found, asked.look)
        return [gr.skip(), look, gr.skip(), *results, self._link(replace(asked, look=look))]

    def _looked(self, asked: Asked, look: Look) -> list[Any]:
        """Values of `shown` for another look; there may be nothing yet to look at."""
        asked = replace(asked, look=look)
        if asked.key:
            return self._redraw(asked)
        rest = _kept(self.shown[2:-1])
        return [gr.skip(), look, *rest, self._link(asked)]

    def _view(self, event: gr.EventData, *values: Any) -> list[Any]:
        asked = self._read(values)
        return self._looked(asked, compare_html.changed(asked.look, action_of(event)))

    def _under(self, head: str, *values: Any) -> list[Any]:
        asked = self._read(values)
        head = head if head in HEADS else asked.look.head
        return self._looked(asked, replace(asked.look, head=head, page=0))

    def _row(self, event: gr.EventData, *values: Any) -> list[Any]:
        """Mark a row as the open one; the panels follow."""
        asked = self._read(values)
        try:
            found = self.kept.get(asked.key).found
        except UserError:
            return [*_kept(self.picker.outputs), *self._redraw(asked)]
        look = stepped(asked.look, action_of(event), compare_html.ids(found, asked.look))
        asked = replace(asked, look=look, source=row_source(asked.pair, look.row))
        picked = self._pick(asked.suite, asked.source)
        return [*picked, *self._redraw(asked)]

    def _ended(self, run: Run, asked: Asked) -> list[Any]:
        """Values of `shown` after a run; what was there before stays where it did nothing."""
        values = _kept(self.shown)
        told: list[str] = []
        if run.found is not None and run.found.rows:
            key = self.kept.put(run.found, run.choice, asked.key)
            # a look that a link has asked for waits for the first run
            look = replace(FIRST, head=asked.look.head)
            if not asked.key:
                found: Any = run.found
                look, told = compare_html.known(found, asked.look)
            values = self._redraw(replace(asked, key=key, look=look))
            values[0] = key
        values[2] = runs.ended(run) + markup.notices(told)
        return values

    def _relink(self, *values: Any) -> Any:
        return self._link(self._read(values))

    # ---- links -------------------------------------------------------------------------------

    def _link(self, asked: Asked) -> str:
        try:
            return link_of(self.name, asked, self._ran(asked))
        except UserError:  # settings that are refused: there is nothing to link to
            return ""

    def _ran(self, asked: Asked) -> bool:
        """Whether the comparison on screen is of the set and the sides that the forms name."""
        if not asked.key:
            return False
        try:
            held = self.kept.get(asked.key)
        except UserError:  # it had to make room
            return False
        return bool(held.choice.same(asked.pair))

    @property
    def restored(self) -> list[Any]:
        return [*self.picker.outputs, *self.everything]

    def restore(self, query: Query) -> list[Any]:
        suite, source = self.picker.read(query)
        sides = read_link(query, suite, self.context.of(suite.modality))
        pair, look = self.set.read_link(query, sides), compare_html.read_look(query)
        asked = Asked(suite, source, "", look, sides, pair)
        status, results = "", None
        if query.has("run") and pair.a.quick:
            run = Run(pair)  # type: ignore[arg-type]
            try:
                work = comparing(self.context.engines.get, pair, self.context.examples)
                key = self.kept.put(work(run), pair)
                found = self.kept.get(key).found
                look, told = compare_html.known(found, look)
                query.notices += told
                asked = replace(asked, key=key)
                look, results = self.set.draw(key, found, look)
                asked, status = replace(asked, look=look), runs.opened(len(found.rows))
            except UserError as error:
                status = markup.failure(str(error))
        elif query.has("run"):
            status = runs.waits(pair.a)
        return [*self._pick(suite, source), *self._fresh(asked, status, results)]


def _kept(components: Sequence[Any]) -> list[Any]:
    return [gr.skip() for _ in components]


# --------------------------------------------------------------------------------------------------
# The two configurations of the Compare tab: two folds of options for suites of one modality.

WHICH = ("a", "b")
DEFAULTS = Settings()
Side = tuple[Suite, Settings]
Sides = tuple[Side, Side]


class SideOptions:
    """`inputs` go into a handler, `read` makes both sides of their values, `put` shows them."""

    def __init__(self, context: Context, name: str, suite: Suite) -> None:
        self.context = context
        self.options = {}
        for which in WHICH:
            label = f"Configuration {which.upper()}"
            suites = context.of(suite.modality)
            self.options[which] = Options(suites, f"{name}-{which}", label=label)
        first = usual(suite)
        self.options["b"].preset.value = first[1][1].preset

    @property
    def inputs(self) -> list[Any]:
        return [part for options in self.options.values() for part in options.inputs]

    @property
    def outputs(self) -> list[Any]:
        """What `put` fills."""
        return [p for o in self.options.values() for p in (*o.inputs, o.preset_about)]

    def read(self, values: Sequence[Any]) -> Sides:
        """Values of `inputs` -> both sides. Raises UserError where a suite is unknown."""
        half = len(values) // 2
        a, b = (self._side(values[:half]), self._side(values[half:]))
        return a, b

    def _side(self, values: Sequence[Any]) -> Side:
        suite = self.context.suite(values[0])
        return suite, Options.read(suite, values[1:])

    def put(self, sides: Sides) -> list[Any]:
        """Values of `outputs`. Raises UserError where a suite does not know its settings."""
        both = zip(self.options.values(), sides, strict=True)
        return [value for options, side in both for value in self._put_one(options, side)]

    def _put_one(self, options: Options, side: Side) -> list[Any]:
        suites = self.context.of(side[0].modality)
        name, *rest = listed(options.outputs, options.put(*side))
        choices = [(called(suite), suite.name) for suite in suites]
        return [gr.update(choices=choices, value=name, visible=len(suites) > 1), *rest]


def usual(suite: Suite) -> Sides:
    """What the tab opens with: the suite's defaults against the same with another preset."""
    default = suite.defaults.preset
    other = next(name for name in PRESETS if name != default)
    return (suite, DEFAULTS), (suite, Settings(preset=other))


def link_of_sides(sides: Sides) -> dict[str, Any]:
    """Both sides as values of a link."""
    found: dict[str, Any] = {}
    for which, (suite, settings) in zip(WHICH, sides, strict=True):
        chosen = settings.resolve(suite)
        names = ("probe", "layer", "pool", "preset", "head")
        filled = replace(settings, **{name: getattr(chosen, name) for name in names})
        found |= {f"{which}_suite": suite.name, **of_settings(filled, f"{which}_")}
    return found


def read_link(query: Query, suite: Suite, suites: Sequence[Suite]) -> Sides:
    """The sides that a link names; those that the tab opens with where it names none."""
    names = {s.name: s for s in suites}
    first = usual(suite)
    sides = []
    for which, side in zip(WHICH, first, strict=True):
        own = names[query.one_of(f"{which}_suite", tuple(names), suite.name)]
        named = query.has(f"{which}_preset") or own is not suite
        sides.append((own, read_settings(query, own, f"{which}_")) if named else side)
    return sides[0], sides[1]


# --------------------------------------------------------------------------------------------------
# Both answers to one input: what differs, and the panel of every tab, twice.

WAITING = "Waiting for the models"
Answer = tuple[View | None, str]  # a View, or why there is none


class Differs:
    """The input and what differs, above the panels."""

    def __init__(self, name: str) -> None:
        html('<h2 class="se-title">What differs</h2>')
        self.given = html(elem_id=f"{name}-given")
        self.lines = html(elem_id=f"{name}-differs")


class Answers:
    """`show` gives the values of `outputs`."""

    def __init__(self, context: Context, kept: Any, name: str, differs: Differs) -> None:
        self.context, self.kept, self.differs = context, kept, differs
        self.shown = gr.State(False)
        self.heads, self.panels = [], []
        with gr.Row(elem_classes="se-compare", equal_height=False):
            for which in WHICH:
                with gr.Column(
                    min_width=320, elem_classes="se-side", elem_id=f"{name}-side-{which}"
                ):
                    self.heads.append(html(compare_html.side(which.upper(), None)))
                    self.panels.append(ResultPanel(f"{name}-{which}", waiting=WAITING))

    @property
    def outputs(self) -> list[Any]:
        sides = zip(self.heads, self.panels, strict=True)
        panels = [part for head, panel in sides for part in (head, *panel.outputs)]
        return [self.shown, self.differs.given, self.differs.lines, *panels]

    def show(self, asked: Asked) -> list[Any]:
        """Both answers. Where one can't be given, its place says why and the other is shown."""
        try:
            answers, seen = self._answers(asked)
        except UserError as error:  # the input itself can't be used
            answers, seen = [(None, str(error))] * len(WHICH), ""
        (a, _), (b, _) = answers
        differs = compare_html.differences(a, b) if a and b else ""
        values: list[Any] = [True, seen, differs]
        for which, panel, (view, why) in zip(WHICH, self.panels, answers, strict=True):
            values.append(compare_html.side(which.upper(), view))
            values += listed(panel.outputs, panel.show(view) if view else panel.fail(why))
        return values

    def _answers(self, asked: Asked) -> tuple[list[Answer], str]:
        """An answer for each side, and the input as HTML.

        Raises:
            UserError: there is no input, or it can't be used.
        """
        if asked.key and asked.look.row:
            return self._of_row(asked)
        sample = sample_of(asked.source, asked.suite, self.context.examples)
        answers: list[Answer] = []
        picture = None
        for suite, settings in asked.sides:
            try:
                view, seen = self.context.ask(suite.name, asked.source, settings)
                picture = picture or seen
                answers.append((view, ""))
            except UserError as error:
                answers.append((None, str(error)))
        shown = given(sample, picture) if picture or asked.suite.modality == "text" else ""
        return answers, shown

    def _of_row(self, asked: Asked) -> tuple[list[Answer], str]:
        """The same for a row of the comparison on screen."""
        found = self.kept.get(asked.key).found
        i = next((i for i, (row, _) in enumerate(found.rows) if row.id == asked.look.row), None)
        if i is None:
            raise UserError("This sample is not among those that were compared; choose another.")
        at = found.pairs[i][0]
        sample, (text, text_b) = found.a.sample(at), found.a.text(at)
        answers: list[Answer] = []
        for row, (suite, settings) in zip(found.rows[i], asked.sides, strict=True):
            given_head = asked.look.head == "oracle" and settings.head == AUTO
            used = replace(settings, head=row.task) if given_head else settings  # as in the table
            try:
                result = self.context.predict(suite.name, sample, used)
                truth = Example(-1, row.task, row.label, text=text, text_b=text_b or None)
                answers.append((View(result, suite, truth), ""))
            except UserError as error:
                answers.append((None, str(error)))
        return answers, whole_sample(found.a, at)


# --------------------------------------------------------------------------------------------------
# The labelled set of the Compare tab: which one, how far the run is, and what both made of it.

LIMITS = [("20", 20), ("100", 100), ("500", 500), ("all", 0)]
USUAL = 100  # samples a task


class SetPart:
    """`inputs` and `put`: the form. `results` and `draw`: what a comparison found."""

    def __init__(self, context: Context, kept: Any, name: str, suite: Suite) -> None:
        self.context = context
        offered = self._kinds((suite,))
        with gr.Column(elem_classes="se-input se-set", elem_id=f"{name}-set-form"):
            html('<h2 class="se-title">On a labelled set</h2>')
            with gr.Row(elem_classes="se-fields"):
                self.kind = gr.Dropdown(
                    offered, value=offered[0][1], label="Samples", min_width=200,
                    elem_id=f"{name}-set",
                )  # fmt: skip
                self.limit = gr.Dropdown(
                    LIMITS, value=USUAL, label="Samples a task, at most", min_width=150,
                    elem_id=f"{name}-limit",
                )  # fmt: skip
                self.head = gr.Dropdown(
                    [("the chosen expert's head", "routed"), ("the own task's head", "oracle")],
                    value="routed", label="Answers are read with", min_width=200,
                    elem_id=f"{name}-under",
                )  # fmt: skip
            self.folder = gr.Textbox(
                "", label="Path", visible=False, max_lines=1, elem_id=f"{name}-path",
                info="A folder as evaluate --data reads it, or a .zip, .csv or .jsonl file",
            )  # fmt: skip
            self.upload = gr.File(
                None, label="Your labelled samples", visible=False, height=132,
                file_types=[".zip", ".csv", ".tsv", ".jsonl", ".json", ".txt"],
                elem_id=f"{name}-upload", elem_classes="se-drop",
            )  # fmt: skip
            with gr.Row(elem_classes="se-go"):
                self.run = gr.Button("Run", variant="primary", elem_id=f"{name}-run", min_width=120)
                self.cancel = gr.Button(
                    "Cancel", visible=False, elem_id=f"{name}-cancel", min_width=120
                )
            self.status = html(compare_html.HINT, elem_id=f"{name}-status")
        script = (SCRIPTS / "inspect.js").read_text(encoding="utf-8")
        with gr.Column(visible=False, elem_id=f"{name}-results") as self.column:
            self.board = acting(script, f"{name}-board")
            self.table = acting(script, f"{name}-table")
            functions = [exporter(partial(compare_html.export, kept))]
            self.files = acting(script, f"{name}-files", server_functions=functions)

    # ---- the form ----------------------------------------------------------------------------

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
        """What `put` fills."""
        return [*self.inputs, self.head]

    def put(self, pair: Pair, head: str) -> list[Any]:
        """Values of `outputs` that show a choice."""
        choice = pair.a
        choices = self._kinds((pair.a.suite, pair.b.suite))
        return [
            gr.update(choices=choices, value=choice.kind),
            choice.limit or 0,
            gr.update(
                value=choice.place if choice.kind == FOLDER else "", visible=choice.kind == FOLDER
            ),
            gr.update(value=None, visible=choice.kind == UPLOAD),
            head,
        ]

    def first(self, sides: Sides) -> Pair:
        """What the form says before anybody has touched it."""
        offered = self._kinds([suite for suite, _ in sides])
        return pair_of(sides, offered[0][1], USUAL, "", None)

    def read_link(self, query: Query, sides: Sides) -> Pair:
        """The set that a link names."""
        offered = [kind for _, kind in self._kinds([suite for suite, _ in sides])]
        kind = query.one_of("set", offered, offered[0])
        limit = query.one_of("limit", [value for _, value in LIMITS], USUAL)
        return pair_of(sides, kind, limit, query.text("data") if kind == FOLDER else "", None)

    def for_kind(self, name: str, kind: str) -> list[Any]:
        """Updates of the folder, the upload and the hint for a kind of set."""
        hint: str = compare_html.HINT
        if kind == UPLOAD:
            hint = f'<p class="se-hint">{WANTED[self.context.suite(name).modality]}.</p>'
        return [gr.update(visible=kind == FOLDER), gr.update(visible=kind == UPLOAD), hint]

    def _kinds(self, suites: Sequence[Suite]) -> list[tuple[str, str]]:
        """The sets that are on offer for all of these suites."""
        first, *others = (kinds(suite, self.context.examples) for suite in suites)
        return [(title, kind) for kind, title in first.items() if all(kind in o for o in others)]

    # ---- the results -------------------------------------------------------------------------

    @property
    def results(self) -> list[Any]:
        """What `draw` fills."""
        return [self.column, self.board, self.table, self.files]

    def draw(self, key: str, found: Any, look: Look) -> tuple[Look, list[Any]]:
        """The look at a page that exists, and the values of `results`."""
        count = len(compare_html.ids(found, look))
        look = within(look, count)
        return look, [
            gr.update(visible=True),
            compare_html.board(found, look),
            compare_html.rows_table(found, look),
            compare_html.files(key, look, count),
        ]


# --------------------------------------------------------------------------------------------------
# A comparison on a set from its Run button to its end: progress with time left, and a cancel.

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


# --------------------------------------------------------------------------------------------------
# What the Compare tab is asked at one moment, and the link that brings it back. No gradio here.


@dataclass(frozen=True)
class Asked:
    """suite: of the input. source: empty where a row of a set is shown that is no example. key: of
    the comparison on screen, or "". pair: the set that the form names."""

    suite: Suite
    source: Source
    key: str
    look: Look
    sides: Sides
    pair: Pair

    @classmethod
    def of(
        cls, suite: Suite, source: Source, key: str, look: Look, sides: Sides, form: Sequence[Any]
    ) -> Asked:
        return cls(suite, source, key, look, sides, pair_of(sides, *form))


def row_source(pair: Pair, row: str) -> Source:
    """The example that a row is of; empty where the set is another one."""
    number = row.rpartition("/")[2]
    if pair.a.kind == EXAMPLES and number.isdecimal():
        return {"example": int(number)}
    return {}


def link_of(tab: str, asked: Asked, ran: bool) -> str:
    """The tab's "Copy link" button. ran: the comparison on screen is of this set and sides."""
    values, note = of_source(asked.source)
    choice = asked.pair.a
    values |= {"suite": asked.suite.name, **link_of_sides(asked.sides)}
    values |= {"set": choice.kind, "limit": choice.limit or 0, **asked.look.link()}
    values["under"] = asked.look.head if asked.look.head != FIRST.head else None
    if choice.kind == FOLDER:
        values["data"] = choice.place.strip()
    if choice.kind == UPLOAD and choice.place:
        note = note or OWN_UPLOAD
    return button(tab, {**values, "run": 1 if ran else None}, note)


# --------------------------------------------------------------------------------------------------
# The same labelled set for two configurations, and the work of running both on it. No gradio here,
# and no torch before a run.


@dataclass(frozen=True)
class Pair:
    """The set, as a Choice for each side."""

    a: Choice
    b: Choice

    def check(self, examples: Examples) -> None:
        """Raises UserError for what can be told before anything is read."""
        self.a.check(examples)
        self.b.check(examples)

    def same(self, other: Pair) -> bool:
        """Whether both ask for the same rows, however their settings are spelt."""
        return self._asked == other._asked

    @property
    def _asked(self) -> list[tuple[Any, ...]]:
        return [
            (c.suite.name, c.kind, c.place, c.limit, c.settings.resolve(c.suite))
            for c in (self.a, self.b)
        ]


def pair_of(sides: Sides, kind: Any, limit: Any, folder: Any, upload: Any) -> Pair:
    """The set that the form names, for both sides."""
    place = str((upload if kind == UPLOAD else folder if kind == FOLDER else "") or "")
    count = limit if isinstance(limit, int) and limit > 0 else None
    a, b = (
        Choice(suite, str(kind), place=place, limit=count, settings=settings)
        for suite, settings in sides
    )
    return Pair(a, b)


def comparing(engine: Callable[[str], Any], pair: Pair, examples: Examples) -> Callable[[Run], Any]:
    """The work of a run: wait for the engines, read the samples, compare."""

    def work(run: Run) -> Any:
        run.reaches("Loading the models")
        choices = (pair.a, pair.b)
        engines = [engine(choice.suite.name) for choice in choices]
        from semerge.evaluation.comparison import Side, compare  # imports torch

        run.reaches("Reading the samples")
        first = pair.a.sets(examples)
        second = first if pair.a.suite is pair.b.suite else pair.b.sets(examples)
        a, b = (
            Side(models, sets, choice.settings.resolve(choice.suite))
            for models, sets, choice in zip(engines, (first, second), choices, strict=True)
        )
        run.reaches("Running", first.total + (0 if second is first else second.total))
        keep: Any = run.keep  # it takes a comparison for an inspection
        return compare(a, b, run.progress, run.cancelled, keep)

    return work
