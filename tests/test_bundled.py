"""The suites that are shipped: the engine equals the slow reference, alone and in many threads."""

from __future__ import annotations

from functools import cache

import pytest
from concurrency import check_threads
from equivalence import check_answers, check_distances, pair, samples_of
from reference import Reference

from recipes import selection
from semerge.engine import Engine
from semerge.suites import SUITES_FOLDER
from semerge.suites.report import read_report


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


@pytest.mark.parametrize("name", ["mini-text"])
def test_one_lambda_serves_the_static_merge_and_the_probe(name: str) -> None:
    """The paper's own probe, at the λ where the static merge works; validation says why."""
    suite = bundled(name)[0].suite
    chosen = suite.defaults
    assert chosen.probe == "experts"
    assert chosen.probe_lambda == chosen.static_lambda
    report = read_report(suite)
    assert report is not None and report["defaults"] == vars(chosen)
    curve = report["validation"]["curve"]
    assert chosen.static_lambda == selection.one_lambda(curve, suite.modality)
    rows = {row["lambda"]: row for row in curve["rows"]}
    assert min(rows) < 0.5 < max(rows)
    at = rows[chosen.static_lambda]
    # the threshold that the theory predicts: the own expert is the nearest above λ = 1/2
    assert rows[0.3]["nearest"] < 0.5 < at["nearest"]
    assert curve["base"] < at["static"] < at["hard_routed"] < curve["expert"]
    families = [row["experts"] for row in report["ablation"]]
    assert families == ["plain", "preserve and drift", "disentangled"]
    assert all(row["curve"]["rows"] for row in report["ablation"])
