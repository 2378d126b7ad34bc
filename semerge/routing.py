"""Distances -> similarities -> coefficients: the routing of SE-Merging, for every preset.

Pure functions of a (B, T) matrix of distances. Nothing here knows images, text or models. The
arithmetic is float64: it is T numbers a sample, and it makes the edge cases exact.
Source: arXiv 2506.18135, with the readings that semerge.settings names.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from semerge.settings import Resolved

EPSILON = 1e-12  # of the mean distance: keeps 1/d finite and lets a zero distance win
EQUAL = 1e-6  # distances that differ by less than this share of their mean are the same


@dataclass(frozen=True)
class Routing:
    """What B samples are routed to, over T tasks. All float64 unless said otherwise."""

    similarities: Tensor  # (B, T) normalised over the tasks
    weights: Tensor  # (B, T) softmax(similarities / temperature); rows sum to 1
    coefficients: Tensor  # (B, T) mass * weights
    chosen: Tensor  # (B,) int64, the nearest expert
    margin: Tensor  # (B,) (d2 - d1) / d2
    entropy: Tensor  # (B,) of weights, in nats, over log T: in [0, 1]
    flags: Mapping[str, Tensor]  # (B,) bool each: near_tie, flat, far, fallback


def route(
    distances: Tensor,
    resolved: Resolved,
    static_lambda: float,
    thresholds: Mapping[str, float | None] | None = None,
) -> Routing:
    """Turn raw distances into coefficients, sample by sample.

    Args:
        distances: (B, T), T >= 2, not negative.
        static_lambda: the static merge's coefficient. The mass "T*lambda" is T times it.
        thresholds: `near_tie` on the margin, `flat` on (max d - min d) / mean d, both relative;
            `far` on the smallest distance, in its own unit. None switches a flag off.

    A row with a distance that is not finite falls back to the static coefficients.

    Raises:
        ValueError: T < 2, or distances are not a matrix.
    """
    if distances.ndim != 2 or distances.shape[1] < 2:
        raise ValueError(f"distances must be (B, T) with T >= 2, not {tuple(distances.shape)}")
    d = distances.detach().to("cpu", torch.float64)  # (B, T)
    tasks = d.shape[1]
    broken = ~torch.isfinite(d).all(dim=1)  # (B,)
    chosen = torch.where(torch.isfinite(d), d, torch.inf).argmin(dim=1)  # (B,)
    d = torch.where(broken[:, None], torch.ones_like(d), d)

    low, high, mean = d.amin(dim=1), d.amax(dim=1), d.mean(dim=1)  # (B,)
    equal = high - low <= EQUAL * mean
    similarities = normalise(similarity(d, resolved.similarity), resolved.normalise)
    similarities = torch.where(equal[:, None], torch.zeros_like(d), similarities)
    if resolved.hard:
        weights = torch.nn.functional.one_hot(chosen, tasks).to(torch.float64)
    else:
        weights = softmax(similarities, resolved.temperature)
    weights = torch.where(equal[:, None], torch.full_like(d, 1.0 / tasks), weights)

    mass = 1.0 if resolved.mass == "1" else tasks * static_lambda
    coefficients = torch.where(
        broken[:, None], torch.full_like(d, static_lambda), mass * weights
    )  # (B, T)

    nearest = d.sort(dim=1).values[:, :2]  # (B, 2)
    margin = (nearest[:, 1] - nearest[:, 0]) / nearest[:, 1]
    margin = torch.where(nearest[:, 1] > 0, margin, torch.zeros_like(margin))
    entropy = torch.special.entr(weights).sum(dim=1) / math.log(tasks)
    limits = thresholds or {}
    spread = torch.where(mean > 0, (high - low) / mean, torch.zeros_like(mean))
    return Routing(
        similarities=similarities,
        weights=weights,
        coefficients=coefficients,
        chosen=chosen,
        margin=margin,
        entropy=entropy.clamp(0.0, 1.0),  # rounding may pass 1 by a few 1e-16
        flags={
            "near_tie": _below(margin, limits.get("near_tie")) & ~broken,
            "flat": _below(spread, limits.get("flat")) & ~broken,
            "far": _below(-low, _negated(limits.get("far"))) & ~broken,
            "fallback": broken,
        },
    )


def similarity(distances: Tensor, kind: str) -> Tensor:
    """`inverse`: 1 / (d + eps), eps = 1e-12 * mean(d); `negative`: -d. (B, T) -> (B, T)."""
    if kind == "negative":
        return -distances
    mean = distances.mean(dim=1, keepdim=True)
    return 1.0 / (distances + EPSILON * mean)


def normalise(similarities: Tensor, kind: str) -> Tensor:
    """Normalise over the tasks of each sample. (B, T) -> (B, T).

    `minmax`: (s - min) / (max - min), zeros where all are equal. `zscore`: (s - mean) / std with
    the population's std (divided by T), zeros where all are equal. `sum`: s / sum |s|, so that
    the negative similarity keeps its order. `none`: as they are.
    """
    if kind == "none":
        return similarities
    if kind == "minmax":
        low = similarities.amin(dim=1, keepdim=True)
        return _ratio(similarities - low, similarities.amax(dim=1, keepdim=True) - low)
    if kind == "zscore":
        centred = similarities - similarities.mean(dim=1, keepdim=True)
        return _ratio(centred, centred.square().mean(dim=1, keepdim=True).sqrt())
    return _ratio(similarities, similarities.abs().sum(dim=1, keepdim=True))


def softmax(similarities: Tensor, temperature: float) -> Tensor:
    """softmax(s / temperature) over the tasks; the maximum goes first, so nothing overflows."""
    shifted = similarities - similarities.amax(dim=1, keepdim=True)
    return torch.softmax(shifted / temperature, dim=1)


def _ratio(numerator: Tensor, denominator: Tensor) -> Tensor:
    safe = torch.where(denominator > 0, denominator, torch.ones_like(denominator))
    return torch.where(denominator > 0, numerator / safe, torch.zeros_like(numerator))


def _below(values: Tensor, limit: float | None) -> Tensor:
    if limit is None:
        return torch.zeros_like(values, dtype=torch.bool)
    return values < limit


def _negated(limit: float | None) -> float | None:
    return None if limit is None else -limit
