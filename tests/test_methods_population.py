"""M2N2 and MAP, which score merges on labelled samples: by hand, and what holds of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from chain import chain, merged
from labelled import DATA
from matrix_models import agree, random

from semerge.common import UserError
from semerge.data.samples import source
from semerge.engine import Engine, load_engine
from semerge.methods import METHODS, m2n2
from semerge.methods.m2n2 import crossed, parents, shares
from semerge.methods.map import drawn, fitted, lowest, terms
from semerge.suites import read_suite


@pytest.fixture(scope="module")
def made(folder: Path) -> tuple[Engine, Any]:
    DATA[read_suite(folder).modality](folder.parent / "data")
    engine = load_engine(folder)
    return engine, source(engine.suite, folder.parent / "data")(engine.models, True)


SCORES = torch.tensor([[1.0, 1.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])


def test_m2n2_by_hand() -> None:
    agree(shares(SCORES, 1.0).sum(1), [1.5, 0.5, 1.0])
    agree(shares(SCORES, 0.0).sum(1), [2.0, 1.0, 1.0])
    more = torch.cat([SCORES, torch.ones(1, 3)])
    agree(shares(more, 1.0).sum(1), [0.833333, 0.333333, 0.5, 1.333333])
    drawn = [parents(SCORES, 1.0, torch.Generator().manual_seed(seed)) for seed in range(300)]
    assert {second for first, second in drawn if first == 0} == {2}  # where the first is weak
    share = sum(first == 0 for first, _ in drawn) / len(drawn)
    assert share == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ([3.0, 0.0, 4.0, 0.0], [0.0, 5.0, 0.0, 0.0], [2.771639, 1.913417, 1.530734, 0.0]),
        ([3.0, 0.0, 4.0, 0.0], [4.0, 0.0, 3.0, 0.0], [3.276009, 0.0, 3.276009, 0.0]),
        ([1.0, 1.0, 1.0, 1.0], [2.0, 2.0, 2.0, 2.0], [1.25, 1.25, 1.75, 1.75]),
        ([0.0, 0.0, 0.0, 0.0], [4.0, 0.0, 4.0, 0.0], [1.0, 0.0, 3.0, 0.0]),
    ],
)
def test_a_child_is_the_slerp_of_its_parents(
    a: list[float], b: list[float], expected: list[float]
) -> None:
    agree(crossed(torch.tensor(a), torch.tensor(b), 0.25, 2), expected)


def test_parents_are_drawn_where_nobody_knows_or_one_knows_all() -> None:
    generator = torch.Generator().manual_seed(0)
    for scores in (torch.zeros(3, 4), torch.tensor([[1.0, 1.0], [0.0, 0.0]])):
        first, second = parents(scores, 1.0, generator)
        assert first in range(len(scores)) and second in range(len(scores))


def right(samples: Any, params: Any) -> float:
    """Mean accuracy over the tasks."""
    found = []
    for t, task in enumerate(samples.tasks):
        answers = samples.logits(params, t, task.read(range(task.count))).argmax(-1)
        found.append(float((answers == task.labels).float().mean()))
    return sum(found) / len(found)


def test_m2n2_is_what_it_drew_and_one_whole_model(made: tuple[Engine, Any]) -> None:
    engine, samples = made
    vectors = engine.models.vectors
    found, again = (METHODS["m2n2"].function(vectors, samples, children=25) for _ in range(2))
    worst = min(right(samples, vectors.expert(t)) for t in range(3))
    assert right(samples, found) > worst
    assert found.keys() == vectors.base().keys()
    assert all(torch.equal(x, again[name]) for name, x in found.items())
    assert engine.verify_weights()


def test_m2n2_finds_a_merge_that_no_expert_is() -> None:
    """Each expert knows one of two points."""
    experts = [[torch.tensor([[2.0, 0.0], [0.0, 0.0]])], [torch.tensor([[0.0, 0.0], [0.0, 2.0]])]]
    heads = [[[0.0, 0.0], [1.0, -1.0]]] * 2
    marks = [[1], [0]]
    vectors, samples = chain(experts, [[[1.0, 0.5]], [[1.0, 1.5]]], marks, heads)
    assert right(samples, vectors.expert(0)) == right(samples, vectors.expert(1)) == 0.5
    found = METHODS["m2n2"].function(vectors, samples, children=40)
    assert right(samples, found) == 1.0


def test_m2n2_is_for_small_models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(m2n2, "ROOM", 100)
    experts = [[random(3, 3)], [random(3, 3, seed=1)]]
    with pytest.raises(UserError, match=r"^M2N2 holds 20 models, .* here: too many\.$"):
        METHODS["m2n2"].function(*chain(experts, [random(4, 3)] * 2, [[0, 1, 2, 0]] * 2))


# ---- MAP -----------------------------------------------------------------------------------------


def quadratics(c: torch.Tensor) -> torch.Tensor:
    """Minus the two metrics 1 − (c1 − 1)² − .5 c2² and its mirror image."""
    return (c - 1) ** 2 + 0.5 * c.flip(1) ** 2 - 1


def test_map_by_hand() -> None:
    random_places = torch.rand(8, 2, generator=torch.Generator().manual_seed(1))
    found = fitted(random_places, quadratics(random_places))
    # of c1², c1c2, c1, c2², c2, 1
    agree(found[:, 0], [1, 0, -2, 0.5, 0, 0])
    agree(found[:, 1], [0.5, 0, 0, 1, -2, 0])
    agree(lowest(found.sum(1), random_places), [2 / 3, 2 / 3])
    agree(lowest(3 * found[:, 0] + found[:, 1], random_places), [0.857143, 0.4])
    agree(-quadratics(torch.tensor([[2 / 3, 2 / 3]])), [[2 / 3, 2 / 3]])
    agree(-quadratics(torch.tensor([[0.857143, 0.4]])), [[0.899592, 0.272653]])


def test_the_lowest_place_lies_in_the_box() -> None:
    corner = torch.tensor([0.0, 0.0, -1.0, 0.0, 1.0, 0.0]).double()  # c2 − c1
    agree(lowest(corner, torch.rand(3, 2)), [1, 0])
    saddle = torch.tensor(
        [-1.0, 0.0, 0.9, 1.0, -1.0, 0.0]
    ).double()  # two ends, the left one better
    found = lowest(saddle, torch.tensor([[0.9, 0.2], [0.1, 0.2]]))
    agree(found, [1.0 if -1 + 0.9 < 0 else 0.0, 0.5])


def test_map_scores_twice_as_many_places_as_it_fits_numbers() -> None:
    places = drawn(3, 2.0, 0)
    assert places.shape == (20, 3) and terms(places).shape == (20, 10)
    agree(places[:4], torch.cat([torch.zeros(1, 3), torch.eye(3)]))
    assert places.min() >= 0 and places.max() <= 1
    assert torch.equal(places, drawn(3, 2.0, 0)) and not torch.equal(places, drawn(3, 2.0, 1))


def test_map_takes_coefficients_that_are_better_than_those_of_chance(
    made: tuple[Engine, Any],
) -> None:
    engine, samples = made
    vectors = engine.models.vectors
    made_of = METHODS["map"].function(vectors, samples)

    def loss(params: Any) -> float:
        return sum(samples.mean_loss(params, t, 4) for t in range(3))

    chance = sorted(loss(vectors.merge(c)) for c in drawn(3, 2.0, 5)[4:])
    assert loss(merged(made_of)) < chance[len(chance) // 2]
    assert engine.verify_weights()
