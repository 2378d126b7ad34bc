"""The automatic choice of probe, λ, layer and pooling, made without labels."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from semerge.engine import Engine
from semerge.evaluation import selection as criterion
from semerge.evaluation.diagnosis import candidates
from semerge.evaluation.measure import Measurement
from semerge.loading import load
from semerge.registry import Key


def key(layer: int) -> Key:
    return Key("experts", layer, "mean", 0.1)


def test_mutual_information_by_hand() -> None:
    a = torch.tensor([0, 0, 1, 1] * 3)
    b = torch.tensor([0, 1, 0, 1] * 3)
    found = criterion.mutual_information(torch.stack([a, b, 1 - a, a * 0]), 2)
    assert found[0].tolist() == pytest.approx([1.0, 0.0, 1.0, 0.0], abs=1e-6)
    assert found == pytest.approx(found.mT)
    four = criterion.mutual_information(a[None], 4)
    assert float(four[0, 0]) == pytest.approx(math.log(2) / math.log(4))


def test_the_criterion_finds_the_good_candidates_without_labels() -> None:
    random = torch.Generator().manual_seed(0)
    tasks = torch.arange(200) % 4

    def candidate(hit: float, clear: float) -> Tensor:
        right = torch.rand(200, generator=random) < hit
        choice = torch.where(right, tasks, torch.randint(4, (200,), generator=random))
        noise = 0.1 * torch.rand(200, 4, generator=random)
        return 1 + noise - clear * torch.nn.functional.one_hot(choice, 4)

    collapsed = torch.ones(200, 4)
    collapsed[:, 2] = 0.01  # everything to one expert, with the clearest of margins
    distances = {
        key(1): candidate(0.1, 0.5),
        key(2): candidate(0.95, 0.5),
        key(3): collapsed,
        key(4): candidate(0.85, 0.4),
        key(5): candidate(0.8, 0.1),
    }
    ranked = criterion.rank(distances)
    assert [c.key.layer for c in ranked[:2]] == [2, 4] and ranked[-1].key.layer == 3
    assert ranked[-1].agreement < 1e-6 and ranked[-1].margin > 0.9
    assert [c.score for c in ranked] == sorted((c.score for c in ranked), reverse=True)
    experts = torch.zeros(4, 200, 4, dtype=torch.int16)
    measured = Measurement(
        (), tasks, torch.zeros(200, dtype=torch.int64), distances, {}, experts, torch.zeros(200, 4)
    )
    found = criterion.against_labels(ranked, measured)
    assert found["gap"] == 0.0 and found["rank_of_pick"] == 1 and found["n"] == 200
    assert found["pick"]["layer"] == found["best"]["layer"] == 2
    assert found["pick"]["hard_oracle"] == 1.0  # every answer is class 0, and so is every label
    assert found["pick"]["hard_routed"] == found["pick"]["routing"]
    assert found["rank_correlation"] > 0.5
    with pytest.raises(ValueError, match="two candidates"):
        criterion.rank({key(1): distances[key(1)]})


def test_rank_correlation() -> None:
    assert criterion.spearman([1, 2, 3], [10, 20, 90]) == pytest.approx(1.0)
    assert criterion.spearman([1, 2, 3], [3, 2, 1]) == pytest.approx(-1.0)
    assert criterion.spearman([1, 1, 2], [5, 5, 9]) == pytest.approx(1.0)
    assert criterion.spearman([1, 1, 1], [1, 2, 3]) is None


def test_candidates_are_all_that_can_be_asked_for(engine: Engine) -> None:
    found = candidates(engine)
    assert len(set(found)) == len(found)
    assert {k.probe for k in found} == {"experts", "base", "cache"}
    assert {k.probe_lambda for k in found if k.probe == "cache"} == {0.1}
    assert {k.probe_lambda for k in found if k.probe == "experts"} == {
        0.02,
        0.05,
        0.1,
        0.2,
        0.3,
        0.4,
        0.5,
        0.6,
        0.8,
        1.0,
    }
    bare = Engine(load(replace(engine.suite, statistics=None)))
    assert {k.probe for k in candidates(bare)} == {"experts", "base"}
