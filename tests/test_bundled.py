"""The suites that are shipped: the engine equals the slow reference, alone and in many threads."""

from __future__ import annotations

from functools import cache

import pytest
from concurrency import check_threads
from equivalence import check_answers, check_distances, pair, samples_of
from reference import Reference

from semerge.engine import Engine
from semerge.suites import SUITES_FOLDER


@cache
def bundled(name: str) -> tuple[Engine, Reference]:
    return pair(SUITES_FOLDER / name)


@pytest.fixture(params=["mini-vision", "mini-text"])
def both(request: pytest.FixtureRequest) -> tuple[Engine, Reference]:
    if not (SUITES_FOLDER / request.param / "suite.json").is_file():
        pytest.skip(f"suite {request.param} is not in assets/suites")
    return bundled(request.param)


def test_distances_equal_the_reference(both: tuple[Engine, Reference]) -> None:
    check_distances(*both, samples_of(both[0], 2))


def test_answers_equal_the_reference(both: tuple[Engine, Reference]) -> None:
    check_answers(*both, samples_of(both[0], 2))
    assert both[0].verify_weights()


def test_sixteen_threads_on_both_suites_equal_one_bit_for_bit() -> None:
    check_threads([bundled(name)[0] for name in ("mini-vision", "mini-text")])
