"""How far a long step is, told to whoever can show it: the command line, or the app's status.

Loading calls many things, and few of them take long; so a step tells what it does without knowing
who hears it, and the caller that can show it listens in its own thread. Where nobody listens,
nothing happens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TextIO

Progress = Callable[[int, int, str], None]
"""(how much is done, of how much, what): bytes of a file, or captions, in the order of work."""


def silent(done: int, total: int, what: str) -> None:
    """Tells nobody."""


_listener: ContextVar[Progress] = ContextVar("listener", default=silent)


@contextmanager
def listening(progress: Progress) -> Iterator[None]:
    """Inside, `progress` hears what this thread tells."""
    before = _listener.set(progress)
    try:
        yield
    finally:
        _listener.reset(before)


def tell(done: int, total: int, what: str) -> None:
    """Say how far this thread is; 0 of `total` at the start."""
    _listener.get()(done, total, what)


def say(text: str, stream: TextIO) -> None:
    """A sentence on a line of its own, where a count may stand unfinished on the terminal's."""
    start = "\n" if stream.isatty() else ""
    print(f"{start}semerge: {text}", file=stream)


class Counter:
    """Shows a count on a stream: on a terminal a line that is written over, else its start."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __call__(self, done: int, total: int, what: str) -> None:
        text = f"semerge: {done:,} of {total:,} {what}"
        if self._stream.isatty():
            end = "\n" if done == total else ""
            print(f"\r{text}", end=end, file=self._stream, flush=True)
        elif done == 0:
            print(text, file=self._stream, flush=True)
