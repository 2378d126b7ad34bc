"""What the methods by matrices share: which weights are matrices, how they lie, and what becomes of
the others; and what holds for each such method."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from concurrency import sample_of
from matrix_models import BIAS, agree, merge, random, task_vectors, terms
from merging import merged
from torch import Tensor

from semerge.common import UserError
from semerge.engine import Engine, load_engine
from semerge.methods import METHODS, matrices
from semerge.methods.matrices import by_matrix, one_model, polar, regression_merge, svd
from semerge.settings import Settings
from semerge.task_vectors import TaskVectors

NAMES = (
    *("tsv_m", "iso_c", "iso_cts", "wudi", "svc", "cart", "opcm", "ace", "r_tsvm", "star"),
    *("optmerge", "knots"),
)
TURN = {"tsv_m", "iso_c", "cart", "opcm", "r_tsvm", "star"}  # f(τᵀ)ᵀ = f(τ)
ORDERED = {"opcm"}  # those to which the order of the tasks is something
ABSOLUTE = {"ace"}  # those that are not f(cτ) = c·f(τ)
WHOLE = {"iso_c", "iso_cts"}  # those that give one merged model
ALONE = {"tsv_m", "wudi", "svc", "cart", "opcm", "r_tsvm", "optmerge"}  # of one task, that expert
ALIKE = {"wudi", "svc", "cart"}  # of the same expert several times, that expert
OPTIONS = {
    "wudi": {"filter": "exact"},
    "optmerge": {"filter": "exact"},
    "r_tsvm": {"outlier": 100.0},
}  # for the last two
OTHERS = [name for name in NAMES if "others" in {o.name for o in METHODS[name].options}]
EACH = pytest.mark.parametrize("name", NAMES)


@pytest.fixture(scope="module")
def engine(folder: Path) -> Engine:
    return load_engine(folder)


def test_the_matrices_are_the_2d_weights_of_the_blocks(engine: Engine) -> None:
    vectors = engine.models.vectors
    first, *blocks, last = vectors.segments
    assert not first.matrices and not last.matrices
    for stage, segment in enumerate(blocks, 1):
        assert len(segment.matrices) == 4
        shapes = {name: x.shape for name, x in vectors.base(stage).items()}
        for name in segment.matrices:
            bias = shapes[name.replace("weight", "bias")]  # a number for each output
            assert "attn" in name or "mlp" in name
            assert bias == shapes[name][-1 if segment.outputs_last else 0 :][:1]


def test_what_no_expert_changes_is_no_matrix() -> None:
    names = [["e"], ["w", "v"], ["f"]]
    base = {name: torch.zeros(2, 2) for name in "ewvf"}
    vectors = TaskVectors(base, [{"w": torch.eye(2)}, {"w": 2 * torch.eye(2)}], names)
    assert vectors.segments[1].matrices == ("w",)
    same = TaskVectors(base, [{"w": torch.zeros(2, 2)}] * 2, names)
    assert same.segments[1].matrices == ()
    moved = vectors.to("cpu").mapped(lambda deltas: deltas)
    assert moved.segments[1].matrices == ("w",) and moved.segments[1].outputs_last is False


@pytest.mark.parametrize("outputs_last", [False, True])
def test_a_method_sees_the_matrix_out_by_in_and_writes_it_back(outputs_last: bool) -> None:
    taus, seen = random(2, 3, 5), []

    def first_row_of_all(stack: Tensor) -> Tensor:
        seen.append(tuple(stack.shape))
        return stack * torch.tensor([1.0, 0.0, 0.0])[:, None]

    vectors = task_vectors(taus, outputs_last)
    before = [x.clone() for x in vectors.tensors()]
    made = by_matrix(vectors, first_row_of_all)
    model = one_model(vectors, lambda stack: first_row_of_all(stack).sum(0), strength=2.0)
    assert seen == [(2, 3, 5)] * 2
    rows = taus.sum(0)[:1]
    for w in (made.merge(torch.ones(2))["w"], model["w"] / 2):
        found = w.mT if outputs_last else w
        agree(found[:1], rows)
        assert not found[1:].any()
    assert all(map(torch.equal, before, vectors.tensors()))  # nothing was written


@pytest.mark.parametrize(("others", "factor"), [("mean", 0.5), ("sum", 1.0), ("base", 0.0)])
@pytest.mark.parametrize("name", OTHERS)
def test_others(name: str, others: str, factor: float) -> None:
    changes = merged(name, task_vectors(random(2, 4, 5)), others=others)
    agree(changes["b"], torch.full((2,), 3 * BIAS * factor))
    agree(changes["wte"], torch.full((2, 2), 6 * BIAS * factor))
    assert not changes["end"].any()


# ---- algebra -------------------------------------------------------------------------------------


def test_svd_has_no_null_directions() -> None:
    x = random(6, 2) @ random(2, 9, seed=1)
    for precise in (x, x.float()):
        u, s, v = svd(precise)
        assert len(s) == 2
        agree((u * s) @ v.mT, x, 1e-6 if precise.dtype == torch.float32 else 1e-12)
    assert [part.shape[1] for part in svd(x, 1)[::2]] == [1, 1]
    for nothing in (torch.zeros(3, 4), torch.zeros(3, 0)):
        u, s, v = svd(nothing)
        assert (u.shape, len(s), v.shape) == ((3, 0), 0, (nothing.shape[1], 0))


def test_svd_goes_on_in_float64_where_it_does_not_converge(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = torch.linalg.svd

    def stubborn(x: Tensor, **options: bool) -> Any:
        if x.dtype == torch.float32:
            raise torch.linalg.LinAlgError("did not converge")
        return plain(x, **options)

    monkeypatch.setattr(torch.linalg, "svd", stubborn)
    x = random(4, 3).float()
    u, s, v = svd(x)
    assert u.dtype == s.dtype == v.dtype == torch.float32
    agree((u * s) @ v.mT, x)


def test_polar_is_the_nearest_orthonormal() -> None:
    parts = [random(6, 2), random(6, 3, seed=1)]
    found = polar(parts)
    assert [part.shape for part in found] == [(6, 2), (6, 3)]
    whole, x = torch.cat(found, dim=1), torch.cat(parts, dim=1)
    agree(whole.mT @ whole, torch.eye(5), 1e-10)
    symmetric = whole.mT @ x  # X = P H, with H positive
    agree(symmetric, symmetric.mT, 1e-10)
    assert torch.linalg.eigvalsh(symmetric).min() > 0


def test_regression_merge_solves_the_least_squares() -> None:
    w, x = random(3, 4, 5), random(3, 5, 20, seed=1)
    grams = x @ x.mT
    terms = regression_merge(w, grams.__getitem__)
    total = terms.sum(0)
    agree(total, (w @ grams).sum(0) @ torch.linalg.inv(grams.sum(0)), 1e-10)
    gradient = sum((total - w[t]) @ grams[t] for t in range(3))
    assert gradient.abs().max() < 1e-9
    base = random(4, 5, seed=2)  # the same of θt as of θ0 + τt
    agree(regression_merge(w + base, grams.__getitem__).sum(0), total + base, 1e-10)
    agree(regression_merge(w, lambda t: torch.eye(5).double()).sum(0), w.mean(0), 1e-10)
    prior = 0.1 * random(5, 5, seed=3)
    agree(
        regression_merge(w, grams.__getitem__, prior=prior).sum(0),
        (w @ grams).sum(0) @ torch.linalg.inv(grams.sum(0) + prior),
        1e-10,
    )


def test_regression_merge_where_no_input_tells() -> None:
    w, x = random(2, 3, 6), random(2, 6, 2, seed=1)
    grams = x @ x.mT  # rank 4 of 6 together
    agree(
        regression_merge(w, grams.__getitem__).sum(0),
        (w @ grams).sum(0) @ torch.linalg.pinv(grams.sum(0)),
        1e-8,
    )
    unseen = torch.linalg.svd(torch.cat(list(x), dim=1))[0][:, 4:]  # (6, 2)
    kept = regression_merge(w, grams.__getitem__, rest=w).sum(0)
    agree(kept @ unseen, w.sum(0) @ unseen, 1e-8)
    half = regression_merge(w, grams.__getitem__, lambda values: 0.5 * (values > 1e-6), rest=w)
    agree(half.sum(0) @ unseen, w.sum(0) @ unseen, 1e-8)
    agree((half.sum(0) - 0.5 * (kept + w.sum(0))), torch.zeros(3, 6), 1e-8)
    assert not regression_merge(w, lambda t: torch.zeros(6, 6).double()).any()


# ---- what holds for each -------------------------------------------------------------------------


@EACH
@pytest.mark.parametrize("shape", [(2, 4, 5), (3, 6, 4)])
def test_conv1d_gives_what_the_turned_linear_gives(name: str, shape: tuple[int, ...]) -> None:
    taus = random(*shape)
    agree(merge(name, taus, outputs_last=True), merge(name, taus))


@EACH
def test_turning_all_matrices(name: str) -> None:
    taus = random(2, 6, 8)
    turned = merge(name, taus.mT).mT
    if name in TURN:
        agree(turned, merge(name, taus))
    else:
        assert (turned - merge(name, taus)).abs().max() > 1e-3


@EACH
def test_the_order_of_the_tasks(name: str) -> None:
    taus = random(3, 6, 8)
    found = merge(name, taus.flip(0))
    if name in ORDERED:
        assert (found - merge(name, taus)).abs().max() > 1e-3
    else:
        agree(found, merge(name, taus))
    if name not in ORDERED | WHOLE:
        agree(terms(name, taus.flip(0)).flip(0), terms(name, taus))


@EACH
def test_scale(name: str) -> None:
    taus = random(3, 6, 8)
    found = merge(name, 0.25 * taus)
    if name in ABSOLUTE:
        assert (found - 0.25 * merge(name, taus)).abs().max() > 1e-4
    else:
        agree(found, 0.25 * merge(name, taus))


@pytest.mark.parametrize("name", sorted(ALONE))
def test_of_one_task_its_expert(name: str) -> None:
    tau = random(1, 6, 8)
    agree(merge(name, tau, **OPTIONS.get(name, {})), tau[0])


@pytest.mark.parametrize("name", sorted(ALIKE))
def test_of_the_same_expert_several_times_that_expert(name: str) -> None:
    tau = random(1, 6, 8)
    agree(merge(name, tau.expand(3, 6, 8), **OPTIONS.get(name, {})), tau[0])


SPECTRA = {
    "full": 1e-2 * random(4, 24, 32) * 0.8 ** torch.arange(32),
    "LoRA": 1e-2 * random(4, 24, 3) @ random(4, 3, 32, seed=1),
}


@EACH
@pytest.mark.parametrize("spectrum", SPECTRA)
def test_large_matrices_go_in_float32(
    name: str, spectrum: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    exact = merge(name, SPECTRA[spectrum])
    monkeypatch.setattr(matrices, "SMALL", 0)
    found = merge(name, SPECTRA[spectrum])
    assert (found - exact).norm() < 1e-4 * exact.norm()


ODD = {
    "a zero task": torch.cat([random(2, 5, 6), torch.zeros(1, 5, 6)]),
    "all zero": torch.zeros(3, 5, 6),
    "one task": random(1, 5, 6),
    "low rank": random(3, 5, 1) @ random(3, 1, 6, seed=1),
    "all alike": random(1, 5, 6).expand(3, 5, 6),
    "opposite": torch.cat([random(1, 5, 6), -random(1, 5, 6)]),
    "more tasks than rows": random(7, 3, 4),
    "one row": random(3, 1, 6),
    "one column": random(3, 6, 1),
    "tiny": 1e-12 * random(3, 5, 6),
}


@EACH
@pytest.mark.parametrize("case", ODD)
def test_odd_stacks_are_finite(name: str, case: str) -> None:
    taus = ODD[case]
    found = merge(name, taus)
    assert found.isfinite().all()
    if case == "all zero":
        assert not found.any()
    assert found.abs().max() <= 100 * taus.abs().max() * len(taus)


@EACH
def test_the_engine_answers_with_each(name: str, engine: Engine) -> None:
    sample = sample_of(engine, 0)
    plain = engine.predict(sample, Settings(probe="base"))
    found = engine.predict(sample, Settings(method=name, probe="base"))
    assert found.method == name and found.distances == plain.distances
    assert found.predictions["static"] != plain.predictions["static"]
    assert engine.variant(name).original == (name in WHOLE)
    assert engine.verify_weights()


@pytest.mark.parametrize("name", OTHERS)
def test_refusals(name: str) -> None:
    with pytest.raises(UserError, match="others must be mean, sum, base"):
        METHODS.spec(name, {"others": "none"})
    for option in METHODS[name].options:
        if option.within:
            for value in (option.within.high * 2 + 1, "nan", "much"):
                with pytest.raises(UserError, match=f"{option.name} must be"):
                    METHODS.spec(name, {option.name: value})
