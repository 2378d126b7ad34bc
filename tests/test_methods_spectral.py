"""Data-free methods by the spectrum of the weights: by hand, and against the formulas, written down
once more with numpy's whole matrices."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from matrix_models import agree, merge, random

HALVES = torch.tensor([[[2.0, 0.0], [0.0, 0.0]], [[0.5, 0.5], [0.5, 0.5]]])


# ---- TSV-M ---------------------------------------------------------------------------------------


def test_tsv_m_by_hand() -> None:
    found = merge("tsv_m", HALVES)
    agree(found, [[1.853553, -0.353553], [-0.353553, 1.146447]])
    assert torch.linalg.svdvals(found).tolist() == pytest.approx([2, 1])


def dense_tsv_m(taus: np.ndarray) -> np.ndarray:
    """With whole zero-padded matrices, as published."""
    count, m, n = taus.shape
    r = min(m, n) // count
    u, s, v = np.zeros((m, min(m, n))), np.zeros(min(m, n)), np.zeros((min(m, n), n))
    for t, tau in enumerate(taus):
        ut, st, vt = np.linalg.svd(tau, full_matrices=False)
        part = slice(t * r, (t + 1) * r)
        u[:, part], s[part], v[part] = ut[:, :r], st[:r], vt[:r]
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
