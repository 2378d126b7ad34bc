"""Methods that learn coefficients from samples, and OTA: by hand, by gradients that are written out
once more, and on models."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from chain import chain, merged
from labelled import DATA
from matrix_models import agree, random
from merging import effective, of_tensors, vectors_of
from torch import Tensor

from semerge.data.samples import source
from semerge.engine import Engine, load_engine
from semerge.methods import METHODS
from semerge.methods.adamerging import entropy
from semerge.methods.concrete import mask
from semerge.methods.descent import combined, descend, drawn, gradient, scaled, tensors
from semerge.methods.expert_merging import lacking
from semerge.methods.fw_merging import frank_wolfe
from semerge.methods.mwa import weights
from semerge.methods.ota import moment
from semerge.methods.self_positioning import position
from semerge.suites import read_suite
from semerge.task_vectors import TaskVectors


@pytest.fixture(scope="module")
def made(folder: Path) -> tuple[Engine, Any]:
    DATA[read_suite(folder).modality](folder.parent / "data")
    engine = load_engine(folder)
    return engine, source(engine.suite, folder.parent / "data")(engine.models, True)


def some() -> Any:
    """Three experts of two maps, and their points."""
    experts = [[random(3, 3, seed=t), random(3, 3, seed=10 + t)] for t in range(3)]
    labels = [[0, 1, 2, 0, 1]] * 3
    return chain(experts, [random(5, 3, seed=20 + t) for t in range(3)], labels)


# ---- merges that can be differentiated -----------------------------------------------------------


def test_a_merge_by_tensor_is_the_sum_by_tensor(made: tuple[Engine, Any]) -> None:
    vectors = made[0].models.vectors
    names = tensors(vectors)
    assert len(names) == len(set(names)) and set(names) < set(vectors.base())
    c = random(len(names), 3).float()
    base, experts = vectors.base(), [vectors.expert(t) for t in range(3)]
    found, terms = combined(vectors, c), merged(scaled(vectors, c))
    assert found.keys() == base.keys()
    for name, x in found.items():
        own = c[names.index(name)] if name in names else [0.0] * 3
        expected = base[name] + sum(
            a * (e[name] - base[name]) for a, e in zip(own, experts, strict=True)
        )
        agree(x, expected)
        agree(terms[name], expected)
    one = random(1, 3).float()
    for name, x in combined(vectors, one).items():
        agree(x, vectors.merge(one[0])[name])


def test_its_gradient_is_that_of_differences(made: tuple[Engine, Any]) -> None:
    """Along a direction of chance, and none of what is shared is written or marked."""
    engine, samples = made
    vectors, rows = engine.models.vectors, [[0, 1], [2, 3], [0, 3]]

    def loss(t: int, params: Any, of: Any) -> Tensor:
        return entropy(samples.logits(params, t, samples.tasks[t].read(of)))

    start = torch.full((len(tensors(vectors)), 3), 0.3)
    (slope,) = gradient(lambda c: combined(vectors, c), [start], loss, [*enumerate(rows)])
    direction = random(*start.shape).float() / 10
    ends = []
    for sign in (1, -1):
        params = combined(vectors, start + sign * 1e-2 * direction)
        ends.append(sum(float(loss(t, params, of)) for t, of in enumerate(rows)))
    assert float((slope * direction).sum()) == pytest.approx((ends[0] - ends[1]) / 2e-2, rel=0.02)
    assert engine.verify_weights()
    assert not any(x.requires_grad for x in vectors.tensors())


def test_each_sample_is_drawn_before_any_comes_again() -> None:
    draws = drawn(10, seed=3, size=4)
    first, second, third = (next(draws) for _ in range(3))
    assert len({*first, *second}) == 8 and len(third) == 4
    again = drawn(10, seed=3, size=4)
    assert [next(again) for _ in range(3)] == [first, second, third]
    assert sorted(next(drawn(3, 0))) == [0, 1, 2]
    assert first != next(drawn(10, seed=4, size=4))


def test_the_descent_is_adams() -> None:
    vectors, samples = some()

    def loss(t: int, params: Any, rows: Any) -> Tensor:
        return entropy(samples.logits(params, t, samples.tasks[t].read(rows)))

    (found,) = descend(
        samples,
        lambda c: combined(vectors, c),
        [torch.full((2, 3), 0.3)],
        loss,
        updates=5,
        rate=0.01,
        per_task=5,
        draw=0,
    )
    x = torch.nn.Parameter(torch.full((2, 3), 0.3))
    adam = torch.optim.Adam([x], lr=0.01)
    for _ in range(5):  # of five samples each is in every step
        adam.zero_grad()
        params = combined(vectors, x)
        sum(loss(t, params, range(5)) for t in range(3)).backward()
        adam.step()
    torch.testing.assert_close(found, x.detach(), atol=1e-6, rtol=0)
    assert (found - 0.3).abs().min() > 1e-3


# ---- AdaMerging ----------------------------------------------------------------------------------


def test_adamerging_by_hand() -> None:
    assert float(entropy(torch.tensor([[2.0, 0.0, 0.0]]))) == pytest.approx(0.665573, abs=1e-6)
    assert float(entropy(torch.tensor([[0.6, 0.0]]))) == pytest.approx(0.650094, abs=1e-6)
    vectors, samples = chain([[[[2.0], [0.0]]]], [[[1.0]]])

    def loss(t: int, params: Any, rows: Any) -> Tensor:
        return entropy(samples.logits(params, t, samples.tasks[t].read(rows)))

    (slope,) = gradient(lambda c: combined(vectors, c), [torch.tensor([[0.3]])], loss, [(0, [0])])
    assert float(slope) == pytest.approx(-0.274541, abs=1e-6)
    for learned in ("tensor", "task"):
        found = METHODS["adamerging"].function(vectors, samples, updates=1, learned=learned)
        agree(merged(found)["w1"], [[0.602], [0.0]])


def lengths(vectors: TaskVectors, t: int = 0) -> list[Tensor]:
    """‖τt‖ by tensor."""
    views = [s.unflatten(d) for s, d in zip(vectors.segments, vectors.deltas(t), strict=True)]
    own = zip(vectors.segments, views, strict=True)
    return [view[name].norm() for segment, view in own for name in segment.own]


@pytest.mark.parametrize("learned", ["tensor", "task"])
def test_adamerging_makes_the_merge_surer(made: tuple[Engine, Any], learned: str) -> None:
    engine, samples = made
    options = {"learned": learned, "updates": 8, "rate": 0.02}
    vectors = engine.models.vectors
    found = METHODS["adamerging"].function(vectors, samples, **options)

    def unsure(params: dict[str, Tensor]) -> float:
        return sum(
            float(entropy(samples.logits(params, t, samples.tasks[t].read(range(4)))))
            for t in range(3)
        )

    assert unsure(merged(found)) < unsure(vectors.merge(torch.full((3,), 0.3))) - 1e-3
    shares = {
        round(float(x / y), 4) for x, y in zip(lengths(found), lengths(vectors), strict=True) if y
    }
    assert len(shares) > 3 if learned == "tensor" else max(shares) - min(shares) < 1e-3
    again = METHODS["adamerging"].function(vectors, samples, **options)
    assert all(map(torch.equal, found.tensors(), again.tensors()))
    assert engine.verify_weights()


def test_adamerging_keeps_coefficients_between_0_and_1() -> None:
    vectors, samples = chain([[[[2.0], [0.0]]]], [[[1.0]]])
    for clamp, most in ((True, 2.0), (False, 3.0)):
        found = METHODS["adamerging"].function(
            vectors, samples, updates=6, rate=0.3, clamp=clamp, per_task=1
        )
        share = float(merged(found)["w1"][0])
        assert share == pytest.approx(most) if clamp else share > most


def test_adamerging_of_trimmed_vectors_is_plus_plus() -> None:
    vectors, samples = some()
    trimmed = METHODS["ties"].function(vectors, density=0.2, merge="sum")
    found = METHODS["adamerging"].function(vectors, samples, updates=1, rate=1e-6, trimmed=True)
    for name, x in merged(found).items():
        agree(x, merged(trimmed, 0.3)[name], 1e-4)


# ---- Concrete ------------------------------------------------------------------------------------


def test_concrete_by_hand() -> None:
    segment = of_tensors({"w": torch.ones(1, 3)}).segments[0]
    found = mask(segment, torch.zeros(3), torch.tensor([0.5, 0.8, 0.2]))
    agree(found, [1.0, 1.882353, 0.117647])
    surely = mask(segment, torch.tensor([9.0, 9.0, -90.0]), torch.tensor([0.0, 1.0, 0.5]))
    assert surely.isfinite().all() and surely[2] == 0


def test_concrete_has_one_mask_for_all_and_makes_the_merge_surer(made: tuple[Engine, Any]) -> None:
    engine, samples = made
    vectors = engine.models.vectors
    few, more = (
        METHODS["concrete"].function(vectors, samples, updates=n, rate=0.1) for n in (1, 12)
    )

    def unsure(found: TaskVectors) -> float:
        params = merged(found, 0.3)
        return sum(
            float(entropy(samples.logits(params, t, samples.tasks[t].read(range(4)))))
            for t in range(3)
        )

    assert unsure(more) < unsure(few)
    for own, found in zip(vectors.deltas(), more.deltas(), strict=True):
        masks = torch.where(own.abs() > 1e-3, found / own, torch.nan)
        spread = masks.nan_to_num(-1.0).amax(0) - masks.nan_to_num(99.0).amin(0)
        assert (spread < 1e-2).all()
        assert (masks.nan_to_num(0.0) >= -1e-3).all()
    again = METHODS["concrete"].function(vectors, samples, updates=12, rate=0.1)
    assert all(map(torch.equal, more.tensors(), again.tensors()))
    other = METHODS["concrete"].function(vectors, samples, updates=1, rate=0.1, draw=1)
    assert not torch.equal(other.segments[1].weights, few.segments[1].weights)
    assert engine.verify_weights()


# ---- Expert Merging ------------------------------------------------------------------------------

PAIR = [[torch.diag(torch.tensor([2.0, 0.0]))], [torch.diag(torch.tensor([0.0, 2.0]))]]
POINTS = [[[1.0, 0.5]], [[0.5, 1.0]]]


@pytest.mark.parametrize(
    ("share", "answers", "inner"), [(0.1, 1.312634, 3.25), (0.5, 1.067357, 1.25)]
)
def test_expert_merging_by_hand(share: float, answers: float, inner: float) -> None:
    vectors, samples = chain(PAIR, POINTS)
    params = vectors.merge(torch.full((2,), share))
    for middle, expected in ((None, answers), (1, answers + inner)):
        found = sum(lacking(samples, t, params, vectors.expert(t), [0], middle) for t in range(2))
        assert float(found) == pytest.approx(expected, abs=1e-5)
    assert 5 * 2 * abs(share - 0.1) == pytest.approx({0.1: 0.0, 0.5: 4.0}[share])


@pytest.mark.parametrize(
    ("maps", "expected"),
    [
        (PAIR, [0.8, 0.8]),
        ([[torch.eye(2)], [torch.tensor([[1.0, 1.0], [0.0, 0.0]])]], [0.090909, 0.787879]),
    ],
)
def test_expert_merging_ends_at_the_closed_form(maps: Any, expected: list[float]) -> None:
    """Of one map, by the inner loss: G λ = b, Gij = Σt τi xt · τj xt, bi = Σt τi xt · τt xt."""
    vectors, samples = chain(maps, POINTS)

    def inner(t: int, params: Any, rows: Any) -> Tensor:
        expert = vectors.expert(t)
        whole = lacking(samples, t, params, expert, rows, 1)
        return whole - lacking(samples, t, params, expert, rows, None)

    (found,) = descend(
        samples,
        lambda logits: combined(vectors, logits.sigmoid()),
        [torch.full((1, 2), -1.0)],
        inner,
        updates=400,
        rate=0.1,
        per_task=1,
        draw=0,
    )
    agree(found.sigmoid()[0], expected, 2e-3)


def test_expert_merging_is_nearer_to_its_experts(made: tuple[Engine, Any]) -> None:
    engine, samples = made
    vectors = engine.models.vectors
    found = METHODS["expert_merging"].function(vectors, samples, updates=8)

    def lacks(params: dict[str, Tensor]) -> float:
        rows = range(4)
        return sum(float(lacking(samples, t, params, vectors.expert(t), rows, 1)) for t in range(3))

    start = METHODS["expert_merging"].function(vectors, samples, updates=8, drift=100.0)
    assert lacks(merged(found)) < lacks(merged(start)) - 1e-3
    for name, x in merged(found).items():  # what is no matrix is averaged
        if not any(name in segment.matrices for segment in vectors.segments):
            agree(x, vectors.merge(torch.full((3,), 1 / 3))[name])
    assert engine.verify_weights()


# ---- Self Positioning ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("a", "length", "expected"),
    [([0.0, 0.0], 1.0, [2.474874, 2.474874]), ([math.log(3), 0.0], 1.2, [3.699865, 1.233288])],
)
def test_self_positioning_by_hand(a: list[float], length: float, expected: list[float]) -> None:
    taus = torch.tensor([[3.0, 0.0], [0.0, 4.0]])
    c = position(taus @ taus.mT, torch.tensor(a), torch.tensor(length))
    agree(c @ taus, expected)


def test_a_position_without_a_direction_is_the_base() -> None:
    for taus in (torch.tensor([[1.0, 2.0], [-1.0, -2.0]]), torch.zeros(2, 2)):
        assert not position(taus @ taus.mT, torch.zeros(2), torch.ones(())).any()
    one = torch.tensor([[0.0, 0.0], [3.0, 4.0]])  # a task vector that is zero has no direction
    c = position(one @ one.mT, torch.zeros(2), torch.ones(()))
    agree(c @ one, [1.5, 2.0])


@pytest.mark.parametrize("name", ["self_positioning", "fw_merging"])
def test_labels_lower_the_loss(made: tuple[Engine, Any], name: str) -> None:
    engine, samples = made
    vectors, rows = engine.models.vectors, range(4)
    few, more = (
        ({"updates": 1}, {"updates": 12})
        if name == "self_positioning"
        else (
            {"rounds": 1},
            {"rounds": 5},
        )
    )

    def loss(options: dict[str, int]) -> float:
        params = merged(METHODS[name].function(vectors, samples, **options))
        return sum(float(samples.loss(params, t, rows)) for t in range(3))

    assert loss(more) < loss(few) - 1e-3
    assert engine.verify_weights()


def test_a_loss_is_that_of_guessing_where_nothing_is_known() -> None:
    vectors, samples = some()
    nothing = {name: torch.zeros_like(x) for name, x in vectors.base().items()}
    assert float(samples.loss(nothing, 0, range(5))) == pytest.approx(1.0)
    params, x = vectors.expert(1), samples.tasks[1].read(range(5)).data
    z = (x @ params["w1"].mT @ params["w2"].mT).double()
    wanted = -z.log_softmax(-1)[range(5), [0, 1, 2, 0, 1]].mean() / math.log(3)
    assert float(samples.loss(params, 1, range(5))) == pytest.approx(float(wanted), rel=1e-5)


# ---- Frank-Wolfe ---------------------------------------------------------------------------------


def test_frank_wolfe_chooses_by_inner_products() -> None:
    g, vertices = torch.tensor([1.0, -2.0]), torch.tensor([[2.0, 1.0], [0.0, 1.0], [-3.0, 0.0]])
    found = frank_wolfe(lambda c: (vertices @ g)[None], torch.zeros(1, 3), 1, search=False)
    assert found.tolist() == [[0.0, 0.0, 1.0]]
    away = frank_wolfe(lambda c: torch.tensor([[1.0, 2.0]]), torch.zeros(1, 2), 3, search=False)
    assert away.tolist() == [[0.0, 0.0]]  # the base is the best


@pytest.mark.parametrize(
    ("search", "expected"),
    [
        (False, [[1, 0], [1 / 3, 2 / 3], [2 / 3, 1 / 3]]),
        (True, [[0.5, 0], [0.4, 0.2], [0.475, 0.175]]),
    ],
)
def test_frank_wolfe_by_hand(search: bool, expected: list[list[float]]) -> None:
    target = torch.tensor([[0.5, 0.25]])
    for rounds, point in enumerate(expected, 1):
        agree(frank_wolfe(lambda c: c - target, torch.zeros(1, 2), rounds, search), [point])


@pytest.mark.parametrize("learned", ["tensor", "task"])
def test_fw_merging_stays_among_base_and_experts(made: tuple[Engine, Any], learned: str) -> None:
    engine, samples = made
    vectors = engine.models.vectors
    found = METHODS["fw_merging"].function(vectors, samples, learned=learned, rounds=2)
    total: Any = [torch.zeros(()) for _ in lengths(vectors)]
    for t in range(3):
        own, most = lengths(found, t), lengths(vectors, t)
        total = [s + (x / y if y else 0) for s, x, y in zip(total, own, most, strict=True)]
    assert max(map(float, total)) <= 1 + 1e-4 and max(map(float, total)) > 0.01


# ---- MWA -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("penalty", "expected"),
    [
        (0.0, [1 / 3, 1 / 3, 1 / 3]),
        (0.5, [0.453082, 0.320377, 0.226541]),
        (1.0, [0.571429, 0.285714, 0.142857]),
        (2.0, [0.761905, 0.190476, 0.047619]),
    ],
)
def test_mwa_by_hand(penalty: float, expected: list[float]) -> None:
    agree(weights([0.5, 1.0, 2.0], penalty), expected)
    assert weights([0.0, 1.0], 1.0).tolist() == pytest.approx([1.0, 0.0], abs=2e-6)
    agree(weights([0.2 / math.log(10), 0.9 / math.log(100)], 1.0), [0.692308, 0.307692])


def test_mwa_weighs_by_the_loss_of_each_expert() -> None:
    vectors, samples = some()
    found = METHODS["mwa"].function(vectors, samples, per_task=3, penalty=2.0)
    losses = [float(samples.loss(vectors.expert(t), t, range(3))) for t in range(3)]
    expected = vectors.merge(weights(losses, 2.0).float())
    for name, x in merged(found).items():
        agree(x, expected[name])


# ---- OTA -----------------------------------------------------------------------------------------


def flat_moments(v: Any) -> list[dict[str, Tensor]]:
    return [{"w": torch.tensor(row)} for row in v]


HAND = torch.tensor([[1.0, 2.0, 3.0], [3.0, -2.0, 1.0]])


@pytest.mark.parametrize(
    ("power", "expected"),
    [(0.25, [1.828427, 0, 2]), (0.5, [1.666667, 0, 2]), (1.0, [1.4, 0, 2])],
)
def test_ota_by_hand(power: float, expected: list[float]) -> None:
    vectors, v = of_tensors({"w": HAND}), [[4.0, 1.0, 0.0], [1.0, 1.0, 0.0]]
    agree(merged(METHODS["ota"].function(vectors, flat_moments(v), exponent=power))["w"], expected)


def test_ota_hears_of_each_number_those_that_are_sensitive_to_it() -> None:
    """v τ² is 4, 4, 0 and 9, 4, 0: of each the largest stays, and all that equal it."""
    vectors = of_tensors({"w": HAND})
    for first, expected in ((1.0, [5 / 3, 2.0, 2.0]), (1.01, [3.0, 2.0, 2.0])):
        v = flat_moments([[4.0, first, 0.0], [1.0, 1.0, 0.0]])
        agree(merged(METHODS["ota"].function(vectors, v, sensitive=0.01))["w"], expected)


def test_a_moment_is_the_product_of_its_means() -> None:
    stored = {"w.rows": torch.tensor([2.5, 1.5]), "w.columns": torch.tensor([3.0, 1.0])}
    agree(moment(stored, "w", (2, 2)), [[3.75, 1.25], [2.25, 0.75]])
    agree(moment(stored, "w", (2, 2, 1)), [[[3.75], [1.25]], [[2.25], [0.75]]])
    assert not moment(stored, "b", (3,)).any()


def test_ota_of_tensors_without_moments_is_the_average() -> None:
    taus = random(3, 6).float()
    for stored in ({"a": torch.zeros(3)}, {"other": torch.ones(1)}):
        found = METHODS["ota"].function(vectors_of(taus), [stored] * 3)
        agree(effective(found).sum(0), taus.mean(0))
    tiny = [{"a": torch.full((3,), 1e-18 * (t + 1) ** 2), "b": torch.ones(3)} for t in range(3)]
    found = effective(METHODS["ota"].function(vectors_of(taus), tiny)).sum(0)
    agree(found[:3], (taus * torch.tensor([1.0, 2.0, 3.0])[:, None] / 6).sum(0)[:3])
    assert math.isfinite(float(found.sum()))
