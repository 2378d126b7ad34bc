"""How experts that were made in different ways fare: what the recipe was chosen by.

Everything here is measured on validation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from recipes.selection import STATIC_GRID, best_row, every_trial, routing_row, static_table
from semerge.data.labelled import LabelledSet, balanced_rows
from semerge.engine import Engine
from semerge.evaluation.measure import BASE, Plan, measure
from semerge.evaluation.selection import PROBE_LAMBDAS
from semerge.loading import Loaded

PAPER_LAMBDA = 0.3


def describe(loaded: Loaded, validation: Sequence[LabelledSet], limit: int) -> dict[str, Any]:
    """Accuracies and routing of one set of experts, on at most `limit` samples a task.

    Returns base, expert, static (Task Arithmetic at its best λ, with the given head) and, for the
    probes `experts` and `base` and for `experts` at the paper's λ, the layer and pooling with the
    best routing accuracy.
    """
    engine = Engine(loaded)
    sets = [s.take(balanced_rows(s.labels, limit, seed=0)) for s in validation]
    keys = tuple(
        k for k in every_trial(engine.suite, PROBE_LAMBDAS) if k.probe in ("experts", "base")
    )
    measured = measure(engine, sets, Plan(keys, (BASE, *STATIC_GRID), own_only=False))
    static, _ = static_table(engine, sets, measured)
    rows = [routing_row(engine.suite, measured, key) for key in keys]
    at_paper = [r for r in rows if r["probe"] == "experts" and r["probe_lambda"] == PAPER_LAMBDA]
    best = {
        "experts": best_row(rows, "experts"),
        f"experts, λ {PAPER_LAMBDA}": best_row(at_paper, "experts"),
        "base": best_row(rows, "base"),
    }
    return {
        "samples": int(sum(len(s) for s in sets)),
        "base": measured.macro(measured.oracle(measured.answers[BASE])),
        "expert": measured.macro(measured.oracle(measured.expert_of(measured.tasks))),
        "static": measured.macro(measured.oracle(measured.answers[static])),
        "static_lambda": static,
        "routing": {
            name: {k: row[k] for k in ("probe_lambda", "layer", "pool", "routing_all")}
            for name, row in best.items()
        },
        "drift_correlation": drift_correlation(loaded),
    }


def drift_correlation(loaded: Loaded) -> float:
    """Mean cosine between two task vectors, over all pairs."""
    deltas = list(loaded.vectors.deltas())
    vectors = torch.nn.functional.normalize(torch.cat(deltas, dim=1), dim=1)  # (T, P)
    t = len(vectors)
    return float(((vectors @ vectors.mT).sum() - t) / (t * (t - 1)))
