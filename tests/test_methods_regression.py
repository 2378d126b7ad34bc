"""Data-free methods by regression on the task vectors' own covariances: by hand, and against the
formulas, written down once more with numpy's whole matrices."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from matrix_models import agree, merge, random, terms
from torch import Tensor

NARROW = torch.tensor([[[1.0, 0.0]], [[1.0, 1.0]]])
APART = torch.tensor([[[1.0, 0.0], [0.0, 0.0]], [[0.0, 0.0], [1.0, 1.0]]])


def loss(m: np.ndarray, taus: np.ndarray) -> float:
    """WUDI's: Σ ‖(M − τt) τtᵀ‖² / ‖τt‖²."""
    return sum(float((((m - tau) @ tau.T) ** 2).sum() / (tau**2).sum()) for tau in taus)


# ---- WUDI ----------------------------------------------------------------------------------------


def test_wudi_by_hand() -> None:
    for filter in ("exact", "aswudi"):  # here the latter takes both directions
        agree(merge("wudi", NARROW, filter=filter), [[1, 1]])
    assert loss(NARROW.sum(0).numpy(), NARROW.numpy()) == pytest.approx(1.5)
    assert loss(merge("wudi", NARROW).numpy(), NARROW.numpy()) == pytest.approx(0)
    agree(merge("wudi", NARROW, filter="exponential", time=1.0), [[1.26409, 0.800344]])
    found = merge("wudi", APART, filter="exact")
    agree(found, [[1, -1], [0, 2]])
    assert loss(found.numpy(), APART.numpy()) == pytest.approx(0, abs=1e-10)


def dense_wudi(taus: np.ndarray, filter: str, time: float) -> np.ndarray:
    """S + (M* − S) Q f Qᵀ."""
    squares = [(tau**2).sum() for tau in taus]
    c = sum(tau.T @ tau / square for tau, square in zip(taus, squares, strict=True))
    d = sum(tau @ tau.T @ tau / square for tau, square in zip(taus, squares, strict=True))
    values, q = np.linalg.eigh(c)
    n = len(values)
    place = np.arange(n)[::-1]  # 0 of the largest
    values = np.maximum(values, 1e-8)
    f = {
        "exact": np.ones(n),
        "exponential": 1 - np.exp(-values * time),
        "swudi": (1 - np.exp(-values * time)) * (place < np.ceil(0.65 * n)),
        "aswudi": 1.0 * (place < np.ceil(np.sqrt(values).sum() ** 2 / values.sum())),
    }[filter]
    s = taus.sum(0)
    return s + (d @ np.linalg.inv(c) - s) @ q @ np.diag(f) @ q.T


@pytest.mark.parametrize("shape", [(3, 6, 9), (4, 7, 5)])
@pytest.mark.parametrize(
    ("filter", "time", "used"),
    [
        ("exact", 0.0, 0.0),
        ("exponential", 0.0, 300.0),
        ("exponential", 2.5, 2.5),
        ("swudi", 0.0, 1300.0),
        ("swudi", 2.5, 2.5),
        ("aswudi", 0.0, 0.0),
    ],
)
def test_wudi_equals_the_formula(
    shape: tuple[int, ...], filter: str, time: float, used: float
) -> None:
    taus = random(*shape)
    taus[0, :, :2] *= 5  # so that the eigenvalues spread
    found = merge("wudi", taus, filter=filter, time=time)
    agree(found, dense_wudi(taus.numpy(), filter, used))


def test_the_exponential_filter_is_gradient_flow() -> None:
    taus = random(3, 4, 5)
    grams = [tau.mT @ tau / tau.square().sum() for tau in taus]
    m, step = taus.sum(0), 1e-3
    for _ in range(2000):
        m = m - step * sum((m - tau) @ gram for tau, gram in zip(taus, grams, strict=True))
    agree(merge("wudi", taus, filter="exponential", time=2.0), m, 1e-3)


def test_wudi_ends_where_the_loss_has_no_slope() -> None:
    taus = random(3, 4, 5)
    best = merge("wudi", taus, filter="exact").numpy()
    least = loss(best, taus.numpy())
    for seed in range(5):
        assert loss(best + 1e-2 * random(4, 5, seed=seed + 1).numpy(), taus.numpy()) > least
    assert least < loss(taus.sum(0).numpy(), taus.numpy())


@pytest.mark.parametrize("filter", ["exact", "aswudi", "swudi", "exponential"])
def test_wudi_of_task_vectors_that_read_other_inputs_is_their_sum(filter: str) -> None:
    rows = torch.linalg.qr(random(6, 6))[0].view(3, 2, 6)
    taus = random(3, 4, 2, seed=1) @ rows
    agree(merge("wudi", taus, filter=filter), taus.sum(0))
    agree(terms("wudi", taus, filter=filter), taus)


def test_wudi_does_not_see_a_task_that_is_zero() -> None:
    taus = random(2, 4, 5)
    for filter in ("exact", "aswudi", "exponential"):
        more = torch.cat([taus, torch.zeros(1, 4, 5)])
        agree(merge("wudi", more, filter=filter), merge("wudi", taus, filter=filter))


def test_wudi_of_task_vectors_of_low_rank_is_the_pseudo_inverse() -> None:
    taus = random(2, 6, 1) @ random(2, 1, 8, seed=1)
    c = sum(tau.mT @ tau / tau.square().sum() for tau in taus)
    d = sum(tau @ tau.mT @ tau / tau.square().sum() for tau in taus)
    agree(merge("wudi", taus, filter="exact"), d @ torch.linalg.pinv(c, rtol=1e-6))


# ---- ACE -----------------------------------------------------------------------------------------


def test_ace_by_hand() -> None:
    taus = torch.zeros(2, 4, 4)
    taus[0, 0, 0], taus[0, 3, 3], taus[1, 0, 1], taus[1, 2, 2] = 1, -1, 2, -2
    plain = [0.624751, 1.357572, 0.377085, 0.12719]
    agree(merge("ace", taus)[0], [1.214888, 2.720606, 1.593874, 0.089795])
    agree(merge("ace", taus, leading=0.0)[0], plain)
    alike = torch.stack([torch.diag(torch.tensor(d)) for d in ([2.0, 0.0], [0.0, 2.0])])
    agree(merge("ace", alike), [[0.99505, -0.99505], [-0.99505, 0.99505]])


def dense_ace(taus: np.ndarray, ridge: float, unlike: float, leading: float) -> np.ndarray:
    count, m, n = taus.shape
    sizes = (taus**2).sum((1, 2))
    spread = np.var(np.log(sizes), ddof=1) / np.log(sizes).mean() ** 2
    apart = spread > unlike
    numerator, total, covariances, c = np.zeros((m, n)), np.zeros((n, n)), [], np.zeros(n)
    for tau in taus:
        centred = tau - np.ones((m, m)) / m @ tau
        covariance = centred.T @ centred
        divisor = np.trace(covariance) if apart else 1.0
        covariance = covariance / divisor
        padded = covariance + ridge / divisor * np.eye(n)
        covariances.append(covariance)
        numerator += centred @ padded
        total += padded
        c += covariance.mean(0)
    c = c / sizes.mean() if apart else c
    merged = numerator @ np.linalg.inv(total + np.outer(np.ones(n), c))
    if apart:
        x = merged + sum(
            tau @ (covariance - total / count)
            for tau, covariance in zip(taus, covariances, strict=True)
        )
        u, s, vt = np.linalg.svd(x, full_matrices=False)
        k = int(leading * min(m, n))
        merged = merged + s[:k].mean() * u[:, :k] @ vt[:k]
    return merged


@pytest.mark.parametrize("shape", [(3, 6, 9), (4, 8, 5)])
@pytest.mark.parametrize("unlike", [0.0, 10.0])
def test_ace_equals_the_formula(shape: tuple[int, ...], unlike: float) -> None:
    taus = random(*shape)
    taus[1] *= 3
    found = merge("ace", taus, ridge=0.02, unlike=unlike, leading=0.5)
    agree(found, dense_ace(taus.numpy(), 0.02, unlike, 0.5))


def test_ace_with_a_large_ridge_is_the_average_of_the_centred() -> None:
    taus = 1e-3 * random(3, 5, 6)
    agree(1e3 * merge("ace", taus), 1e3 * (taus - taus.mean(1, keepdim=True)).mean(0), 1e-2)


# ---- OptMerge ------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(2, 6, 9), (3, 8, 7)])
def test_optmerge_is_where_the_descent_from_the_sum_ends(shape: tuple[int, ...]) -> None:
    """By plain gradient descent on the loss, from S."""
    taus = random(*shape)
    count, k = len(taus), min(shape[1:]) // len(taus)
    mean, targets, reads = taus.mean(0), [], []
    for tau in taus:
        u, s, vt = torch.linalg.svd(tau - mean, full_matrices=False)
        targets.append(mean + (u[:, :k] * s[:k]) @ vt[:k])
        _, s, vt = torch.linalg.svd(tau, full_matrices=False)
        reads.append(s[:k, None] * vt[:k] / tau.norm())
    grams = [read.mT @ read for read in reads]

    def slope(m: Tensor) -> Tensor:
        return torch.stack([(m - targets[t]) @ grams[t] for t in range(count)]).sum(0)

    m = taus.sum(0)
    for _ in range(2000):
        m = m - 1e-3 * slope(m)
    agree(merge("optmerge", taus, filter="exponential", time=2.0), m, 1e-3)
    while slope(m).abs().max() > 1e-9:
        m = m - slope(m)
    agree(merge("optmerge", taus, filter="exact"), m)
    values, q = torch.linalg.eigh(torch.stack(grams).sum(0))
    top = math.ceil(values.clamp(min=0).sqrt().sum() ** 2 / values.sum())
    start, leading = taus.sum(0), q[:, -top:]
    agree(merge("optmerge", taus), start + (m - start) @ leading @ leading.mT)


def test_optmerge_without_room_for_a_triplet_each_is_the_average() -> None:
    taus = random(3, 2, 5)
    agree(merge("optmerge", taus), taus.mean(0))
