"""Engines load behind the open page: one thread, a state per suite, and a wait for who needs it.

No gradio here. An engine needs torch, which takes seconds to import; the page must not wait.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

from semerge.common import Progress, UserError, listening

WAITING, FETCHING, LOADING, READY, FAILED = "waiting", "fetching", "loading", "ready", "failed"
UNDER_WAY = (FETCHING, LOADING)
PATIENCE = 120.0  # seconds that a request waits for its engine before it gives up
GLANCE = 1.0  # the same for a published suite, which takes minutes and must not hold up the others
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class State:
    """How far one suite is."""

    name: str
    title: str
    phase: str = WAITING
    started: float = 0.0
    message: str = ""  # why it failed, in one sentence
    share: float = 0.0  # of the step that it is at, where that tells
    step: str = ""  # what is counted in a step of loading

    @property
    def settled(self) -> bool:
        return self.phase in (READY, FAILED)


class Engines:
    """Engines by suite name, loaded one after another in the background.

    load: suite name -> engine; called once a suite. warm: called with each engine once it is
    there (to compute the opening example); what it raises is logged and changes nothing.
    published: suites whose weights may have to be fetched, by `fetch(name, progress)` with
    `progress(bytes done, bytes in all, file)`. They load beside the others, no request waits for
    them, and one that failed is tried again whenever somebody asks for it.
    """

    def __init__(
        self,
        titles: dict[str, str],
        load: Callable[[str], Any],
        warm: Callable[[str, Any], None] | None = None,
        fetch: Callable[[str, Progress], None] | None = None,
        published: Collection[str] = (),
    ) -> None:
        self._load, self._warm, self._fetch = load, warm, fetch
        self._published = frozenset(published)
        self._states = {name: State(name, title) for name, title in titles.items()}
        self.loaded: dict[str, Any] = {}  # those that are there
        self._sought: set[str] = set()  # suites that a thread has been started for
        self._lock = threading.Lock()  # guards these three
        self._loading = threading.Lock()  # one suite at a time: two cores, one disk
        self._fetching = threading.Lock()  # the same among the published ones
        self._settled = {name: threading.Event() for name in titles}

    def start(self, names: Sequence[str]) -> threading.Thread:
        """Load these suites in this order, without waiting for them; another thread's are its."""
        with self._lock:
            mine = [name for name in dict.fromkeys(names) if name not in self._sought]
            self._sought.update(mine)
        thread = threading.Thread(target=self._bring_all, args=(mine,), daemon=True)
        thread.start()
        return thread

    def states(self) -> list[State]:
        with self._lock:
            return list(self._states.values())

    def state(self, name: str) -> State:
        with self._lock:
            return self._states[name]

    def ready(self, name: str) -> bool:
        return self.state(name).phase == READY

    def failed(self, name: str) -> bool:
        return self.state(name).phase == FAILED

    def get(self, name: str, patience: float = PATIENCE) -> Any:
        """The engine of a suite; waits for it while it loads, starts it if nobody has. Raises
        UserError where the suite is unknown, can't be loaded, or is not there in time."""
        if name not in self._settled:
            raise UserError(f"The suite {name} is unknown here.")
        self.prepare(name)
        glance = name in self._published and not self.ready(name)
        if not self._settled[name].wait(min(patience, GLANCE) if glance else patience):
            raise UserError(self._not_yet(name))
        with self._lock:
            if name in self.loaded:
                return self.loaded[name]
        # somebody may try it again by now, which leaves the message of the last time
        raise UserError(self.state(name).message)

    def prepare(self, name: str) -> None:
        """Start to load a suite if nobody has, and a published one that failed once more."""
        with self._lock:
            if name in self._published and self._states[name].phase == FAILED:
                self._settled[name].clear()
                self._states[name] = replace(self._states[name], phase=WAITING)
                self._sought.discard(name)
            sought = name in self._sought
        if not sought:
            self.start([name])

    def arriving(self) -> list[State]:
        """The published suites that are being fetched or loaded."""
        return [s for s in self.states() if s.name in self._published and s.phase in UNDER_WAY]

    def _not_yet(self, name: str) -> str:
        state = self.state(name)
        if name not in self._published:
            return "The models are still loading. Please try again in a moment."
        doing = f"fetched ({state.share:.0%})" if state.phase == FETCHING else "loaded"
        return f"{state.title} is being {doing}; other suites answer meanwhile. Ask again later."

    def _set(self, name: str, **changes: Any) -> None:
        """Settled at once, so that nobody who tries it again comes between state and event."""
        with self._lock:
            self._states[name] = replace(self._states[name], **changes)
            if self._states[name].settled:
                self._settled[name].set()

    def _bring_all(self, names: list[str]) -> None:
        hub = [name for name in names if name in self._published]
        if hub and len(hub) < len(names):
            beside = threading.Thread(target=self._bring_all, args=(hub,), daemon=True)
            beside.start()
            self._bring_all([name for name in names if name not in hub])
            beside.join()
            return
        for name in names:
            self._bring(name)

    def _bring(self, name: str) -> None:
        with self._fetching if name in self._published else self._loading:
            try:
                self._bring_files(name)
                self._set(name, phase=LOADING, started=time.monotonic(), share=0.0, step="")
                with listening(lambda *told: self._told(name, *told)):
                    engine = self._load(name)
            except Exception as error:  # a broken suite must not take the others down
                known = isinstance(error, UserError)
                # a sentence says it all; where anything else went wrong is worth knowing
                _log.error("suite %s can't be loaded: %s", name, error, exc_info=not known)
                text = str(error) if known else f"The suite {name} can't be loaded; see the log."
                self._set(name, phase=FAILED, message=text)
                return
            try:
                if self._warm is not None:
                    self._warm(name, engine)
            except Exception:
                _log.exception("the opening example of %s failed", name)
            with self._lock:
                self.loaded[name] = engine
            self._set(name, phase=READY, message="")

    def _bring_files(self, name: str) -> None:
        if name not in self._published or self._fetch is None:
            return
        self._set(name, phase=FETCHING, started=time.monotonic(), share=0.0)

        # which file it is matters to nobody here
        self._fetch(name, lambda done, total, file: self._told(name, done, total, ""))

    def _told(self, name: str, done: int, total: int, what: str) -> None:
        self._set(name, share=done / max(total, 1), step=what)
