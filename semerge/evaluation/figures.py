"""From rows to accuracies, averages, recovered shares of the gap, and a suite's lines."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# --------------------------------------------------------------------------------------------------
# One row a sample: what the app's table, the CSV and every figure are made from.


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

    def right(self, column: str) -> bool:
        """Whether a column is right. In a routed column a wrong expert is a wrong answer, even
        where its head happens to have a class of the same name."""
        if column == "routing":
            return self.chosen == self.task
        answer: str = getattr(self, column)
        if column.endswith("_routed") and self.chosen != self.task:
            return False
        return answer == self.label


def by_task(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Rows grouped by task, tasks in the order in which they first appear."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row.task, []).append(row)
    return groups


# --------------------------------------------------------------------------------------------------
# From rows to accuracies, averages and recovered shares of the gap.

COLUMNS = (
    "base_oracle",
    "base_routed",
    "static_oracle",
    "static_routed",
    "se_oracle",
    "se_routed",
    "expert",
    "routing",
)
HEADS = ("oracle", "routed")

Figures = dict[str, float]


def task_figures(rows: Sequence[Row]) -> dict[str, Any]:
    """Accuracies of one task, as fractions, with its number of samples `n`."""
    return {"n": len(rows)} | {c: sum(r.right(c) for r in rows) / len(rows) for c in COLUMNS}


def average(
    tasks: Mapping[str, Mapping[str, float]], names: Collection[str] | None = None
) -> Figures:
    """Mean over tasks (each counts the same), of all or of those named. Empty if none is left."""
    chosen = [t for name, t in tasks.items() if names is None or name in names]
    if not chosen:
        return {}
    return {c: sum(t[c] for t in chosen) / len(chosen) for c in COLUMNS if c in chosen[0]}


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


def changes(rows: Sequence[Row]) -> dict[str, dict[str, int]]:
    """By head mode: samples that static has wrong and SE right (`fixed`), and the other way round
    (`broken`). Both sides use the same head."""
    counts = {"fixed": dict.fromkeys(HEADS, 0), "broken": dict.fromkeys(HEADS, 0)}
    for row in rows:
        for head in HEADS:
            static, se = row.right(f"static_{head}"), row.right(f"se_{head}")
            if static != se:
                counts["fixed" if se else "broken"][head] += 1
    return counts


def summary(rows: Sequence[Row], real: Collection[str]) -> dict[str, Any]:
    """The figures of a run: `tasks`, `average` (= `average_all`), `average_real` over the tasks
    named in `real`, `recovery` of each average, `fixed` and `broken`."""
    tasks = {name: task_figures(own) for name, own in by_task(rows).items()}
    everything, on_real = average(tasks), average(tasks, real)
    return {
        "tasks": tasks,
        "average": everything,
        "average_all": everything,
        "average_real": on_real,
        "recovery": {"all": recovery(everything), "real": recovery(on_real)},
        **changes(rows),
    }


# --------------------------------------------------------------------------------------------------
# What a bundled suite has to show, as lines {line, on, value, target, met}.

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

    averages: figures by "real" and "all", as `metrics.average` gives them. With no gap to
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


CAUSES = {
    "expert": "the expert itself",
    "gap": "the gap between experts and merge",
    "routing": "routing",
    "merge": "the merge",
    "task": "a task that is too easy",
}
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
