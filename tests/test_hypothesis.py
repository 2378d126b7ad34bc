"""Why a suite routes as it does: shares, margins, bias, the map and displacements."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from labelled import plane_engine, plane_sets

from semerge.data.sets import suite_sets
from semerge.engine import Engine
from semerge.evaluation import hypothesis
from semerge.evaluation.figures import COLUMNS, limits, limits_of_mean, wilson
from semerge.evaluation.hypothesis import (
    Displacements,
    auroc,
    describe,
    displacements,
    pooled,
    share,
    verdict,
)
from semerge.evaluation.measure import BASE, Interrupted, Plan, measure
from semerge.evaluation.plane import Plane
from semerge.probes import key_at
from semerge.suites.report import rounded

# ---- shares -------------------------------------------------------------------------------------


def test_intervals_of_a_mean_over_tasks() -> None:
    def task(hits: int, n: int) -> dict[str, float]:
        return {"n": n, **dict.fromkeys(COLUMNS, hits / n)}

    one = {"a": task(8, 10)}
    assert limits(one)["a"]["routing"] == wilson(8, 10)
    assert limits_of_mean(one)["routing"] == pytest.approx(wilson(8, 10))
    # of four alike tasks it is half as wide as of one
    four = {name: task(8, 10) for name in "abcd"}
    low, high = limits_of_mean(four)["se_routed"]
    assert (0.8 - low, high - 0.8) == pytest.approx(
        [(0.8 - 0.4902) / 2, (0.9433 - 0.8) / 2], abs=1e-4
    )
    # and it stays within 0 and 1 at the ends
    low, high = limits_of_mean({"a": task(6, 6), "b": task(12, 12)})["expert"]
    assert high == 1.0 and 0.7 < low < 1.0
    assert limits_of_mean({}) == {}


def test_intervals_of_wilson() -> None:
    assert wilson(8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert wilson(0, 10) == pytest.approx((0.0, 0.2775), abs=1e-4)
    assert wilson(10, 10) == pytest.approx((0.7225, 1.0), abs=1e-4)
    assert wilson(0, 0) == (0.0, 1.0)
    for n in (1, 3, 50):
        for hits in range(n + 1):
            low, high = wilson(hits, n)
            assert 0 <= low <= hits / n <= high <= 1
    assert share(torch.tensor([True, False, True, True]))["share"] == 0.75
    both = pooled(
        [share(torch.arange(4) < 3), share(torch.arange(0) < 1), share(torch.arange(6) < 3)]
    )
    assert (both["share"], both["n"]) == (0.6, 10) and (both["low"], both["high"]) == wilson(6, 10)


def test_auroc_counts_pairs() -> None:
    low, high = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([2.0, 4.0])
    assert auroc(low, high) == pytest.approx((1 + 0.5 + 3) / 6)
    assert auroc(high, low) == pytest.approx(1 - 4.5 / 6)
    assert auroc(low, low[:0]) is None


# ---- hypothesis ---------------------------------------------------------------------------------


def test_margins_by_hand() -> None:
    d = torch.tensor([[1.0, 2.0, 4.0], [3.0, 3.0, 9.0], [8.0, 2.0, 2.5], [0.0, 0.0, 1.0]])
    d = torch.cat([d, torch.tensor([[torch.nan, 1.0, 2.0]])])
    assert hypothesis.margin_of(d).tolist() == pytest.approx([0.5, 0.0, 0.2, 0.0, 0.0])
    found = hypothesis.margins(d, torch.tensor([0, 0, 0, 1, 1]))
    assert found["n"] == 5 and found["mean"] == pytest.approx(0.14)
    assert sum(found["right"]) == 3 and sum(found["misrouted"]) == 2
    assert found["right"][0] == 2 and found["right"][10] == 1 and found["misrouted"][4] == 1
    assert found["quantiles"]["0.5"] == 0.0


def test_the_plane_of_a_map_is_the_principal_one() -> None:
    rows = torch.randn(50, 6, generator=torch.Generator().manual_seed(0))
    rows = rows * torch.tensor([9.0, 4.0, 0.1, 0.1, 0.1, 0.1]) + 5
    plane = Plane.of(rows)
    places, explained = plane.places(rows), plane.explained
    centred = rows.double() - rows.double().mean(0)
    assert torch.pdist(places) == pytest.approx(torch.pdist(centred), abs=0.3)
    assert float(places[:, 0] @ places[:, 1]) == pytest.approx(0.0, abs=1e-6)
    total = float(centred.square().sum())
    assert explained[0] == pytest.approx(float(places[:, 0].square().sum()) / total)
    assert explained[0] > explained[1] > 0.01 and sum(explained) < 1
    again = Plane.of(rows.flip(0)).places(rows)
    assert again == pytest.approx(places, abs=1e-6)  # signs are fixed
    alike = Plane.of(torch.ones(3, 1))
    assert not alike.places(torch.ones(3, 1)).any() and alike.explained == (0.0, 0.0)
    assert plane.share(rows[0]) > 0.9 and alike.share(torch.ones(1)) == 1.0
    off = plane.mean + 3 * plane.axes[0] + 4 * orthogonal(plane)
    assert plane.share(off) == pytest.approx(9 / 25)


def orthogonal(plane: Plane) -> torch.Tensor:
    """A direction that the plane does not see, of length 1."""
    start = torch.ones_like(plane.mean)
    rest = start - (start @ plane.axes.mT) @ plane.axes
    return rest / rest.norm()


def test_a_report_keeps_the_plane_of_its_map() -> None:
    rows = torch.randn(20, 5, generator=torch.Generator().manual_seed(1))
    plane = Plane.of(rows)
    kept = rounded({"explained": plane.explained, **plane.stored()})
    read = Plane.read(kept)
    assert read is not None and read.explained == pytest.approx(plane.explained, abs=1e-6)
    assert read.places(rows) == pytest.approx(plane.places(rows), abs=1e-4)
    assert Plane.read({"explained": [0.5, 0.25]}) is None  # a report of before
    for wrong in ({"axes": [[1.0]]}, {"axes": [[math.nan] * 5] * 2}, {"mean": 3.0}):
        with pytest.raises((ValueError, TypeError)):
            Plane.read({**kept, **wrong})


def test_bias_is_nothing_where_the_right_expert_is_taken(engine: Engine, home: Path) -> None:
    sets = suite_sets(engine.suite, home / "data").sets
    tasks = torch.tensor([engine.suite.index(s.task) for s in sets for _ in range(len(s))])
    own = torch.nn.functional.one_hot(tasks, 3).double()
    found = hypothesis.representation_bias(engine, sets, own)
    assert found["n"] == 36 and found["average"]["se"] == pytest.approx(0.0, abs=1e-5)
    assert found["average"]["static"] > 0.01 and found["se_nearer"]["share"] == 1.0
    static = torch.full((36, 3), engine.suite.defaults.static_lambda, dtype=torch.float64)
    found = hypothesis.representation_bias(engine, sets, static)
    for row in (found["average"], *found["tasks"].values()):
        assert row["se"] == pytest.approx(row["static"], rel=1e-4)
    with pytest.raises(Interrupted):
        hypothesis.representation_bias(engine, sets, own, lambda: True)


# ---- displacements ------------------------------------------------------------------------------


def test_the_prediction_is_exact_where_the_model_is_linear() -> None:
    engine, sets = plane_engine(), plane_sets()
    point = (1, "mean")
    moved = displacements(engine, sets, point, 0.7)
    # wide: (10, 1) goes to (10, 3) under `wide` and to (30, 1) under `tall`
    assert moved.gram[0].tolist() == [[4.0, 0.0], [0.0, 400.0]]
    assert moved.sizes()[0].tolist() == [2.0, 20.0]
    # the two moves are at right angles, so the merged model goes λ of each
    assert moved.alphas()[0].tolist() == pytest.approx([0.7, 0.7])
    scales = (BASE, 0.1, 0.7)
    keys = tuple(key_at("experts" if scale else "base", *point, scale) for scale in scales)
    measured = measure(engine, sets, Plan(keys))
    for scale, key in zip(scales, keys, strict=True):
        assert moved.distances(scale) == pytest.approx(measured.distances[key].double(), rel=1e-5)
    found = describe(engine.suite, moved, point, {0.1: measured.distances[keys[1]]})
    assert found["tasks"]["wide"]["own"] == pytest.approx((2 + 6 + 20) / 3)
    assert found["tasks"]["wide"]["ratio"] == pytest.approx((2 + 6 + 20) / (20 + 20 + 6))
    assert found["tasks"]["wide"]["rho"] == pytest.approx((20 + 20 + 6) / (2 + 6 + 20))
    assert found["tasks"]["wide"]["alpha"] == pytest.approx(0.7)
    assert found["moves_least"]["share"] == 0.8  # (3, 10) of wide is the wrong way round
    assert found["drift_correlation"] == 0.0
    rows = {row["lambda"]: row for row in found["curve"]}
    assert rows[0.1]["measured"] == rows[0.1]["predicted"] and "measured" not in rows[0.2]
    assert "nearest for 80% of the samples at λ 0.1" in verdict(found, 0.1)


def test_drifts_that_pile_up_hide_the_own_expert() -> None:
    """Three experts on one line: the own one stays, the others go the same way."""
    delta = torch.tensor([[0.1, 4.0, 5.0], [4.0, 0.1, 5.0], [4.0, 5.0, 0.1]], dtype=torch.float64)
    gram = delta[:, :, None] * delta[:, None, :]
    moved = Displacements(torch.arange(3), gram, 0.1 * gram.sum(2))
    assert moved.cosines() == pytest.approx(torch.ones(3, 3, 3).double())
    suite = plane_engine().suite
    suite = replace(suite, tasks=(*suite.tasks, replace(suite.tasks[0], name="third")))
    found = describe(suite, moved, (1, "mean"), {})
    shares = {row["lambda"]: row["predicted"]["share"] for row in found["curve"]}
    assert shares[0.05] == 1.0 and shares[0.5] == 0.0 and found["drift_correlation"] == 1.0
    assert "Probe at λ 0.2 or below" in verdict(found, 0.5)
    own_moves_most = Displacements(torch.tensor([1, 2, 0]), moved.gram, moved.along)
    assert "wrong one at any λ" in verdict(describe(suite, own_moves_most, (1, "mean"), {}), 0.5)
