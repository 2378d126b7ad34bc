"""The Compare tab: two configurations on one input side by side, and on the same labelled set."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import gradio as gr

from semerge.errors import UserError
from semerge.suites import Suite
from semerge.ui import compare_rows, compare_sides, inspect_status, markup
from semerge.ui.compare_answers import Answers, Differs
from semerge.ui.compare_asked import Asked, link_of, row_source
from semerge.ui.compare_pair import comparing
from semerge.ui.compare_rows import FIRST
from semerge.ui.compare_run import Follow
from semerge.ui.compare_set import SetPart
from semerge.ui.compare_sides import SideOptions
from semerge.ui.context import Context
from semerge.ui.events import model_event, page_event
from semerge.ui.inspect_look import HEADS, Look, stepped
from semerge.ui.inspect_page import action_of, paced
from semerge.ui.inspect_runs import Kept, Run, Runs
from semerge.ui.links import Query
from semerge.ui.opening import when_opened
from semerge.ui.options import Options
from semerge.ui.picker import InputPicker
from semerge.ui.result_panel import html
from semerge.ui.sources import Source, first_source


class CompareTab:
    """`kept` has the comparisons that pages show, `runs` those under way; a page has their ids."""

    name = "compare"

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
        sides, source = compare_sides.usual(suite), first_source(suite, self.context.examples)
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
        for acting in (part.board, part.table):
            paced(acting.view(self._view, self.asked, shown, **page_event()), self.name)
            row = acting.row(self._row, self.asked, [*self.picker.outputs, *shown], **page_event())
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
                follow += options.follow(suite, settings.resolve(suite))
            except UserError:  # told in the panel's place
                follow += _kept(options.followers)
        return [*follow, *answer]

    def _defaults(self, options: Options) -> Callable[[str], list[Any]]:
        return lambda name: options.defaults(self.context.suite(name))

    def _chosen(self, suite: Suite, source: Source, *rest: Any) -> list[Any]:
        """Another input. Of another kind, it has other suites: everything begins anew."""
        asked = self._read([suite.name, source, *rest])
        if asked.sides[0][0].modality != suite.modality:
            return self._fresh(replace(self._first(suite), source=source))
        asked = replace(asked, look=replace(asked.look, row=""))
        values = _kept(self.everything[: -len(self.answered)])
        values[self._at(self.look)] = asked.look
        return [*values, *self._answer(asked)]

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
            status or compare_rows.HINT,
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
        return [*self.picker.put(suite, source), *self._fresh(asked)]

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
        return self._looked(asked, compare_rows.changed(asked.look, action_of(event)))

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
        look = stepped(asked.look, action_of(event), compare_rows.ids(found, asked.look))
        asked = replace(asked, look=look, source=row_source(asked.pair, look.row))
        picked = self.picker.put(asked.suite, asked.source)
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
                look, told = compare_rows.known(found, asked.look)
            values = self._redraw(replace(asked, key=key, look=look))
            values[0] = key
        values[2] = inspect_status.ended(run) + markup.notices(told)
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
        sides = compare_sides.read_link(query, suite, self.context.of(suite.modality))
        pair, look = self.set.read_link(query, sides), compare_rows.read_look(query)
        asked = Asked(suite, source, "", look, sides, pair)
        status, results = "", None
        if query.has("run") and pair.a.quick:
            run = Run(pair)  # type: ignore[arg-type]
            try:
                work = comparing(self.context.engines.get, pair, self.context.examples)
                key = self.kept.put(work(run), pair)
                found = self.kept.get(key).found
                look, told = compare_rows.known(found, look)
                query.notices += told
                asked = replace(asked, key=key)
                look, results = self.set.draw(key, found, look)
                asked, status = replace(asked, look=look), inspect_status.opened(len(found.rows))
            except UserError as error:
                status = markup.failure(str(error))
        elif query.has("run"):
            status = inspect_status.waits(pair.a)
        return [*self.picker.put(suite, source), *self._fresh(asked, status, results)]


def _kept(components: Sequence[Any]) -> list[Any]:
    return [gr.skip() for _ in components]
