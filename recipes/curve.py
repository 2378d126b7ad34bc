"""What one set of experts is worth at every λ: the static merge, and SE-Merging that probes it.

One λ serves both, so the curve shows from where on the own expert is the nearest, and whether the
static merge works there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from semerge.data.labelled import LabelledSet, balanced_rows
from semerge.engine import Engine
from semerge.evaluation.measure import BASE, Plan, measure
from semerge.evaluation.selection import accuracy, every_key
from semerge.models import Point
from semerge.routing import nearest

SCALES = (0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.4, 1.5)


def curve(
    engine: Engine,
    sets: Sequence[LabelledSet],
    limit: int | None = None,
    scales: Sequence[float] = SCALES,
    at: Point | None = None,
) -> dict[str, Any]:
    """Accuracies and routing over λ, as means over tasks.

    limit: samples a task at most. at: the (layer, pool) that is probed; without one, at each λ
    the one that routes best.

    Returns base, expert, both by task, and `rows`, one a λ: `static` with the given head;
    `nearest`, the share of samples whose own expert is nearest (probe `experts`), and where that
    was probed; preset `hard` there with the given and with the routed head; and the first two by
    task.
    """
    names = engine.suite.task_names
    if limit is not None:
        sets = [s.take(balanced_rows(s.labels, limit, seed=0)) for s in sets]
    keys = tuple(
        key
        for key in every_key(engine.suite, scales)
        if key.probe == "experts" and at in (None, key.point)
    )
    measured = measure(engine, sets, Plan(keys, (BASE, *scales)))
    seen = measured.tasks.unique().tolist()

    def by_task(right: Any) -> dict[str, float]:
        return {names[t]: round(measured.macro(right, [t]), 4) for t in seen}

    rows = []
    for scale in scales:
        figures = {key: accuracy(measured, key) for key in keys if key.probe_lambda == scale}
        key = max(figures, key=lambda k: (figures[k]["routing"], figures[k]["hard_routed"]))
        static = measured.oracle(measured.answers[scale])
        rows.append(
            {
                "lambda": scale,
                "static": measured.macro(static),
                "nearest": figures[key]["routing"],
                "layer": key.layer,
                "pool": key.pool,
                "hard_given": figures[key]["hard_oracle"],
                "hard_routed": figures[key]["hard_routed"],
                "static_by_task": by_task(static),
                "nearest_by_task": by_task(nearest(measured.distances[key]) == measured.tasks),
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
