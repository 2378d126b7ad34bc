"""Data-free methods by the spectrum of the weights: by hand, and against the formulas, written down
once more with numpy's whole matrices."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from matrix_models import BIAS, agree, merge, random, task_vectors, terms
from merging import merged, of_tensors, vectors_of
from torch import Tensor

from semerge.methods import METHODS
from semerge.methods.r_tsvm import shared_ranks
from semerge.task_vectors import TaskVectors

HALVES = torch.tensor([[[2.0, 0.0], [0.0, 0.0]], [[0.5, 0.5], [0.5, 0.5]]])


def diagonals(*rows: list[float]) -> Tensor:
    return torch.stack([torch.diag(torch.tensor(row)) for row in rows])


# ---- TSV-M ---------------------------------------------------------------------------------------


def test_tsv_m_by_hand() -> None:
    found = merge("tsv_m", HALVES)
    agree(found, [[1.853553, -0.353553], [-0.353553, 1.146447]])
    assert torch.linalg.svdvals(found).tolist() == pytest.approx([2, 1])


def dense_tsv_m(taus: np.ndarray, ranks: list[int] | None = None) -> np.ndarray:
    """With whole zero-padded matrices, as published."""
    count, m, n = taus.shape
    q = min(m, n)
    u, s, v, start = np.zeros((m, q)), np.zeros(q), np.zeros((q, n)), 0
    for tau, r in zip(taus, ranks or [q // count] * count, strict=True):
        ut, st, vt = np.linalg.svd(tau, full_matrices=False)
        part = slice(start, start + r)
        u[:, part], s[part], v[part] = ut[:, :r], st[:r], vt[:r]
        start += r
    pu, _, qu = np.linalg.svd(u, full_matrices=False)
    pv, _, qv = np.linalg.svd(v, full_matrices=False)
    return pu @ qu @ np.diag(s) @ pv @ qv


@pytest.mark.parametrize("shape", [(3, 7, 9), (2, 8, 5), (4, 8, 8)])
def test_tsv_m_equals_the_formula(shape: tuple[int, ...]) -> None:
    taus = random(*shape)
    agree(merge("tsv_m", taus), dense_tsv_m(taus.numpy()))


def test_tsv_m_without_room_for_a_triplet_each_is_the_average() -> None:
    taus = random(3, 2, 5)
    agree(merge("tsv_m", taus), taus.mean(0))


# ---- Iso-C and Iso-CTS ---------------------------------------------------------------------------


def test_iso_c_by_hand() -> None:
    agree(merge("iso_c", HALVES), 1.5 * torch.eye(2))
    agree(merge("iso_c", HALVES, strength=1.5), 2.25 * torch.eye(2))


def test_iso_c_equals_the_formula() -> None:
    taus = random(3, 6, 9)
    u, s, vt = np.linalg.svd(taus.sum(0).numpy(), full_matrices=False)
    agree(merge("iso_c", taus), s.mean() * u @ vt)


def test_iso_c_counts_zero_singular_values_and_gives_them_no_direction() -> None:
    taus = random(2, 6, 1) @ random(2, 1, 9, seed=1)
    _, s, _ = np.linalg.svd(taus.sum(0).numpy())
    found = torch.linalg.svdvals(merge("iso_c", taus))
    agree(found, [s.sum() / 6] * 2 + [0] * 4)


def test_iso_cts_by_hand() -> None:
    taus = diagonals([4.0, 1.0, 0.0, 0.5], [3.0, 0.0, 2.0, 0.25])
    agree(merge("iso_cts", taus, common=0.5), 2.5625 * torch.eye(4))


def dense_iso_cts(taus: np.ndarray, common: float) -> np.ndarray:
    """Column by column, as published."""
    q, count = min(taus.shape[1:]), len(taus)
    own = round((q - int(common * q)) / count)
    c = q - own * count
    uc, sc, vc = np.linalg.svd(taus.sum(0), full_matrices=False)
    left, sigma, right = [], [], []
    for tau in taus:
        u, s, v = np.linalg.svd(tau - uc[:, :c] @ uc[:, :c].T @ tau, full_matrices=False)
        left.append(u[:, :own]), sigma.append(s[:own]), right.append(v[:own])
    left.append(uc[:, :c]), sigma.append(sc[:c]), right.append(vc[:c])
    pu, _, qu = np.linalg.svd(np.concatenate(left, 1), full_matrices=False)
    pv, _, qv = np.linalg.svd(np.concatenate(right, 0), full_matrices=False)
    return np.concatenate(sigma).mean() * pu @ qu @ pv @ qv


@pytest.mark.parametrize("common", [0.0, 0.4, 0.8, 1.0])
@pytest.mark.parametrize("shape", [(2, 10, 12), (3, 11, 9)])
def test_iso_cts_equals_the_formula(shape: tuple[int, ...], common: float) -> None:
    taus = random(*shape)
    agree(merge("iso_cts", taus, common=common), dense_iso_cts(taus.numpy(), common))


def test_iso_cts_without_directions_of_the_tasks_is_iso_c() -> None:
    taus = random(3, 6, 9)
    agree(merge("iso_cts", taus, common=1.0), merge("iso_c", taus))
    agree(merge("iso_cts", random(2, 3, 4), common=0.0, strength=0.0), torch.zeros(3, 4))


# ---- SVC -----------------------------------------------------------------------------------------


def test_svc_by_hand() -> None:
    taus = diagonals([2.0, 1.0], [2.0, 0.5])
    agree(merge("svc", taus), torch.diag(torch.tensor([2.0, 2 / 3])))


def test_svc_equals_the_formula() -> None:
    taus = random(3, 6, 9)
    taus[1, :, :] += 2 * taus[0]  # shared, so that no share of a task is alike
    u, sigma, vt = np.linalg.svd(taus.sum(0).numpy(), full_matrices=False)
    for r in range(6):
        shares = []
        for tau in taus.numpy():
            of_task, of_merge = u[:, r] @ tau, u[:, r] @ taus.sum(0).numpy()
            shares.append(max(0.1, of_merge @ of_task / (of_task @ of_task)))
        sigma[r] *= 3 / sum(shares)
    agree(merge("svc", taus), u @ np.diag(sigma) @ vt)


def test_svc_of_tasks_with_nothing_in_common_is_their_sum() -> None:
    taus = diagonals([2.0, 0.0, 0.0], [0.0, 3.0, 0.0])
    # along each direction one task has share 1, the other none, which counts as the least
    agree(merge("svc", taus, least=1.0), taus.sum(0))
    agree(merge("svc", taus, least=0.1), 2 / 1.1 * taus.sum(0))


# ---- CART ----------------------------------------------------------------------------------------


def dense_cart(taus: np.ndarray, share: float, gain: float) -> np.ndarray:
    mean, rank = taus.mean(0), max(1, int(share * min(taus.shape[1:])))
    merged = mean.copy()
    for tau in taus:
        u, s, vt = np.linalg.svd(tau - mean)
        for i in range(rank):
            merged += gain * s[i] * np.outer(u[:, i], vt[i])
    return merged


@pytest.mark.parametrize(("share", "gain"), [(0.12, 2.0), (0.0, 1.0), (0.5, 0.3)])
def test_cart_equals_the_formula(share: float, gain: float) -> None:
    taus = random(3, 6, 9)
    agree(merge("cart", taus, low_rank=share, gain=gain), dense_cart(taus.numpy(), share, gain))


def test_cart_of_two_tasks_and_with_all_triplets_is_the_average() -> None:
    agree(merge("cart", random(2, 5, 7)), random(2, 5, 7).mean(0))
    taus = random(4, 5, 7)
    agree(merge("cart", taus, low_rank=1.0), taus.mean(0))
    agree(terms("cart", taus, low_rank=1.0, gain=1.0), 1.25 * taus - taus.mean(0))


# ---- OPCM ----------------------------------------------------------------------------------------

NEXT = torch.stack([torch.diag(torch.tensor([4.0, 2, 1])), torch.arange(1.0, 10).view(3, 3)])
FIRST_OF_THREE = [
    [3.043159, 1.521579, 2.282369],
    [3.043159, 1.521579, 4.564738],
    [5.325528, 6.086318, 0.76079],
]
TWO_OF_THREE = [
    [3.208667, 0, 2.4065],
    [0, 1.604333, 4.813],
    [5.615167, 6.417334, 0.802167],
]


@pytest.mark.parametrize(
    ("held", "merged"), [(0.5, FIRST_OF_THREE), (0.8, FIRST_OF_THREE), (0.9, TWO_OF_THREE)]
)
def test_opcm_by_hand(held: float, merged: list[list[float]]) -> None:
    found = merge("opcm", NEXT, held=held)
    agree(found, merged)
    assert float(found.norm()) == pytest.approx(10.732259)


def dense_opcm(taus: np.ndarray, rests: np.ndarray, held: float) -> tuple[np.ndarray, np.ndarray]:
    """One task after the other with whole bases, scaled after each, as published; and all else."""
    lengths = [np.sqrt((a**2).sum() + (b**2).sum()) for a, b in zip(taus, rests, strict=True)]
    merged, rest, scale = taus[0], rests[0], 1.0
    for t in range(1, len(taus)):
        u, s, vt = np.linalg.svd(merged)
        p = u.T @ taus[t] @ vt.T
        p[range(len(s)), range(len(s))] = 0
        k = next(i for i, share in enumerate(s.cumsum() / s.sum()) if share > held)
        p[:k, :k] = 0
        merged, rest = scale * merged + u @ p @ vt, scale * rest + rests[t]
        length = np.sqrt((merged**2).sum() + (rest**2).sum())
        wanted = np.mean(lengths[: t + 1])
        merged, rest, scale = merged * wanted / length, rest * wanted / length, length / wanted
    return merged, rest


@pytest.mark.parametrize("shape", [(4, 5, 7), (3, 8, 4)])
@pytest.mark.parametrize("held", [0.1, 0.5, 0.9])
def test_opcm_equals_the_recursion(shape: tuple[int, ...], held: float) -> None:
    taus = random(*shape)
    vectors = task_vectors(taus)
    rests = np.array([[BIAS * t] * 2 + [2 * BIAS * t] * 4 for t in range(1, len(taus) + 1)])
    expected, rest = dense_opcm(taus.numpy(), rests, held)
    found = merged("opcm", vectors, held=held)
    agree(found["w"], expected)
    agree(torch.cat([found["b"], found["wte"].flatten()]), rest)


def test_opcm_in_another_order() -> None:
    taus = random(4, 5, 7)
    orders = {tuple(merge("opcm", taus, shuffle=seed).flatten().tolist()) for seed in range(5)}
    assert len(orders) > 2
    agree(merge("opcm", taus, shuffle=3), merge("opcm", taus, shuffle=3), 1e-12)


# ---- R-TSVM, a reading ---------------------------------------------------------------------------


def test_r_tsvm_by_hand() -> None:
    agree(merge("r_tsvm", HALVES), [[1.853553, -0.353553], [-0.353553, 1.146447]])
    flat = torch.full((4, 4), 0.5) + torch.diag(torch.tensor([0.0, 0, 1, 1]))
    taus = torch.stack([torch.diag(torch.tensor([4, 1, 0, 0.5])), flat])
    found = merge("r_tsvm", taus, outlier=2.0)
    agree(found[0], [1.819136, -0.272528, 0.314217, 0.314217])
    agree(found.diagonal(), [1.819136, 1.27408, 1.493805, 1.493805])


def test_r_tsvm_of_equally_dense_experts_without_outliers_is_tsv_m() -> None:
    signs = random(3, 6, 9).sign()
    agree(merge("r_tsvm", signs), merge("tsv_m", signs))


@pytest.mark.parametrize("outlier", [1.0, 2.0])
def test_r_tsvm_equals_the_reading(outlier: float) -> None:
    taus = random(3, 8, 9)
    taus[1, 2:] *= 0.01  # sparse
    clipped, left, dense = [], [], []
    for tau in taus.numpy():
        low, high = tau.mean() - outlier * tau.std(), tau.mean() + outlier * tau.std()
        clipped.append(np.clip(tau, low, high))
        left.append(abs(clipped[-1]).sum() / abs(tau).sum())
        hoyer = np.sqrt(72) - abs(clipped[-1]).sum() / np.sqrt((clipped[-1] ** 2).sum())
        dense.append(1 - hoyer / (np.sqrt(72) - 1))
    ranks = [max(1, int(8 / 3 * d / np.mean(dense))) for d in dense]
    assert sum(ranks) <= 8 and len(set(ranks)) > 1
    weighed = np.stack([3 * h / sum(left) * x for h, x in zip(left, clipped, strict=True)])
    agree(merge("r_tsvm", taus, outlier=outlier), dense_tsv_m(weighed, ranks))


def test_ranks_are_shared_by_density() -> None:
    assert shared_ranks([0.0, 1.0], 2) == [1, 1]
    assert shared_ranks([0.161828, 0.889459], 4) == [1, 3]
    assert shared_ranks([0.5, 0.5, 0.5], 7) == [2, 2, 2]
    assert shared_ranks([0.0, 0.0], 4) == [2, 2]
    assert shared_ranks([0.0, 0.0, 1.0, 1.0], 4) == [1, 1, 1, 1]


# ---- STAR ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("nuclear", "sigma"),
    [
        (0.4, [8, 0, 0, 0]),
        (0.5, [8, 0, 0, 0]),
        (0.75, [5.333333, 2.666667, 0, 0]),
        (0.875, [4.571429, 2.285714, 1.142857, 0]),
        (1.0, [4, 2, 1, 1]),
    ],
)
def test_star_by_hand(nuclear: float, sigma: list[float]) -> None:
    found = merge("star", diagonals([4.0, 2.0, 1.0, 1.0]), nuclear=nuclear)
    agree(torch.linalg.svdvals(found), sigma)


def test_star_averages_the_experts() -> None:
    one = torch.tensor([[[2.5, 0.5], [0.5, 0.5]]])
    agree(merge("star", one), [[2.841641, 0.67082], [0.67082, 0.158359]])
    taus = random(3, 5, 7)
    for tau, term in zip(taus, terms("star", taus), strict=True):
        u, s, vt = np.linalg.svd(tau.numpy(), full_matrices=False)
        r = sum(s.cumsum() < 0.4 * s.sum()) + 1
        agree(term, u[:, :r] @ np.diag(s[:r] * s.sum() / s[:r].sum()) @ vt[:r])
    assert METHODS["star"].scale(4) == 0.25
    agree(merged("star", task_vectors(taus))["b"], torch.full((2,), 6 * BIAS))


# ---- KnOTS ---------------------------------------------------------------------------------------


def dense_knots(mats: list[np.ndarray], density: float) -> list[np.ndarray]:
    """TIES on the flat coordinates of all matrices, by entry."""
    count, bases, flat = len(mats[0]), [], [[] for _ in mats[0]]
    for taus in mats:
        u, s, vt = np.linalg.svd(np.concatenate(list(taus), 1), full_matrices=False)
        u, sv = u[:, s > 1e-5], (np.diag(s) @ vt)[s > 1e-5]
        bases.append(u)
        for t, part in enumerate(np.split(sv, count, 1)):
            flat[t].append(part.ravel())
    rows = np.stack([np.concatenate(parts) for parts in flat])
    d = rows.shape[1]
    limits = np.sort(abs(rows), 1)[:, d - int(density * d) - 1]
    rows = np.where(abs(rows) >= limits[:, None], rows, 0)
    agree_with = np.sign(rows) == np.sign(rows.sum(0))
    rows = rows * agree_with
    mean = rows.sum(0) / np.maximum((rows != 0).sum(0), 1)
    ends = np.cumsum([u.shape[1] * taus.shape[2] for u, taus in zip(bases, mats, strict=True)])
    parts = np.split(mean, ends[:-1])
    return [u @ part.reshape(u.shape[1], -1) for u, part in zip(bases, parts, strict=True)]


def lora(seed: int, out: int, inputs: int) -> Tensor:
    return random(3, out, 2, seed=seed) @ random(3, 2, inputs, seed=seed + 1)


def test_knots_equals_the_formula() -> None:
    mats = {"v": lora(0, 8, 9), "w": 2 * lora(2, 12, 7)}
    base = {"e": torch.zeros(1), "v": torch.zeros(8, 9), "w": torch.zeros(12, 7)}
    experts = [{name: taus[t].float() for name, taus in mats.items()} for t in range(3)]
    vectors = TaskVectors(base | {"f": torch.zeros(1)}, experts, [["e"], ["v"], ["w"], ["f"]])
    found = merged("knots", vectors, density=0.3)
    for name, expected in zip(
        mats, dense_knots([x.numpy() for x in mats.values()], 0.3), strict=True
    ):
        agree(found[name], expected)


def test_core_space_equals_the_formula() -> None:
    """KnOTS's TIES, of coordinates on both sides, by numpy's SVD of what stands side by side."""
    taus = [lora(seed, 8, 9) for seed in (0, 1)]
    stages = [{"e": torch.zeros(3, 1)}, {"w": taus[0]}, {"v": taus[1]}, {"z": torch.zeros(3, 1)}]
    vectors = of_tensors(*[{k: x.float() for k, x in stage.items()} for stage in stages])
    found = merged("core_space", vectors, density=0.3)
    cores, bases = [], []
    for stack in taus:
        x = stack.numpy()
        u, s, _ = np.linalg.svd(np.concatenate(list(x), axis=1), full_matrices=False)
        _, d, vh = np.linalg.svd(np.concatenate(list(x), axis=0), full_matrices=False)
        u, v = u[:, s > 1e-5], vh[d > 1e-5].T
        core = u.T @ x @ v
        np.testing.assert_allclose(u @ core @ v.T, x, atol=1e-6)  # nothing is lost
        cores.append(core)
        bases.append((u, v))
    flat = torch.cat([torch.from_numpy(c.reshape(3, -1)) for c in cores], dim=1)
    made = METHODS["ties"].function(vectors_of(flat.float()), density=0.3, merge="mean")
    whole = torch.cat(list(made.deltas()), dim=1).double().sum(0)
    for name, core, (u, v) in zip(("w", "v"), cores, bases, strict=True):
        size = core[0].size
        part, whole = whole[:size].view(core[0].shape).numpy(), whole[size:]
        agree(found[name], torch.from_numpy(u @ part @ v.T), 1e-4)


def test_core_space_of_one_task_is_the_task() -> None:
    agree(merge("core_space", lora(0, 8, 9)[:1], density=1.0), lora(0, 8, 9)[0])
    turned = merge("core_space", lora(0, 8, 9), outputs_last=True, density=0.4)
    agree(turned, merge("core_space", lora(0, 8, 9), density=0.4))


def test_knots_keeps_all_of_one_task_and_what_one_alone_has() -> None:
    agree(merge("knots", lora(0, 8, 9)[:1], density=1.0), lora(0, 8, 9)[0])
    apart = diagonals([2.0, 0.0, 0.0], [0.0, 3.0, 0.0])
    agree(merge("knots", apart, density=1.0), apart.sum(0))
    assert not merge("knots", 1e-7 * apart).any()  # below 1e-5 there is nothing
