"""Routing: every preset against its formula by hand, by properties, and at the edges."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from reference import weights as reference_weights
from torch import Tensor

from semerge.routing import Routing, normalise, route, similarity, softmax
from semerge.settings import MASSES, NORMALISERS, PRESETS, SIMILARITIES, Resolved

E = math.e


def resolved(preset: str, **changes: object) -> Resolved:
    p = PRESETS[preset]
    settings = Resolved(
        probe="experts",
        layer=1,
        pool="all",
        preset=preset,
        head="auto",
        method="task_arithmetic",
        static_lambda=0.3,
        probe_lambda=0.3,
        similarity=p.similarity,
        normalise=p.normalise,
        temperature=p.temperature,
        mass=p.mass,
        hard=p.hard,
    )
    return replace(settings, **changes)


def one(distances: list[float], preset: str = "literal", **changes: object) -> Routing:
    return route(torch.tensor([distances]), resolved(preset, **changes))


def row(tensor: Tensor | np.ndarray) -> list[float]:
    return tensor[0].tolist()


# ---- by hand ---------------------------------------------------------------------------------
# distances 1, 2, 4: inverse 1, 1/2, 1/4; minmax (1, 1/3, 0)


def test_literal_by_hand() -> None:
    r = one([1.0, 2.0, 4.0])
    assert row(r.similarities) == pytest.approx([1, 1 / 3, 0])
    total = E + E ** (1 / 3) + 1
    w = [E / total, E ** (1 / 3) / total, 1 / total]
    assert row(r.weights) == pytest.approx(w)
    assert row(r.coefficients) == pytest.approx([3 * 0.3 * x for x in w])
    assert r.margin.item() == pytest.approx(0.5)
    assert r.entropy.item() == pytest.approx(-sum(x * math.log(x) for x in w) / math.log(3))


def test_sharp_by_hand() -> None:
    r = one([1.0, 2.0, 4.0], "sharp")
    total = E**10 + E ** (10 / 3) + 1
    assert row(r.coefficients) == pytest.approx([E**10 / total, E ** (10 / 3) / total, 1 / total])


def test_hard_by_hand() -> None:
    r = one([2.0, 1.0, 4.0], "hard")
    assert row(r.coefficients) == [0.0, 1.0, 0.0]
    assert r.chosen.item() == 1
    assert str(r.entropy.item()) == "0.0"  # not -0.0


def test_zscore_by_hand() -> None:
    """MASS's router: z = (1, 2, 2) less its part in the spans of e1, e2 and (0, .6, .8)."""
    r = one([8**0.5, 5**0.5, 1.077033], "zscore")
    assert row(r.similarities) == pytest.approx([-0.876976, -0.212037, 1.089013], abs=1e-6)
    assert row(r.weights) == pytest.approx([0.099144, 0.192773, 0.708083], abs=1e-6)
    assert row(r.coefficients) == pytest.approx([0.0892296, 0.1734957, 0.6372747], abs=1e-6)


def test_zscores_of_two_are_the_same_however_far_they_are() -> None:
    """Half their difference over its sqrt(1/2), so sqrt(1/2) either way."""
    for far in (1.5, 1000.0):
        assert row(one([1.0, far], "zscore").similarities) == pytest.approx(
            [0.5**0.5, -(0.5**0.5)], rel=1e-5
        )


@pytest.mark.parametrize(
    ("kind", "how", "expected"),
    [
        ("inverse", "none", [1, 0.5, 0.25]),
        ("inverse", "sum", [4 / 7, 2 / 7, 1 / 7]),
        ("inverse", "minmax", [1, 1 / 3, 0]),
        ("negative", "none", [-1, -2, -4]),
        ("negative", "sum", [-1 / 7, -2 / 7, -4 / 7]),
        ("negative", "minmax", [1, 2 / 3, 0]),
        # mean -7/3, deviations 4/3, 1/3, -5/3, sample variance 7/3
        ("negative", "zscore", [d / 3 / ((7 / 3) ** 0.5 + 1e-6) for d in (4, 1, -5)]),
    ],
)
def test_similarities_by_hand(kind: str, how: str, expected: list[float]) -> None:
    r = one([1.0, 2.0, 4.0], similarity=kind, normalise=how)
    assert row(r.similarities) == pytest.approx(expected)


def test_flat_softmax_of_sums() -> None:
    """Why `sum` is no default: eight tasks, one clearly nearer, and the weights hardly move."""
    r = one([0.6, *[1.0] * 7], normalise="sum")
    assert row(r.weights)[0] == pytest.approx(0.134, abs=1e-3)


def test_minmax_at_temperature_one_is_bounded() -> None:
    r = one([1e-6, *[1.0] * 7])
    assert row(r.weights)[0] == pytest.approx(E / (E + 7))


def test_quantised_by_hand() -> None:
    """Sharp weights (.9986, .0013, .00005) of four parts: all go to the first. Literal ones, which
    are (.532, .273, .196): floors of a fifth leave 2, 1, 0 and two parts to hand out, by the
    remainders .66, .36, .98 to the last and the first."""
    assert row(one([1.0, 2.0, 4.0], "sharp", quantise=4).coefficients) == [1.0, 0.0, 0.0]
    r = one([1.0, 2.0, 4.0], quantise=5)
    assert row(r.weights) == pytest.approx([0.532, 0.273, 0.196], abs=1e-3)
    assert row(r.coefficients) == pytest.approx([0.9 * 3 / 5, 0.9 / 5, 0.9 / 5])


def test_quantised_equals_are_shared_out_in_order() -> None:
    assert row(one([1.0, 1.0, 1.0], "sharp", quantise=2).coefficients) == [0.5, 0.5, 0.0]
    assert row(one([1.0, 1.0, 1.0], "sharp", quantise=3).coefficients) == pytest.approx([1 / 3] * 3)


# ---- properties ------------------------------------------------------------------------------

distance = st.floats(2.0**-10, 2.0**10, width=32)
batches = st.integers(2, 9).flatmap(
    lambda t: st.lists(st.lists(distance, min_size=t, max_size=t), min_size=1, max_size=4)
)
readings = st.one_of(
    st.just(resolved("hard")),
    st.builds(
        lambda similarity, normalise, temperature, mass: resolved(
            "literal",
            similarity=similarity,
            normalise=normalise,
            temperature=temperature,
            mass=mass,
        ),
        st.sampled_from(SIMILARITIES),
        st.sampled_from(NORMALISERS),
        st.floats(0.05, 10),
        st.sampled_from(MASSES),
    ),
)


@given(batches, readings, st.integers(1, 100))
def test_quantised_coefficients_are_the_nearest_whole_parts(
    rows: list[list[float]], how: Resolved, parts: int
) -> None:
    d = torch.tensor(rows)
    mass = 1.0 if how.mass == "1" else d.shape[1] * 0.3
    free, r = route(d, how), route(d, replace(how, quantise=parts))
    assert torch.equal(r.weights, free.weights)
    shares = r.coefficients / mass * parts
    assert torch.allclose(shares, shares.round())
    assert torch.allclose(r.coefficients.sum(1), torch.full((len(d),), mass, dtype=torch.float64))
    assert bool(((shares - free.weights * parts).abs() < 1 + 1e-6).all())


@given(batches, readings)
def test_weights_are_a_softmax_of_the_nearest(rows: list[list[float]], how: Resolved) -> None:
    d = torch.tensor(rows)
    r = route(d, how)
    tasks = d.shape[1]
    mass = 1.0 if how.mass == "1" else tasks * 0.3
    assert torch.all(r.weights >= 0)
    assert torch.allclose(r.weights.sum(1), torch.ones(len(d), dtype=torch.float64))
    assert torch.allclose(r.coefficients, mass * r.weights)
    # the chosen expert is the nearest, and nobody weighs more
    assert torch.equal(d.gather(1, r.chosen[:, None])[:, 0], d.amin(1))
    chosen = r.weights.gather(1, r.chosen[:, None])[:, 0]
    assert torch.all(chosen >= r.weights.amax(1) - 1e-12)
    assert torch.all((r.margin >= 0) & (r.margin <= 1))
    assert torch.all((r.entropy >= 0) & (r.entropy <= 1))


@given(batches, readings)
def test_equals_the_plain_formula(rows: list[list[float]], how: Resolved) -> None:
    d = torch.tensor(rows)
    r = route(d, how)
    for i, distances in enumerate(d.double().tolist()):
        spread = max(distances) - min(distances)
        if spread > 1e-5 * sum(distances):
            expected = reference_weights(distances, how)
            assert r.weights[i].tolist() == pytest.approx(expected, rel=1e-7, abs=1e-9)


@given(batches, readings, st.floats(0.01, 100))
def test_nearer_never_weighs_less(rows: list[list[float]], how: Resolved, scale: float) -> None:
    d = torch.tensor(rows)
    r = route(d, how)
    sorted_weights = r.weights.gather(1, d.argsort(dim=1))
    if not how.hard:
        assert torch.all(sorted_weights[:, :-1] >= sorted_weights[:, 1:] - 1e-12)
    # minmax and sum do not see the unit of a distance; zscore does, by what is added to its std
    if how.normalise in ("minmax", "sum"):
        scaled = route(d.double() * scale, how)
        clear = (d.amax(1) - d.amin(1)) > 1e-5 * d.mean(1)
        assert torch.allclose(scaled.weights[clear], r.weights[clear], atol=1e-6)


@given(batches, readings)
def test_rows_do_not_see_each_other(rows: list[list[float]], how: Resolved) -> None:
    d = torch.tensor(rows)
    together = route(d, how)
    for i in range(len(d)):
        alone = route(d[i : i + 1], how)
        assert torch.allclose(together.weights[i], alone.weights[0], rtol=1e-12, atol=1e-15)


def test_temperature_to_zero_is_hard() -> None:
    r = one([1.0, 1.1, 4.0], temperature=1e-300)
    assert row(r.weights) == [1.0, 0.0, 0.0]


# ---- edges -----------------------------------------------------------------------------------


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("distances", [[2.0, 2.0, 2.0], [0.0, 0.0, 0.0], [1.0, 1.0 + 5e-7, 1.0]])
def test_equal_distances_give_equal_coefficients(preset: str, distances: list[float]) -> None:
    r = one(distances, preset)
    mass = 1.0 if PRESETS[preset].mass == "1" else 0.9
    assert row(r.coefficients) == pytest.approx([mass / 3] * 3)
    assert row(r.similarities) == [0.0, 0.0, 0.0]
    assert r.entropy.item() == pytest.approx(1.0)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("how", NORMALISERS)
@pytest.mark.parametrize("kind", SIMILARITIES)
def test_a_zero_distance_wins(preset: str, how: str, kind: str) -> None:
    r = one([1.0, 0.0, 1.0, 1e-30], preset, normalise=how, similarity=kind)
    assert r.chosen.item() == 1
    assert torch.isfinite(r.coefficients).all()
    assert r.weights.argmax().item() in (1, 3)  # 1e-30 and 0 are the same to a float
    assert r.margin.item() == 1.0


def test_the_first_of_two_equals_is_chosen() -> None:
    r = one([2.0, 1.0, 1.0], "hard")
    assert (r.chosen.item(), r.margin.item()) == (1, 0.0)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("preset", PRESETS)
def test_distances_that_are_not_finite_fall_back(preset: str, bad: float) -> None:
    r = route(
        torch.tensor([[3.0, bad, 2.0], [3.0, 1.0, 2.0]]), resolved(preset, static_lambda=0.25)
    )
    assert r.coefficients[0].tolist() == [0.25] * 3
    assert r.chosen.tolist() == [2, 1]
    assert r.flags["fallback"].tolist() == [True, False]
    assert torch.isfinite(r.weights).all()
    assert (r.margin[0].item(), r.entropy[0].item()) == (0.0, pytest.approx(1.0))


def test_nothing_finite_falls_back_too() -> None:
    r = one([math.nan] * 3, "hard")
    assert row(r.coefficients) == [0.3] * 3
    assert r.chosen.item() == 0


def test_flags_follow_their_thresholds() -> None:
    d = torch.tensor([[1.0, 1.01, 5.0], [1.0, 2.0, 5.0], [9.0, 9.5, 10.0], [math.nan, 1, 1]])
    r = route(d, resolved("sharp"), {"near_tie": 0.02, "flat": 0.2, "far": 8.0})
    assert r.flags["near_tie"].tolist() == [True, False, False, False]
    assert r.flags["flat"].tolist() == [False, False, True, False]
    assert r.flags["far"].tolist() == [False, False, True, False]
    off = route(d, resolved("sharp"), {"near_tie": None, "flat": None, "far": None})
    assert not any(off.flags[name].any() for name in ("near_tie", "flat", "far"))


def test_mass_uses_the_static_lambda_alone() -> None:
    changed = resolved("literal", probe_lambda=0.05)
    r = route(torch.tensor([[1.0, 2.0]]), replace(changed, static_lambda=0.4))
    assert r.coefficients.sum().item() == pytest.approx(0.8)


@pytest.mark.parametrize("shape", [(4, 1), (3,), (1, 2, 3)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="T >= 2"):
        route(torch.ones(shape), resolved("sharp"))


def test_inputs_are_not_written() -> None:
    d = torch.tensor([[3.0, math.nan, 2.0]])
    before = d.clone()
    route(d, resolved("sharp"))
    assert torch.equal(d.nan_to_num(), before.nan_to_num())


def test_the_steps_alone() -> None:
    s = similarity(np.array([[1.0, 3.0]]), "inverse")
    assert row(s) == pytest.approx([1 / (1 + 2e-12), 1 / (3 + 2e-12)], rel=1e-15)
    equal = np.ones((1, 3))
    assert row(normalise(equal, "minmax")) == [0, 0, 0]
    assert row(normalise(equal, "zscore")) == [0, 0, 0]
    assert row(softmax(np.array([[1e300, 0.0]]), 1e-3)) == [1.0, 0.0]
