"""What one set of experts is worth at every λ: the static merge, and SE-Merging that probes it.

One λ serves both, so the curve shows where the own expert becomes the nearest and whether the
static merge works there. Measured on validation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from recipes.selection import best_row, routing_row
from semerge.data.labelled import LabelledSet, balanced_rows
from semerge.engine import Engine
from semerge.evaluation.measure import BASE, Plan, measure
from semerge.evaluation.selection import every_key
from semerge.loading import Loaded

SCALES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.2)


def curve(
    loaded: Loaded,
    validation: Sequence[LabelledSet],
    limit: int,
    scales: Sequence[float] = SCALES,
) -> dict[str, Any]:
    """Accuracies and routing over λ, on at most `limit` samples a task.

    Returns base, expert, both by task, and `rows`, one a λ: `static` with the given head;
    `nearest`, the share of samples whose own expert is nearest (probe `experts`), at the layer and
    pooling where that is largest; preset `hard` there with the given and with the routed head; and
    the first two by task.
    """
    engine = Engine(loaded)
    names = engine.suite.task_names
    sets = [s.take(balanced_rows(s.labels, limit, seed=0)) for s in validation]
    keys = tuple(k for k in every_key(engine.suite, scales) if k.probe == "experts")
    measured = measure(engine, sets, Plan(keys, (BASE, *scales)))
    seen = measured.tasks.unique().tolist()

    def by_task(right: Any) -> dict[str, float]:
        return {names[t]: round(measured.macro(right, [t]), 4) for t in seen}

    rows = []
    for scale in scales:
        mine = [key for key in keys if key.probe_lambda == scale]
        found = {(k.layer, k.pool): routing_row(engine.suite, measured, k) for k in mine}
        best = best_row(list(found.values()), "experts")
        key = next(k for k in mine if k.point == (best["layer"], best["pool"]))
        static = measured.oracle(measured.answers[scale])
        nearest = measured.distances[key].argmin(1) == measured.tasks
        rows.append(
            {
                "lambda": scale,
                "static": measured.macro(static),
                "nearest": best["routing_all"],
                "layer": best["layer"],
                "pool": best["pool"],
                "hard_given": best["hard_oracle_all"],
                "hard_routed": best["hard_routed_all"],
                "static_by_task": by_task(static),
                "nearest_by_task": by_task(nearest),
            }
        )
    base = measured.oracle(measured.answers[BASE])
    expert = measured.oracle(measured.expert_of(measured.tasks))
    return {
        "samples": len(measured),
        "base": measured.macro(base),
        "expert": measured.macro(expert),
        "base_by_task": by_task(base),
        "expert_by_task": by_task(expert),
        "rows": rows,
    }


def table(found: dict[str, Any]) -> str:
    """The rows as text, in percent, for a log."""
    head = f"base {100 * found['base']:.1f}, experts {100 * found['expert']:.1f}"
    lines = [f"{head} ({found['samples']} samples)", "  λ   static  nearest  given  routed"]
    lines += [
        f"{r['lambda']:4.2f}  {100 * r['static']:5.1f}   {100 * r['nearest']:5.1f}   "
        f"{100 * r['hard_given']:5.1f}  {100 * r['hard_routed']:5.1f}   {r['layer']} {r['pool']}"
        for r in found["rows"]
    ]
    return "\n".join(lines)
