"""Long tasks: one at a time in the whole app, each in a thread, with progress and a cancel; the
controls of a tab that starts them; and what pages keep of their results."""

from __future__ import annotations

import asyncio
import logging
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import gradio as gr
from markupsafe import Markup

from semerge.common import UserError
from semerge.ui.parts import model_event, page_event
from semerge.ui.tabs import Update
from semerge.ui.words import macro, without_folders

GONE = "This result is no longer kept here; press Run to compute it again."
FAILED = "The run ended by an error that is in the log; what was done by then is shown."
BUSY = "Other runs are waiting here; please try again in a few minutes."
REFUSED = "The run could not begin; try again in a moment."
STOPPING = "Stopping…"
TURN = "Waiting for another run to end"
PATIENCE = 0.5  # seconds that a cancel waits for the batch under way; then it takes what was before
POLL = 0.3  # seconds between looks at a run
IDLE = 50  # runs that nobody has begun: no more of them are remembered
TEMPLATE = "runs.html"
_log = logging.getLogger(__name__)


@dataclass
class Run:
    """One long task: written by its thread, read by the page.

    work: does it, and calls `reaches`, `progress` and `keep`; it asks `cancelled`. asked: what it
    is about, and before: what its page showed when it began, both for who started it. opening:
    whether a link asked for it. result: what is done so far, with `rows`, the `sets` that they are
    of, and whether it is `complete`. notices: what was passed over of the samples. seconds: that
    they took.
    """

    work: Callable[[Run], Any]
    asked: Any
    before: Any = None
    opening: bool = False
    stage: str = "Starting"
    done: int = 0
    total: int = 0
    result: Any = None
    failure: str = ""
    notices: list[str] = field(default_factory=list)
    seconds: float = 0.0
    tab: str = ""
    session: str | None = None
    begun: bool = False
    _since: float = 0.0  # when the stage began
    _cancelled_at: float | None = None
    _ended: threading.Event = field(default_factory=threading.Event)

    def cancel(self) -> None:
        if self._cancelled_at is None:
            self._cancelled_at = time.monotonic()

    def cancelled(self) -> bool:
        return self._cancelled_at is not None

    @property
    def ended(self) -> bool:
        return self._ended.is_set()

    @property
    def over(self) -> bool:
        """Whether there is nothing more to wait for."""
        late = self._cancelled_at is not None and time.monotonic() > self._cancelled_at + PATIENCE
        return self.ended or late

    @property
    def left(self) -> float | None:
        """Seconds that the rest will take at the pace so far; None before there is one."""
        if not self.done:
            return None
        return self.seconds / self.done * (self.total - self.done)

    def reaches(self, stage: str, total: int = 0) -> None:
        """What comes next, and how many samples that is about."""
        self.stage, self.total, self._since = stage, total, time.monotonic()

    def progress(self, done: int, total: int) -> None:
        self.done, self.total, self.seconds = done, total, time.monotonic() - self._since

    def keep(self, result: Any) -> None:
        if not self.over:  # a page that has stopped waiting shows what it was given
            self.result = result

    def end(self) -> None:
        self._ended.set()


class Runs:
    """All runs of the app, by an id that cannot be guessed. One works at a time, few may wait."""

    def __init__(self, waiting: int = 3) -> None:
        self._waiting = waiting
        self._runs: OrderedDict[str, Run] = OrderedDict()
        self._lock = threading.Lock()
        self.turn = threading.Lock()
        self.working: Run | None = None

    def add(self, run: Run) -> str:
        """Raises UserError where too many are waiting."""
        with self._lock:
            if sum(r.begun and not r.ended for r in self._runs.values()) > self._waiting:
                raise UserError(BUSY)
            # pages that were closed at once have begun nothing, or have not fetched what there is
            idle = [name for name, r in self._runs.items() if not r.begun][:-IDLE]
            for name in (*idle, *[name for name, r in self._runs.items() if r.ended][:-2]):
                del self._runs[name]
            name = secrets.token_urlsafe(12)
            self._runs[name] = run
            return name

    def get(self, name: str) -> Run | None:
        with self._lock:
            return self._runs.get(name)

    def drop(self, name: str) -> None:
        """Its page has what came of it, or is gone."""
        with self._lock:
            self._runs.pop(name, None)

    def start(self, run: Run) -> None:
        """Do it in a thread of its own, as soon as it is its turn."""
        run.begun = True
        if self.turn.locked():
            run.stage = TURN
        threading.Thread(target=self._do, args=(run,), daemon=True).start()

    def _do(self, run: Run) -> None:
        try:
            while not self.turn.acquire(timeout=0.1):
                if run.cancelled():
                    return
            try:
                self.working = run
                if not run.cancelled():
                    run.keep(run.work(run))
            finally:
                self.working = None
                self.turn.release()
        except UserError as error:
            run.failure = str(error)
        except Exception:  # a thread has nobody to raise it to
            _log.exception("a run failed")
            run.failure = FAILED
        finally:
            run.end()


class Controls:
    """The buttons Run and Cancel of a tab, and what is said of its run below them. A run is no
    event of the models' queue: it takes minutes, and nobody's question should wait for it. The
    engine is safe to use beside it."""

    def __init__(self, runs: Runs, tab: str, hint: str, *beside: Any) -> None:
        """tab: in element ids. hint: said before there is a run. beside: more of the row."""
        self.runs, self.tab = runs, tab
        self.id = gr.State("")
        with gr.Row(elem_classes="se-go"):
            self.run = gr.Button("Run", variant="primary", elem_id=f"{tab}-run", min_width=120)
            self.cancel = gr.Button("Cancel", visible=False, elem_id=f"{tab}-cancel", min_width=120)
            for part in beside:
                part.render()
        self.status = gr.HTML(
            macro("hint", hint, template=TEMPLATE), apply_default_css=False, js_on_load=None,
            elem_id=f"{tab}-status",
        )  # fmt: skip

    @property
    def outputs(self) -> list[Any]:
        """What the updates below are of."""
        return [self.id, self.status, self.run, self.cancel]

    def begin(self, run: Run, session: str | None = None) -> Update:
        """Let the page follow this run; where too many are waiting, it is told."""
        run.tab, run.session = self.tab, session
        try:
            name = self.runs.add(run)
        except UserError as error:
            return {self.status: macro("failure", str(error))}
        return {
            self.id: name,
            self.run: gr.update(interactive=False),
            self.cancel: gr.update(visible=True, interactive=True),
        }

    def wire(
        self,
        ask: Callable[..., Run],
        inputs: list[Any],
        show: Callable[..., Update],
        state: list[Any],
        outputs: list[Any],
    ) -> Any:
        """ask(*inputs): the run of a click; raises UserError. show(run, *state): of `outputs`, once
        it is over; `state` as it is then, so that nothing is lost that was set meanwhile. Returns
        the event of the end."""

        def begin(request: gr.Request, *values: Any) -> Update:
            try:
                return self.begin(ask(*values), request.session_hash)
            except UserError as error:
                return {self.status: macro("failure", str(error))}

        async def follow(name: str) -> AsyncIterator[Update]:
            run, shown = self.runs.get(name), ""
            if run is None or run.begun:
                yield gr.skip()
                return
            try:
                self.runs.start(run)
                while not run.over:
                    if (now := self.progress(run)) != shown and not run.cancelled():
                        shown = now
                        yield {self.status: now}
                    await asyncio.sleep(POLL if not run.cancelled() else POLL / 6)
            finally:  # also where the page has gone away
                if not run.over:
                    self.runs.drop(name)
                run.cancel()

        def end(name: str, *values: Any) -> Update:
            run = self.runs.get(name)
            if run is None or not run.over:
                return gr.skip()
            self.runs.drop(name)
            return {self.status: outcome(run), **self.idle, **show(run, *values)}

        def cancel(name: str) -> Update:
            if run := self.runs.get(name):
                run.cancel()
            return {self.status: said(STOPPING), self.cancel: gr.update(interactive=False)}

        def refused() -> Update:
            """The queue had no place for it, or something broke that is in the log."""
            return {self.status: macro("failure", REFUSED), **self.idle}

        # queued, because a State tells its change by the queue alone
        begun = self.run.click(begin, inputs, self.outputs, **page_event(queue=True))
        own = model_event(concurrency_id="run", concurrency_limit=None, trigger_mode="multiple")
        followed = self.id.change(follow, self.id, self.status, **own)
        everything = list(dict.fromkeys((*self.outputs, *outputs)))
        ended = followed.then(end, [self.id, *state], everything, **page_event(queue=True))
        for event in (begun, followed, ended):
            event.failure(refused, None, [self.status, self.run, self.cancel], **page_event())
        self.cancel.click(cancel, self.id, [self.status, self.cancel], **page_event())
        return ended

    @property
    def idle(self) -> Update:
        """Nothing is under way."""
        return {self.run: gr.update(interactive=True), self.cancel: gr.update(visible=False)}

    def progress(self, run: Run) -> Markup:
        """What is said while it is under way: a bar with the samples done and the time left."""
        first = self.runs.working
        return macro("progress", run, None if first is run else first, template=TEMPLATE)


def outcome(run: Run) -> Markup:
    """How it ended, and what is shown of it."""
    done = len(run.result.rows) if run.result else 0
    notices = list(dict.fromkeys(map(without_folders, run.notices)))
    return macro("outcome", run, done, notices, template=TEMPLATE)


def said(text: str) -> Markup:
    """A sentence in the place of the progress."""
    return macro("said", text, template=TEMPLATE)


@dataclass(frozen=True)
class Item:
    """A result with what asked for it, and how many bytes it holds on to. made: what was made of
    it since, by name."""

    result: Any
    asked: Any
    size: int
    made: dict[str, Any] = field(default_factory=dict)


class Store:
    """The results that pages show: the last few, and no more than fit into some memory."""

    def __init__(self, count: int = 8, room: int = 512 * 2**20) -> None:
        self._count, self._room = count, room
        self._items: OrderedDict[str, Item] = OrderedDict()
        self._lock = threading.Lock()

    def put(self, result: Any, asked: Any, instead_of: str = "") -> str:
        """Keep it, in place of one that its page shows no more; returns its id."""
        name = secrets.token_urlsafe(12)
        with self._lock:
            self._items.pop(instead_of, None)
            self._items[name] = Item(result, asked, size(result))
            while len(self._items) > 1 and self._full():
                self._items.popitem(last=False)
        return name

    def get(self, name: str) -> Item:
        """Raises UserError where it had to make room, or is of before a restart."""
        with self._lock:
            if name not in self._items:
                raise UserError(GONE)
            self._items.move_to_end(name)
            return self._items[name]

    def _full(self) -> bool:
        total = sum(item.size for item in self._items.values())
        return len(self._items) > self._count or total > self._room


def size(result: Any) -> int:
    """About how many bytes a result holds on to: its samples, and a thousand a row."""
    total = 1000 * len(result.rows)
    for samples in result.sets.sets:
        if samples.images is not None:
            total += samples.images.nbytes
        files = getattr(samples.files, "files", ())
        if isinstance(files, tuple):  # else they are read from the disk, one by one
            total += sum(len(file) for file in files if isinstance(file, bytes))
        total += sum(len(text) for text in samples.texts)
    return total
