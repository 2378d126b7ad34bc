"""What one set of experts is worth at every λ: the static merge, and SE-Merging that probes it.

One λ serves both, so the curve shows from where on the own expert is the nearest, and whether the
static merge works there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from semerge.data.labelled import LabelledSet
from semerge.engine import Engine
from semerge.evaluation.measure import BASE, Plan, measure
from semerge.evaluation.selection import every_key, over_lambda

SCALES = (0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.4, 1.5)


def curve(
    engine: Engine,
    sets: Sequence[LabelledSet],
    scales: Sequence[float] = SCALES,
) -> dict[str, Any]:
    """Accuracies and routing over λ, see `over_lambda`, each λ probed where it routes best."""
    keys = tuple(key for key in every_key(engine.suite, scales) if key.probe == "experts")
    measured = measure(engine, sets, Plan(keys, (BASE, *scales)))
    return over_lambda(measured, engine.suite.task_names, None)


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
