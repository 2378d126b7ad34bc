"""How a run on labelled data is watched and stopped from a command line."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TextIO

from semerge.evaluation.measure import Cancelled, Progress

QUIET = 10.0
"""Seconds between two lines of a log: a short run needs none."""
STOPPING = (
    "semerge: stopping after the batch under way, what is done is kept; "
    "Ctrl+C once more stops at once.\n"
)


def progress(stream: TextIO) -> Progress:
    """What tells how far a run is: one line that is written over on a terminal, else a log."""
    return Bar(stream) if stream.isatty() else Log(stream)


class Bar:
    """One line on a terminal that counts samples."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __call__(self, done: int, total: int) -> None:
        end = "\n" if done == total else ""
        print(f"\r{done:,} of {total:,} samples", end=end, file=self._stream, flush=True)


class Log:
    """A line after each tenth of the samples, but none within QUIET seconds of the last one."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream, self._clock = stream, clock
        self._tenths, self._told = 0, clock()

    def __call__(self, done: int, total: int) -> None:
        tenths, now = 10 * done // total, self._clock()
        if tenths == self._tenths or now - self._told < QUIET:
            return
        self._tenths, self._told = tenths, now
        print(f"semerge: {done:,} of {total:,} samples", file=self._stream, flush=True)


@contextmanager
def stoppable() -> Iterator[Cancelled]:
    """Inside, the first Ctrl+C asks a run to stop and the next one raises KeyboardInterrupt.

    Yields whether a stop was asked for. Only the main thread hears signals: elsewhere it never is.
    """
    asked = threading.Event()

    def ask(number: int, frame: FrameType | None) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()
        # a handler may interrupt a print, and a stream can't be written to from within its write
        os.write(2, (b"\n" if os.isatty(2) else b"") + STOPPING.encode())

    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set
        return
    before = signal.signal(signal.SIGINT, ask)
    try:
        yield asked.is_set
    finally:
        signal.signal(signal.SIGINT, before)
