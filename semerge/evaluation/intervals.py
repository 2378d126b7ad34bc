"""Shares with their uncertainty."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import sqrt
from typing import Any

import torch
from torch import Tensor

Z = 1.959963984540054
"""Half-width of a 95 % interval, in standard deviations."""


def wilson(hits: int, n: int) -> tuple[float, float]:
    """95 % score interval of a share (Wilson 1927, "Probable inference, the law of succession").

    (0, 1) where nothing was counted.
    """
    if n == 0:
        return 0.0, 1.0
    share, square = hits / n, Z * Z
    centre = (share + square / (2 * n)) / (1 + square / n)
    half = Z * sqrt(share * (1 - share) / n + square / (4 * n * n)) / (1 + square / n)
    # at the ends the interval reaches the share itself, which rounding may miss
    return min(share, max(0.0, centre - half)), max(share, min(1.0, centre + half))


def share(right: Tensor) -> dict[str, Any]:
    """bool (N,) -> {"share", "low", "high", "n"}; the share is None where N is 0."""
    n, hits = len(right), int(right.sum())
    low, high = wilson(hits, n)
    return {"share": hits / n if n else None, "low": low, "high": high, "n": n}


def auroc(low: Tensor, high: Tensor) -> float | None:
    """P(a value of `high` is above one of `low`), ties as halves; None where one is empty."""
    if not len(low) or not len(high):
        return None
    ordered = low.sort().values
    below = torch.searchsorted(ordered, high, right=False)
    upto = torch.searchsorted(ordered, high, right=True)
    return float((below + upto).double().mean() / (2 * len(low)))


def pooled(shares: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Several of `share` as one, over all of their samples."""
    rows = [(round(row["share"] * row["n"]), row["n"]) for row in shares if row["n"]]
    hits, n = sum(h for h, _ in rows), sum(m for _, m in rows)
    return share(torch.arange(n) < hits)
