"""From rows to accuracies, averages and recovered shares of the gap."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from semerge.evaluation.rows import Row, by_task

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
