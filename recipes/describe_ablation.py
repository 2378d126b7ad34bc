"""How experts that were made in different ways fare: what the recipe was chosen by.

Everything here is measured on validation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from recipes.curve import curve
from semerge.data.labelled import LabelledSet, balanced_rows
from semerge.engine import Engine
from semerge.evaluation.measure import BASE, Plan, measure
from semerge.evaluation.selection import accuracy, every_key
from semerge.loading import Loaded

PAPER_LAMBDA = 0.3


def describe(loaded: Loaded, validation: Sequence[LabelledSet], limit: int) -> dict[str, Any]:
    """Accuracies and routing of one set of experts, on at most `limit` samples a task.

    Returns its curve over λ, and of that: base, expert, static (Task Arithmetic at its best λ, with
    the given head) and where the probe `experts` routes best, at any λ and at the paper's; beside
    it where the probe `base` does.
    """
    engine = Engine(loaded)
    sets = [s.take(balanced_rows(s.labels, limit, seed=0)) for s in validation]
    found = curve(engine, sets)
    rows = found["rows"]
    static = max(rows, key=lambda row: row["static"])
    routing = {
        "experts": max(rows, key=lambda row: row["nearest"]),
        f"experts, λ {PAPER_LAMBDA}": next(r for r in rows if r["lambda"] == PAPER_LAMBDA),
    }
    keys = tuple(key for key in every_key(engine.suite, []) if key.probe == "base")
    measured = measure(engine, sets, Plan(keys))
    figures = {key: accuracy(measured, key)["routing"] for key in keys}
    best = max(figures, key=lambda key: figures[key])
    base = {"lambda": BASE, "layer": best.layer, "pool": best.pool, "nearest": figures[best]}
    return {
        **{name: found[name] for name in ("samples", "base", "expert")},
        "static": static["static"],
        "static_lambda": static["lambda"],
        "routing": {
            name: {
                "probe_lambda": row["lambda"],
                "layer": row["layer"],
                "pool": row["pool"],
                "routing_all": row["nearest"],
            }
            for name, row in {**routing, "base": base}.items()
        },
        "drift_correlation": drift_correlation(loaded),
        "curve": found,
    }


def drift_correlation(loaded: Loaded) -> float:
    """Mean cosine between two task vectors, over all pairs."""
    deltas = list(loaded.vectors.deltas())
    vectors = torch.nn.functional.normalize(torch.cat(deltas, dim=1), dim=1)  # (T, P)
    t = len(vectors)
    return float(((vectors @ vectors.mT).sum() - t) / (t * (t - 1)))
