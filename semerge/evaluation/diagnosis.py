"""Why a suite works or does not: everything of `evaluate --diagnose` and of report.json's key
"diagnosis".

What is chosen (the automatic pick, thresholds, the score of the notice) is chosen on validation;
test is only measured. Every part states its sample sizes; the samples are a seeded, class-balanced
cut, so that two suites take minutes on one core.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from operator import itemgetter
from pathlib import Path
from typing import Any

from semerge.data.labelled import Sets
from semerge.data.sets import subsample
from semerge.engine import Engine
from semerge.evaluation import hypothesis, selection
from semerge.evaluation.measure import BASE, Cancelled, Measurement, Plan, measure
from semerge.evaluation.misfits import gauges, misfits, other_key
from semerge.evaluation.selection import PROBE_LAMBDAS, every_key
from semerge.models import Point
from semerge.probes import PROBES
from semerge.registry import Key
from semerge.settings import Resolved, Settings
from semerge.suites.abstention import Beside

SAMPLES = 100
"""Samples a task of validation and of test."""
Tell = Callable[[str], None]


def diagnose(
    engine: Engine,
    validation: Sets,
    test: Sets,
    data: str | Path | None = None,
    *,
    samples: int = SAMPLES,
    seed: int = 0,
    tell: Tell = lambda text: None,
    cancelled: Cancelled | None = None,
) -> dict[str, Any]:
    """The whole diagnosis at the suite's defaults, as plain numbers, strings, lists and dicts.
    data: the data folder; its tasks that the suite does not have serve as unseen inputs. samples:
    of each task, of either split. tell: gets a word before each part."""
    suite, keys = engine.suite, candidates(engine)
    resolved = Settings().resolve(suite)
    around = Beside(gauges=gauges(suite, resolved))
    scales = (BASE, suite.defaults.static_lambda, *PROBE_LAMBDAS, resolved.probe_lambda)
    plan = Plan((*keys, *around.gauges), answers=tuple(dict.fromkeys(scales)))

    def measured(name: str, whole: Sets) -> Measurement:
        tell(f"distances of {name} samples")
        return measure(engine, subsample(whole, samples, seed).sets, plan, None, cancelled)

    on_validation, on_test = measured("validation", validation), measured("test", test)
    moving = moving_point(on_validation, keys, resolved)
    tell("displacements, bias and the map")
    why = _why(engine, on_test, keys, resolved, moving, cancelled)
    # where another probe routes, the paper's own is shown where it routes best
    probed = resolved.probing.point if resolved.probe == "experts" else None
    tell("inputs that belong to no task")
    around = replace(around, other=other_key(suite, resolved, moving))
    folder = Path(data) if data is not None and Path(data).is_dir() else None
    return {
        "samples": {
            "a_task": samples,
            "validation": len(on_validation),
            "test": len(on_test),
            "seed": seed,
        },
        "at": {
            **{name: getattr(resolved, name) for name in ("probe", "layer", "pool", "preset")},
            "probe_lambda": resolved.probe_lambda,
            "static_lambda": suite.defaults.static_lambda,
            "weights_sha256": engine.weights_sha256(),
        },
        **why,
        "curve": selection.over_lambda(on_test, suite.task_names, probed),
        "choice": choice(on_validation, on_test, keys),
        "abstention": misfits(
            engine, on_validation, on_test, resolved, around, folder, seed=seed, cancelled=cancelled
        ),
    }


def candidates(engine: Engine) -> tuple[Key, ...]:
    """Every probe, λ, layer and pooling that a user could ask of this suite; the cache probe has
    statistics for one λ."""
    suite, stored = engine.suite, engine.models.statistics
    usual = suite.defaults.probe_lambda
    return tuple(
        key
        for key in every_key(suite, sorted({*PROBE_LAMBDAS, usual}))
        if not PROBES[key.probe].stored or (key.probe_lambda == usual and key.point in stored)
    )


def choice(validation: Measurement, test: Measurement, keys: Sequence[Key]) -> dict[str, Any]:
    """The automatic pick on validation's samples without their labels; then, with labels, how good
    it is there and on test. `by_probe` has the same among the candidates of one probe alone."""
    ranked = selection.rank({key: validation.distances[key] for key in keys})

    def judged(among: list[selection.Candidate]) -> dict[str, Any]:
        row = selection.against_labels(among, validation)
        best = Key(*(row["best"][name] for name in Key._fields))
        on_test = {
            "n": len(test),
            "pick": selection.accuracy(test, among[0].key),
            "best_of_validation": selection.accuracy(test, best),
        }
        return row | {"test": on_test}

    probes = dict.fromkeys(key.probe for key in keys)
    return judged(ranked) | {
        "first": [candidate.to_dict() for candidate in ranked[:5]],
        "by_probe": {p: judged([c for c in ranked if c.key.probe == p]) for p in probes},
    }


def moving_point(validation: Measurement, keys: Sequence[Key], resolved: Resolved) -> Point:
    """The (layer, pool) at which displacements tell most: the one that is probed where experts are
    compared; where `cache` routes, the one at which they route best on validation."""
    if not PROBES[resolved.probe].stored:
        return resolved.layer, resolved.pool
    of_experts = [key for key in keys if not PROBES[key.probe].stored]
    return max(of_experts, key=lambda k: selection.accuracy(validation, k)["routing"]).point


def _why(
    engine: Engine,
    test: Measurement,
    keys: Sequence[Key],
    resolved: Resolved,
    moving: Point,
    cancelled: Cancelled | None,
) -> dict[str, Any]:
    """Nearest shares, margins, displacements, bias and the map."""
    suite, sets = engine.suite, test.sets
    shown = (BASE, suite.defaults.probe_lambda)
    rows = hypothesis.nearest_shares(test, [k for k in keys if k.probe_lambda in shown])
    probes = dict.fromkeys(row["probe"] for row in rows)
    share = itemgetter("share")  # of equals the first
    best = {name: max((r for r in rows if r["probe"] == name), key=share) for name in probes}
    distances, point = test.distances[resolved.probing], (resolved.layer, resolved.pool)
    by_scale = {
        key.probe_lambda: test.distances[key]
        for key in keys
        if key.probe in ("experts", "base") and key.point == moving
    }
    moved = hypothesis.displacements(engine, sets, moving, resolved.probe_lambda, cancelled)
    described = hypothesis.describe(suite, moved, moving, by_scale)
    verdict = hypothesis.verdict(described, resolved.probe_lambda)
    coefficients = engine.route(distances, resolved).coefficients
    return {
        "hypothesis": {
            "n": len(test),
            "rows": rows,
            "best": best,
            "margins": hypothesis.margins(distances, test.tasks),
        },
        "displacement": described | {"verdict": verdict},
        "bias": hypothesis.representation_bias(engine, sets, coefficients, cancelled),
        "map": hypothesis.task_map(engine, sets, point, resolved.probe_lambda, cancelled),
    }
