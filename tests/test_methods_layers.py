"""Methods that weight or move the rows and columns of layers: WIDEN and DOGE-TA."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from matrix_models import agree, merge, random, task_vectors, terms
from merging import effective, merged, of_tensors, random_taus
from torch import Tensor

from semerge.common import UserError
from semerge.methods import METHODS
from semerge.methods.doge_ta import factors, learned, residuals
from semerge.methods.widen import scores
from semerge.task_vectors import TaskVectors

# ---- WIDEN ---------------------------------------------------------------------------------------


def ranks_of(row: list[float]) -> list[float]:
    order = sorted(range(len(row)), key=lambda i: row[i])
    return [order.index(i) / len(row) for i in range(len(row))]


def scores_of(rows: list[list[float]], above: float, important: float) -> list[list[float]]:
    total = [sum(math.exp(x) for x in column) for column in zip(*rows, strict=True)]
    return [
        [
            important if x > above * sum(row) / len(row) + 1e-9 else math.exp(x) / total[i]
            for i, x in enumerate(row)
        ]
        for row in rows
    ]


def widen_entries(base: Tensor, taus: Tensor, above: float, important: float) -> Tensor:
    """Of one matrix (out, in) and (T, out, in), entry by entry."""
    columns = [base[:, i] for i in range(base.shape[1])]
    lengths, turns = [], []
    for tau in taus:
        moved = [c + tau[:, i] for i, c in enumerate(columns)]
        pairs = list(zip(columns, moved, strict=True))
        lengths.append([abs(float(b.norm() - a.norm())) for a, b in pairs])
        turns.append([1 - float(a @ b / (a.norm() * b.norm())) for a, b in pairs])
    both = [scores_of(list(map(ranks_of, x)), above, important) for x in (lengths, turns)]
    weights = (torch.tensor(both[0]) + torch.tensor(both[1])).double() / 2
    return (weights[:, None] * taus).sum(0)


def test_widen_s_scores_by_hand() -> None:
    ranks = torch.tensor([ranks_of([0.1, 0.4, 0.2]), ranks_of([0.3, 0.1, 0.5])])
    assert ranks.tolist() == [pytest.approx([0, 2 / 3, 1 / 3]), pytest.approx([1 / 3, 0, 2 / 3])]
    third = [[0.417, 1, 0.417], [0.583, 0.339, 1]]
    assert scores(ranks, 1.0, 1.0).tolist() == [pytest.approx(row, abs=5e-4) for row in third]
    plain = [[0.417, 0.661, 0.417], [0.583, 0.339, 0.583]]
    assert scores(ranks, 2.0, 1.0).tolist() != [pytest.approx(row, abs=5e-4) for row in third]
    assert scores(ranks, 9.0, 1.0).tolist() == [pytest.approx(row, abs=5e-4) for row in plain]


@settings(max_examples=8)
@given(
    st.integers(1, 4), st.integers(2, 6), st.integers(2, 6), st.integers(0, 10**6),
    st.sampled_from([0.0, 1.0, 1.5]), st.sampled_from([0.5, 1.0]), st.booleans(),
)  # fmt: skip
def test_widen_entry_by_entry(
    tasks: int, outs: int, ins: int, seed: int, above: float, important: float, turned: bool
) -> None:
    """A block's matrix as it is stored, an embedding, a convolution and a vector."""
    base = {"w": (outs, ins), "e": (outs, ins), "c": (outs, ins // 2, 2, 1), "b": (ins,)}
    base = {n: random_taus(1, s, seed + ord(n))[0] for n, s in base.items()}  # type: ignore[misc]
    taus = {n: random_taus(tasks, x.shape, seed + 7 * ord(n)) for n, x in base.items()}
    stages = [{n: taus[n] for n in names} for names in ("ec", "wb")]
    vectors = of_tensors(*stages, {}, base=base, outputs_last=turned)
    made = merged("widen", vectors, above=above, important=important)

    def entries(x: Tensor, tau: Tensor) -> Tensor:
        return widen_entries(x.double(), tau.double(), above, important)

    w = entries(base["w"].T, taus["w"].mT).T if turned else entries(base["w"], taus["w"])
    agree(made["w"], w)
    agree(made["e"], entries(base["e"].T, taus["e"].mT).T)
    matrix = entries(base["c"].flatten(1), taus["c"].flatten(2))
    agree(made["c"], matrix.view(base["c"].shape))
    weights = torch.tensor(scores_of(taus["b"].abs().tolist(), above, important))
    agree(made["b"], (weights * taus["b"]).sum(0))


def test_widen_of_one_task_is_its_expert_and_knows_no_order() -> None:
    base = {"w": random_taus(1, (4, 6), 1)[0], "b": random_taus(1, (5,), 2)[0]}
    taus = {"w": random_taus(3, (4, 6), 3), "b": random_taus(3, (5,), 4)}
    alone = merged("widen", of_tensors({}, {n: x[:1] for n, x in taus.items()}, {}, base=base))
    once = merged("widen", of_tensors({}, taus, {}, base=base))
    turned = merged("widen", of_tensors({}, {n: x.flip(0) for n, x in taus.items()}, {}, base=base))
    for name, tau in taus.items():
        agree(alone[name], tau[0])
        agree(turned[name], once[name])


# ---- DOGE-TA -------------------------------------------------------------------------------------

HAND = torch.tensor([[[3.0, 4], [0, 0]], [[0, 0], [5, 12]]]).double()


def test_doge_by_hand() -> None:
    weights = factors(HAND, 0.07)
    assert weights.tolist() == pytest.approx([0.014, 0.07 / 13])
    errors = residuals(HAND, weights)
    agree(errors, torch.tensor([[0.986 * 25, 0], [0, (1 - 0.07 / 13) * 169]]))
    assert float(errors.square().sum()) == pytest.approx(28861.8706, rel=1e-6)
    # without a step and a mask every task vector has the norm η
    plain = terms("doge_ta", HAND, steps=0, largest=1.0)
    agree(plain, HAND * weights[:, None, None])
    assert plain.flatten(1).norm(dim=1).tolist() == pytest.approx([0.07] * 2)


def doge_dense(taus: Tensor, eta: float, largest: float, steps: int) -> Tensor:
    """The loss row by row, differentiated, and the mask by sorting."""
    tasks, outs, ins = taus.shape
    q = min(outs, ins)
    weights = [eta / float(tau.norm()) for tau in taus]
    left = [torch.linalg.svd(tau)[0][:, : q // tasks] for tau in taus]
    shared = torch.linalg.svd(torch.cat(left, dim=1))[0][:, : q // 6]
    outside = torch.eye(outs).double() - shared @ shared.T
    delta = torch.zeros(outs, ins, dtype=torch.float64, requires_grad=True)
    adam = torch.optim.Adam([delta], lr=1e-4)
    for _ in range(steps):
        adam.zero_grad()
        loss = torch.zeros(()).double()
        for tau in taus:
            for row in range(outs):
                rest = tau[row] - sum(w * x[row] for w, x in zip(weights, taus, strict=True))
                rest = rest - sum(weights) * delta[row]
                loss = loss + (tau[row] @ rest) ** 2
        loss.backward()
        delta.grad = outside @ delta.grad
        adam.step()
    merged = torch.zeros(outs, ins).double()
    for weight, tau in zip(weights, taus, strict=True):
        order = tau.abs().flatten().sort(descending=True).values
        limit = order[min(int(largest * tau.numel()), tau.numel() - 1)]  # one entry more
        merged += weight * torch.where(tau.abs() >= limit, tau + delta.detach(), 0.0)
    return merged


@pytest.mark.parametrize(
    ("shape", "largest", "outputs_last"),
    [((2, 7, 9), 0.3, False), ((2, 13, 12), 1.0, True), ((3, 8, 6), 0.5, True)],
)
def test_doge_is_its_formula(shape: tuple[int, ...], largest: float, outputs_last: bool) -> None:
    taus = random(*shape).float().double()
    found = merge("doge_ta", taus, outputs_last, largest=largest, steps=25, eta=0.2)
    agree(found, doge_dense(taus, 0.2, largest, 25))


def test_doge_learns_outside_what_the_tasks_share() -> None:
    taus = 0.05 * random(2, 12, 14)
    weights = factors(taus, 0.5)

    def loss(change: Tensor) -> float:
        pull = weights.sum() * torch.einsum("toi,oi->to", taus, change)
        return float((residuals(taus, weights) - pull).square().sum())

    assert not learned(taus, weights, 0).any()
    some, more = (loss(learned(taus, weights, n)) for n in (20, 200))
    assert more < some < loss(torch.zeros(12, 14).double())


def test_doge_knows_no_order_and_leaves_all_else_at_the_base() -> None:
    taus = random(3, 8, 9)
    agree(merge("doge_ta", taus.flip(0), steps=10), merge("doge_ta", taus, steps=10))
    changes = merged("doge_ta", task_vectors(taus), steps=2)
    assert changes["w"].any() and not any(changes[name].any() for name in ("wte", "b", "end"))
    scaled = merge("doge_ta", 9 * taus, steps=10)
    assert (scaled - merge("doge_ta", taus, steps=10)).abs().max() > 1e-5  # Adam's rate is absolute
    nothing = torch.cat([taus[:2], 0 * taus[:1]])
    assert merge("doge_ta", nothing, steps=5).isfinite().all()
    assert not merge("doge_ta", 0 * taus, steps=5).any()


def test_doge_s_mask_looks_at_all_matrices_together() -> None:
    block = {"w": random_taus(2, (6, 5), 0), "v": 0.001 * random_taus(2, (6, 5), 1)}

    def merged_of(largest: float, still: int = 0) -> dict[str, Tensor]:
        """still: numbers of a matrix that no expert changes; they count as zeros."""
        base = {"w": torch.zeros(6, 5), "v": torch.zeros(6, 5), "u": torch.ones(still, 1)}
        experts = [{name: x[t] for name, x in block.items()} for t in range(2)]
        vectors = TaskVectors(base, experts, [[], ["w", "v", "u"], []])
        return merged("doge_ta", vectors, steps=0, largest=largest)

    assert merged_of(0.49)["w"].all() and not merged_of(0.49)["v"].any()  # int(29.4) + 1 of 60
    assert merged_of(1.0)["v"].all()
    assert merged_of(0.245, still=60)["w"].all() and not merged_of(0.245, still=60)["v"].any()
    one = METHODS["doge_ta"].function(of_tensors({}, block, {}), steps=0, largest=0.0)
    assert [int(d.count_nonzero()) for d in effective(one)] == [1, 1]


@pytest.mark.parametrize(
    ("name", "options"),
    [("doge_ta", {"steps": 1.5}), ("doge_ta", {"eta": -1}), ("widen", {"above": 3})],
)
def test_refusals(name: str, options: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=f"{next(iter(options))} must be a"):
        METHODS.spec(name, options)
