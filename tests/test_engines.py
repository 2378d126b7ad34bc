"""Engines behind the page: who loads what, and what everybody hears who asked for it."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from semerge.common import UserError
from semerge.ui.engines import Engines


def told(engines: Engines, name: str) -> str:
    """How a request for this suite is refused."""
    with pytest.raises(UserError) as error:
        engines.get(name)
    return str(error.value)


def test_everybody_hears_why_a_suite_failed_while_others_try_it_again() -> None:
    """Each request tries a published suite again, and none takes another's message away."""

    def load(name: str) -> str:
        raise UserError("The connection was cut.")

    engines = Engines({"hub": "Hub"}, load, published=["hub"])
    with ThreadPoolExecutor(8) as pool:
        said = list(pool.map(lambda _: told(engines, "hub"), range(200)))
    assert set(said) == {"The connection was cut."}


def test_requests_that_wait_start_no_thread_each() -> None:
    free = threading.Event()
    loaded = []

    def load(name: str) -> str:
        assert free.wait(60)
        loaded.append(name)
        return name

    engines = Engines({"first": "First", "second": "Second"}, load)
    started = engines.start(["first"])
    before = set(threading.enumerate())
    for _ in range(20):
        engines.prepare("second")
    assert len(set(threading.enumerate()) - before) == 1
    free.set()
    started.join()
    assert engines.get("second") == "second" and loaded == ["first", "second"]


def test_no_suite_waits_for_one_that_comes_from_the_hub() -> None:
    free = threading.Event()

    def fetch(name: str, progress: object) -> None:
        assert free.wait(60)

    engines = Engines({"hub": "Hub", "own": "Own"}, str.upper, fetch=fetch, published=["hub"])
    started = engines.start(["hub", "own"])
    assert engines.get("own") == "OWN" and not engines.ready("hub")
    free.set()
    started.join()
    assert engines.get("hub") == "HUB"
