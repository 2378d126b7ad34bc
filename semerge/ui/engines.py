"""Engines load behind the open page: one thread, a state per suite, and a wait for who needs it.

No gradio here. An engine needs torch, which takes seconds to import; the page must not wait.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from semerge.errors import UserError

WAITING, LOADING, READY, FAILED = "waiting", "loading", "ready", "failed"
PATIENCE = 120.0  # seconds that a request waits for its engine before it gives up
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class State:
    """How far one suite is."""

    name: str
    title: str
    phase: str = WAITING
    started: float = 0.0
    message: str = ""  # why it failed, in one sentence

    @property
    def settled(self) -> bool:
        return self.phase in (READY, FAILED)


class Engines:
    """Engines by suite name, loaded one after another in the background.

    load: suite name -> engine; called once a suite. warm: called with each engine once it is
    there (to compute the opening example); what it raises is logged and changes nothing.
    """

    def __init__(
        self,
        titles: dict[str, str],
        load: Callable[[str], Any],
        warm: Callable[[str, Any], None] | None = None,
    ) -> None:
        self._load, self._warm = load, warm
        self._states = {name: State(name, title) for name, title in titles.items()}
        self._engines: dict[str, Any] = {}
        self._lock = threading.Lock()  # guards the two dictionaries
        self._loading = threading.Lock()  # one suite at a time: two cores, one disk
        self._settled = {name: threading.Event() for name in titles}

    def start(self, names: Sequence[str]) -> threading.Thread:
        """Load these suites in this order, without waiting for them."""
        thread = threading.Thread(target=self._bring_all, args=(list(names),), daemon=True)
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
        """The engine of a suite; waits for it while it loads, starts it if nobody has.

        Raises:
            UserError: the suite is unknown, can't be loaded, or is not there in time.
        """
        if name not in self._settled:
            raise UserError(f"The suite {name} is unknown here.")
        if self.state(name).phase == WAITING:
            self.start([name])
        if not self._settled[name].wait(patience):
            raise UserError("The models are still loading. Please try again in a moment.")
        with self._lock:
            if name in self._engines:
                return self._engines[name]
        raise UserError(self.state(name).message)

    def _set(self, name: str, **changes: Any) -> None:
        with self._lock:
            self._states[name] = replace(self._states[name], **changes)

    def _bring_all(self, names: list[str]) -> None:
        for name in names:
            self._bring(name)

    def _bring(self, name: str) -> None:
        with self._loading:
            if self._settled[name].is_set():
                return
            self._set(name, phase=LOADING, started=time.monotonic())
            try:
                engine = self._load(name)
            except Exception as error:  # a broken suite must not take the others down
                _log.exception("suite %s can't be loaded", name)
                known = isinstance(error, UserError)
                text = str(error) if known else f"The suite {name} can't be loaded; see the log."
                self._set(name, phase=FAILED, message=text)
                self._settled[name].set()
                return
            try:
                if self._warm is not None:
                    self._warm(name, engine)
            except Exception:
                _log.exception("the opening example of %s failed", name)
            with self._lock:
                self._engines[name] = engine
            self._set(name, phase=READY)
            self._settled[name].set()
