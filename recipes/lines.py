"""What a bundled suite has to show, as lines {line, on, value, target, met}."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from semerge.evaluation.figures import recovery

GAP = 0.10
"""Experts above the static merge at its best λ, and above the base: accuracy, as a fraction."""
RECOVERED = {
    "recovery_oracle": {"image": 0.95, "text": 0.95},
    "recovery_routed": {"image": 0.90, "text": 0.80},
}
"""Shares of the gap that SE-Merging recovers, by head mode and modality."""

SANITY = {
    "mnist": 0.97,
    "fashion_mnist": 0.86,
    "cifar10": 0.46,
    "gtsrb": 0.70,
    "eurosat": 0.56,
    "omniglot_alphabets": 0.70,
    "sentiment_mr": 0.78,
    "banking77": 0.84,
    "clinc_domain": 0.95,
    "snips_intent": 0.98,
    "clickbait": 0.97,
    "stackoverflow20": 0.87,
    "language_id": 0.97,
}
"""A trivial model's test accuracy by task (images: ridge on random convolution features; text:
naive Bayes), from the data's own table. Experts have to be above it."""
FLOORS = {
    "mnist": 0.97,
    "fashion_mnist": 0.87,
    "gtsrb": 0.85,
    "eurosat": 0.85,
    "cifar10": 0.55,
}
"""What an expert has to reach at least, where that is more than its sanity figure."""
TRIVIAL_LIMIT = 0.90
"""What the same trivial model has to stay below on rendered tasks."""


def recovery_lines(
    averages: Mapping[str, Mapping[str, float]], modality: str
) -> list[dict[str, Any]]:
    """The lines that depend on probe, layer, pooling and preset.

    averages: figures by "real" and "all", as `figures.average` gives them. With no gap to
    recover a line has no value and is not met.
    """
    found = []
    for on, figures in averages.items():
        shares = recovery(figures)
        for name, targets in RECOVERED.items():
            found.append(_line(name, on, shares.get(name), targets[modality]))
    return found


def gap_lines(averages: Mapping[str, Mapping[str, float]]) -> list[dict[str, Any]]:
    """Experts above static Task Arithmetic at its best λ and above the base."""
    found = []
    for on, figures in averages.items():
        for name in ("static", "base"):
            value = figures["expert"] - figures[f"{name}_oracle"]
            found.append(_line(f"experts_above_{name}", on, value, GAP))
    return found


def expert_lines(tasks: Mapping[str, Mapping[str, float]]) -> list[dict[str, Any]]:
    """Every expert at or above its floor and above its task's trivial model."""
    found = []
    for task, figures in tasks.items():
        if task in FLOORS:
            found.append(_line("expert_floor", task, figures["expert"], FLOORS[task]))
        if task in SANITY:
            value, target = figures["expert"], SANITY[task]
            line = _line("expert_above_sanity", task, value, target)
            found.append(line | {"met": value > target})
    return found


def trivial_lines(accuracies: Mapping[str, float]) -> list[dict[str, Any]]:
    """Rendered tasks hard enough that a trivial model fails: accuracy below the limit."""
    return [
        _line("trivial_below", task, value, TRIVIAL_LIMIT) | {"met": value < TRIVIAL_LIMIT}
        for task, value in accuracies.items()
    ]


_CAUSE = {"experts_above_static": "gap", "experts_above_base": "gap", "trivial_below": "task"}


def with_causes(
    lines: Sequence[Mapping[str, Any]],
    hard: Mapping[str, Mapping[str, float]],
    modality: str,
) -> list[dict[str, Any]]:
    """The lines, each missed one with its cause, a key of CAUSES.

    hard: figures by "real" and "all" of the preset `hard`, which takes the nearest expert as it is.
    What it does not recover either was lost by routing; what it alone recovers, by the merge.
    """
    by_hard = {(x["line"], x["on"]): x["met"] for x in recovery_lines(hard, modality)}
    found = []
    for line in lines:
        cause = _CAUSE.get(line["line"], "expert")
        if (at := (line["line"], line["on"])) in by_hard:
            cause = "merge" if by_hard[at] else "routing"
        found.append({**line} if line["met"] else {**line, "cause": cause})
    return found


def _line(name: str, on: str, value: float | None, target: float) -> dict[str, Any]:
    met = value is not None and value >= target
    return {"line": name, "on": on, "value": value, "target": target, "met": met}
