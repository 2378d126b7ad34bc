"""What a bundled suite has to show, as lines {line, on, value, target, met}."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from semerge.evaluation.figures import recovery

GAPS = {
    "static_above_base": {"image": 0.05, "text": 0.10},
    "experts_above_static": {"image": 0.10, "text": 0.05},
}
"""Accuracies, as fractions, by modality. The static merge is that of the suite's one λ."""
ROUTING = {"image": 0.97, "text": 0.96}
"""Share of samples whose own expert is the nearest."""
RECOVERED = {
    "recovery_oracle": {"image": 0.97, "text": 0.95},
    "recovery_routed": {"image": 0.85, "text": 0.55},
}
"""Shares of the gap from static merge to experts that SE-Merging recovers, by head mode."""

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
    "mnist": 0.975,
    "fashion_mnist": 0.87,
    "gtsrb": 0.86,
    "eurosat": 0.86,
    "omniglot_alphabets": 0.80,
    "cifar10": 0.72,
    "charts": 0.77,
    "textures": 0.72,
    # of text: a point below the experts of the first suite, which had other base and recipe
    "sentiment_mr": 0.782,
    "banking77": 0.858,
    "clinc_domain": 0.944,
    "snips_intent": 0.9729,
    "clickbait": 0.9755,
    "stackoverflow20": 0.8735,
    "language_id": 0.969,
}
"""What an expert has to reach at least."""
AVERAGE_FLOOR = {"text": 0.9207}
"""What the experts have to reach on average: what those of the first suite had."""
DRAWINGS = 0.85
"""Share of the drawings on the sketch pad whose nearest expert is that for digits."""
CALIBRATED = 0.04
"""What the expected calibration error may be at most."""
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


def regime_lines(
    averages: Mapping[str, Mapping[str, float]], modality: str
) -> list[dict[str, Any]]:
    """Whether merging is worth something and something is left to gain, and whether the own expert
    is the nearest."""
    found = []
    for on, figures in averages.items():
        values = {
            "static_above_base": figures["static_oracle"] - figures["base_oracle"],
            "experts_above_static": figures["expert"] - figures["static_oracle"],
        }
        found += [_line(name, on, v, GAPS[name][modality]) for name, v in values.items()]
        found.append(_line("own_nearest", on, figures["routing"], ROUTING[modality]))
    if modality in AVERAGE_FLOOR:
        floor = AVERAGE_FLOOR[modality]
        found.append(_line("expert_floor", "all", averages["all"]["expert"], floor))
    return found


def curve_lines(
    curve: Mapping[str, Any], row: Mapping[str, float], modality: str
) -> list[dict[str, Any]]:
    """Both kinds of lines at one λ, from a row of a curve (see `recipes.curve`), preset `hard`."""
    figures = {
        "base_oracle": curve["base"],
        "expert": curve["expert"],
        "static_oracle": row["static"],
        "routing": row["nearest"],
        "se_oracle": row["hard_given"],
        "se_routed": row["hard_routed"],
    }
    found = [x for x in regime_lines({"all": figures}, modality) if x["line"] != "expert_floor"]
    return found + recovery_lines({"all": figures}, modality)


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


def drawing_lines(recognised: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The sketch pad's drawings, on both backgrounds together, find their expert."""
    value = recognised["routed"]["both"]["share"]
    return [_line("drawings_routed", "both backgrounds", value, DRAWINGS)]


def calibration_lines(error: float) -> list[dict[str, Any]]:
    """The experts' expected calibration error, averaged over tasks, at or below its limit."""
    line = _line("calibration_error", "all", error, CALIBRATED)
    return [line | {"met": error <= CALIBRATED}]


def trivial_lines(accuracies: Mapping[str, float]) -> list[dict[str, Any]]:
    """Rendered tasks hard enough that a trivial model fails: accuracy below the limit."""
    return [
        _line("trivial_below", task, value, TRIVIAL_LIMIT) | {"met": value < TRIVIAL_LIMIT}
        for task, value in accuracies.items()
    ]


_CAUSE = {
    "static_above_base": "merge",
    "experts_above_static": "gap",
    "own_nearest": "routing",
    "drawings_routed": "routing",
    "trivial_below": "task",
}


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
