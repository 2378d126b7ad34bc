"""Runs in the background: a thread each, with progress and a cancel, and what is said of them."""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from semerge.common import UserError
from semerge.ui.markup import esc, failure
from semerge.ui.tabs.inspect_choice import UPLOAD, Choice

if TYPE_CHECKING:
    from semerge.data.labelled import Sets
    from semerge.evaluation.inspection import Inspection
    from semerge.ui.tabs.inspect_choice import Choice


# --------------------------------------------------------------------------------------------------
# Inspections in the background: a thread a run, with its progress and a cancel; and the last few
# that were made, kept for the pages that show them. No gradio here, and no torch before a run.

GONE = "This inspection is no longer kept here; press Run to compute it again."
FAILED = "The run ended by an error that is in the log; what was done by then is shown."
BUSY = "Other inspections are running here; please try again in a few minutes."
PATIENCE = 1.0
"""Seconds that a cancel waits for the batch under way; then it takes what was done before it."""
_log = logging.getLogger(__name__)

Work = Callable[["Run"], "Inspection"]


class Run:
    """One run: written by its thread, read by the page. `found` is what is done so far."""

    def __init__(self, choice: Choice) -> None:
        self.choice = choice
        self.stage = "Waiting for another inspection to end"
        self.done = self.total = 0
        self.found: Inspection | None = None
        self.failure = ""
        self.begun = False
        self.seconds = 0.0  # that the samples took
        self._since = 0.0  # when the stage began
        self._cancelled_at: float | None = None
        self._ended = threading.Event()

    def start(self, work: Work, turn: threading.Lock) -> None:
        """Do it in a thread of its own, as soon as it holds `turn`."""
        self.begun = True
        threading.Thread(target=self._work, args=(work, turn), daemon=True).start()

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
        """Called by the work: what comes next, and how many samples that is about."""
        self.stage, self.total, self._since = stage, total, time.monotonic()

    def progress(self, done: int, total: int) -> None:
        self.done, self.total, self.seconds = done, total, time.monotonic() - self._since

    def keep(self, found: Inspection) -> None:
        if not self.over:  # a page that has stopped waiting shows what it was given
            self.found = found

    def _work(self, work: Work, turn: threading.Lock) -> None:
        try:
            while not turn.acquire(timeout=0.2):
                if self.cancelled():
                    return
            try:
                if not self.cancelled():
                    self.keep(work(self))
            finally:
                turn.release()
        except UserError as error:
            self.failure = str(error)
        except Exception:  # a thread has nobody to raise it to
            _log.exception("an inspection failed")
            self.failure = FAILED
        finally:
            self._ended.set()


def inspecting(
    engine: Callable[[], Any], sets: Callable[[], Sets], settings: Any
) -> Callable[[Run], Inspection]:
    """The work of a run: wait for the engine, read the samples, inspect them."""

    def work(run: Run) -> Inspection:
        run.reaches("Loading the models")
        models = engine()
        from semerge.evaluation.inspection import inspect  # imports torch

        run.reaches("Reading the samples")
        samples = sets()
        run.reaches("Running", samples.total)
        return inspect(models, samples, settings, run.progress, run.cancelled, run.keep)

    return work


class Runs:
    """All runs of the app, by an id that cannot be guessed. One works at a time, few may wait."""

    def __init__(self, waiting: int = 3) -> None:
        self._waiting = waiting
        self._runs: OrderedDict[str, Run] = OrderedDict()
        self._lock = threading.Lock()
        self.turn = threading.Lock()

    def add(self, choice: Choice) -> str:
        """Raises UserError where too many are waiting."""
        with self._lock:
            for name in [name for name, run in self._runs.items() if run.ended]:
                del self._runs[name]
            if sum(run.begun for run in self._runs.values()) > self._waiting:
                raise UserError(BUSY)
            while len(self._runs) > 100:  # begun by nobody: pages that were closed at once
                self._runs.popitem(last=False)
            name = secrets.token_urlsafe(12)
            self._runs[name] = Run(choice)
            return name

    def get(self, name: str) -> Run | None:
        with self._lock:
            return self._runs.get(name)


@dataclass(frozen=True)
class Held:
    """An inspection with what asked for it, and how many bytes it holds on to."""

    found: Inspection
    choice: Choice
    size: int


class Kept:
    """The inspections that pages show: the last few, and no more than fit into some memory."""

    def __init__(self, count: int = 8, room: int = 512 * 2**20) -> None:
        self._count, self._room = count, room
        self._held: OrderedDict[str, Held] = OrderedDict()
        self._lock = threading.Lock()

    def put(self, found: Inspection, choice: Choice, instead_of: str = "") -> str:
        """Keep it, in place of one that its page shows no more; returns its id."""
        name = secrets.token_urlsafe(12)
        with self._lock:
            self._held.pop(instead_of, None)
            self._held[name] = Held(found, choice, size(found))
            while len(self._held) > 1 and self._full():
                self._held.popitem(last=False)
        return name

    def get(self, name: str) -> Held:
        """Raises UserError where it had to make room, or is of before a restart."""
        with self._lock:
            if name not in self._held:
                raise UserError(GONE)
            self._held.move_to_end(name)
            return self._held[name]

    def _full(self) -> bool:
        return (
            len(self._held) > self._count or sum(h.size for h in self._held.values()) > self._room
        )


def size(found: Inspection) -> int:
    """About how many bytes an inspection holds on to: its samples, and a thousand a row."""
    total = 1000 * len(found.rows)
    for samples in found.sets.sets:
        if samples.images is not None:
            total += samples.images.nbytes
        files = getattr(samples.files, "files", ())
        if isinstance(files, tuple):  # else they are read from the disk, one by one
            total += sum(len(file) for file in files if isinstance(file, bytes))
        total += sum(len(text) for text in samples.texts)
    return total


# --------------------------------------------------------------------------------------------------
# What is said of a run: how far it is, and how it ended. HTML; no gradio here.

INVITATION = (
    '<p class="se-hint">Run a labelled set to see where SE-Merging mends the static merge, where '
    "it breaks it, and where it takes the wrong expert.</p>"
)
STOPPING = '<p class="se-hint" role="status">Stopping…</p>'
WAITS = "This link names a set that takes a while: press Run, and it is shown as the link has it."
NO_UPLOAD = "No link holds an upload: choose the file again and press Run."


def progress(run: Run) -> str:
    """A bar with the samples done and the time left. The bar is there to be asked by a screen
    reader, not to interrupt it several times a second."""
    if not run.total:
        return f'<p class="se-hint" role="status">{esc(run.stage)}…</p>'
    told = f"{run.done:,} of {run.total:,} samples"
    if run.left is not None:
        told += f", {duration(run.left)} left"
    return (
        f'<div class="se-run"><progress max="{run.total}" value="{run.done}" '
        f'aria-label="Samples done"></progress><span>{told}</span></div>'
    )


def ended(run: Run) -> str:
    """How it ended, and what is shown of it."""
    done = len(run.found.rows) if run.found else 0
    if run.failure:
        kept = f" The {done:,} samples that were done are shown." if done else ""
        return failure(run.failure + kept, "The run failed." if done else "No result.")
    if not done:
        return _told("Cancelled before the first samples were done.")
    if run.found and run.found.complete:
        return _told(f"{done:,} samples in {_seconds(run.seconds)}.")
    return _told(f"Cancelled: {done:,} of {run.total:,} samples are done and shown.")


def duration(seconds: float) -> str:
    """`about 40 s`, `about 3 min`."""
    if seconds < 90:
        return f"about {max(1, round(seconds))}\u00a0s"
    return f"about {round(seconds / 60)}\u00a0min"


def waits(choice: Choice) -> str:
    """For a link to a set that nobody should have to wait for unasked, or that it can't hold."""
    return _told(NO_UPLOAD if choice.kind == UPLOAD else WAITS)


def opened(samples: int) -> str:
    """For a link that was opened with its result."""
    return _told(f"{samples:,} samples, as the link names them.")


def _seconds(seconds: float) -> str:
    return "less than a second" if seconds < 1 else f"{seconds:.0f}\u00a0s"


def _told(text: str) -> str:
    return f'<p class="se-hint" role="status">{esc(text)}</p>'
