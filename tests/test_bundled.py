"""The engine equals the slow reference on the suites that are shipped."""

from __future__ import annotations

from functools import cache

import pytest
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
    check_distances(*both, samples_of(both[0], 3))


def test_answers_equal_the_reference(both: tuple[Engine, Reference]) -> None:
    check_answers(*both, samples_of(both[0], 3))
    assert both[0].verify_weights()
