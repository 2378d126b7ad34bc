"""From rows to accuracies, averages, recovered shares of the gap, and a suite's lines."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Row:
    """One labelled sample and every model's answer to it.

    `*_oracle` answers come from the head of the sample's own task, `*_routed` ones from the head
    of the chosen expert; all are class names of that head.
    """

    id: str  # task/split/number; the number is the row in the split's file or cut
    task: str
    label: str
    chosen: str  # the expert that was recognised
    margin: float
    entropy: float
    base_oracle: str
    base_routed: str
    static_oracle: str
    static_routed: str
    se_oracle: str
    se_routed: str
    expert: str  # the task's own expert with its own head
    confidence: float  # its score for that, calibrated

    def right(self, column: str) -> bool:
        """Whether a column is right. In a routed column a wrong expert is a wrong answer, even
        where its head happens to have a class of the same name."""
        if column == "routing":
            return self.chosen == self.task
        answer: str = getattr(self, column)
        if column.endswith("_routed") and self.chosen != self.task:
            return False
        return answer == self.label


# ---- accuracies, averages and recovered shares of the gap ----------------------------------------

COLUMNS = {  # what is counted of rows: its heading
    "base_oracle": "base",
    "base_routed": "base r.",
    "static_oracle": "static",
    "static_routed": "static r.",
    "se_oracle": "SE",
    "se_routed": "SE r.",
    "expert": "expert",
    "routing": "routing",
}
CALIBRATION = "calibration_error"  # of the own experts' scores
HEADINGS = {**COLUMNS, CALIBRATION: "ECE"}
HEADS = ("oracle", "routed")
STATUSES = FIXED, BROKEN, BOTH_WRONG, BOTH_RIGHT = "fixed", "broken", "both wrong", "both right"

Figures = dict[str, float]


def average(
    tasks: Mapping[str, Mapping[str, float]], names: Collection[str] | None = None
) -> Figures:
    """Mean over tasks (each counts the same), of all or of those named. Empty if none is left."""
    chosen = [t for name, t in tasks.items() if names is None or name in names]
    if not chosen:
        return {}
    return {c: sum(t[c] for t in chosen) / len(chosen) for c in HEADINGS if c in chosen[0]}


def recovery(figures: Mapping[str, float]) -> Figures:
    """How much of the gap between the experts and the static merge SE-Merging recovers.

    gap = expert − static, both with the given (oracle) head; recovery_oracle and recovery_routed
    are (SE − static_oracle) / gap. With no gap to recover (gap <= 0) only the gap is given.
    """
    if not figures:
        return {}
    gap = figures["expert"] - figures["static_oracle"]
    found = {"gap": gap}
    if gap > 0:
        for head in HEADS:
            found[f"recovery_{head}"] = (figures[f"se_{head}"] - figures["static_oracle"]) / gap
    return found


def status(row: Row, head: str = "oracle") -> str:
    """What SE-Merging made of the static merge's answer, both under the same head: `oracle`, the
    task's own, or `routed`, the chosen expert's, where a wrong expert is a wrong answer."""
    static, se = row.right(f"static_{head}"), row.right(f"se_{head}")
    if static == se:
        return BOTH_RIGHT if se else BOTH_WRONG
    return FIXED if se else BROKEN


def changes(rows: Sequence[Row]) -> dict[str, dict[str, int]]:
    """Numbers of samples that are `fixed` and of those that are `broken`, by head mode."""
    return {
        kind: {head: sum(status(row, head) == kind for row in rows) for head in HEADS}
        for kind in (FIXED, BROKEN)
    }


def summary(rows: Sequence[Row], real: Collection[str]) -> dict[str, Any]:
    """The figures of a run: accuracies by `tasks`, as fractions, with the number of samples `n` and
    the calibration error of the task's own expert;
    `average` (= `average_all`), `average_real` over the tasks named in `real`, `recovery` of each
    average, `fixed` and `broken`."""
    by_task: dict[str, list[Row]] = {}
    for row in rows:
        by_task.setdefault(row.task, []).append(row)
    tasks: dict[str, dict[str, Any]] = {}
    for name, own in by_task.items():
        shares = {c: sum(row.right(c) for row in own) / len(own) for c in COLUMNS}
        scores, right = [row.confidence for row in own], [row.right("expert") for row in own]
        error = calibration_error(scores, right)
        tasks[name] = {"n": len(own), **shares, CALIBRATION: error}
    everything, on_real = average(tasks), average(tasks, real)
    return {
        "tasks": tasks,
        "average": everything,
        "average_all": everything,
        "average_real": on_real,
        "recovery": {"all": recovery(everything), "real": recovery(on_real)},
        **changes(rows),
    }


# ---- shares with their uncertainty ---------------------------------------------------------------

Z = 1.959963984540054
"""Half-width of a 95 % interval, in standard deviations."""
Limits = tuple[float, float]


def wilson(hits: int, n: int) -> Limits:
    """95 % score interval of a share (Wilson 1927, "Probable inference, the law of succession").
    (0, 1) where nothing was counted."""
    if n == 0:
        return 0.0, 1.0
    share, square = hits / n, Z * Z
    centre = (share + square / (2 * n)) / (1 + square / n)
    half = Z * math.sqrt(share * (1 - share) / n + square / (4 * n * n)) / (1 + square / n)
    # at the ends the interval reaches the share itself, which rounding may miss
    return min(share, max(0.0, centre - half)), max(share, min(1.0, centre + half))


def limits(tasks: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, Limits]]:
    """95 % intervals of a summary's accuracies, by task and column: `wilson`'s."""
    return {
        name: {c: wilson(round(figures[c] * figures["n"]), int(figures["n"])) for c in COLUMNS}
        for name, figures in tasks.items()
    }


def limits_of_mean(tasks: Mapping[str, Mapping[str, float]]) -> dict[str, Limits]:
    """95 % intervals of the mean over tasks, by column; empty without any. The tasks' own limits,
    combined by squares: with T tasks the lower one lies sqrt(sum of (p - low)^2) / T below the mean
    (Zou and Donner 2008, "Construction of confidence intervals about effect measures"). Of one task
    it is Wilson's."""
    by_task, mean = limits(tasks), average(tasks)

    def apart(column: str, side: int) -> float:
        gaps = (tasks[name][column] - found[column][side] for name, found in by_task.items())
        return math.hypot(*gaps) / len(tasks)

    return {c: (mean[c] - apart(c, 0), mean[c] + apart(c, 1)) for c in COLUMNS if c in mean}


# ---- scores that mean what they say --------------------------------------------------------------

BINS = 15


def calibration_error(scores: Sequence[float], right: Sequence[bool]) -> float:
    """Expected calibration error: the mean gap between score and accuracy, over bins of equal
    width by score (Naeini et al. 2015; Guo et al., arXiv 1706.04599).

    scores: of the answers, in [0, 1]. right: whether each is right. A fraction; 0 without samples.
    """
    gaps = [0.0] * BINS
    for score, hit in zip(scores, right, strict=True):
        # bins are open at their lower end, as there
        gaps[max(0, math.ceil(score * BINS) - 1)] += hit - score
    return sum(map(abs, gaps)) / max(1, len(scores))
