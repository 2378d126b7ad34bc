"""A suite's defaults, chosen on the validation split and nowhere else.

1. Static λ: the best mean accuracy with the given head over the grid, which is made wider while
   the winner is at an edge.
2. For each probe: the probe_lambda, layer and pooling with the best routing accuracy.
3. For each probe, there: the preset that meets most of the recovery lines; of those the one with
   the best mean of both head modes' accuracies.
4. The probe: `experts`, the paper's, if its preset meets every recovery line, else the best of the
   three by the rule of step 3.
5. Thresholds: quantiles of what validation shows at the defaults, see `thresholds`.
All means are over tasks, each counting the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from recipes.lines import recovery_lines
from recipes.statistics import CACHE, CACHE_OWN
from semerge.data.labelled import LabelledSet
from semerge.engine import Engine
from semerge.evaluation.collect import SecondPass, second_pass
from semerge.evaluation.measure import BASE, Measurement, Plan, measure
from semerge.evaluation.selection import PROBE_LAMBDAS, every_key
from semerge.loading import Loaded
from semerge.probe import Caches
from semerge.probes import PROBES
from semerge.registry import Key
from semerge.routing import margin
from semerge.settings import PRESETS, Settings
from semerge.suites import Defaults, Suite

STATIC_GRID = tuple(round(0.05 * i, 2) for i in range(1, 21))
NEAR_TIE, FLAT, FAR = 0.05, 0.01, 0.99
"""Quantiles on validation; see `thresholds`."""

Row = dict[str, Any]


@dataclass(frozen=True)
class Selection:
    """Defaults and thresholds, and every figure that they were chosen from."""

    defaults: Defaults
    thresholds: dict[str, float | None]
    static: list[Row]  # static λ and its accuracy
    routing: list[Row]  # probe x probe_lambda x layer x pool
    presets: list[Row]  # probe x preset, at each probe's best point
    best: dict[str, Row]  # by probe: its best row of `routing`

    def to_dict(self) -> dict[str, Any]:
        """For report.json."""
        return {
            "defaults": vars(self.defaults),
            "thresholds": self.thresholds,
            "static_lambda": self.static,
            "routing": self.routing,
            "presets": self.presets,
            "best": self.best,
        }


def select(loaded: Loaded, validation: Sequence[LabelledSet], caches: Caches) -> Selection:
    """Choose the defaults of a suite whose weights are in memory.

    caches: statistics of both variants at every one of PROBE_LAMBDAS.
    """
    engine = Engine(loaded)
    suite = engine.suite
    keys = tuple(every_trial(suite, PROBE_LAMBDAS))
    plan = Plan(keys, (BASE, *STATIC_GRID), caches=caches)
    measured = measure(engine, validation, plan)
    static, rows = static_table(engine, validation, measured)
    routing = [routing_row(suite, measured, key) for key in keys]
    best = {probe: best_row(routing, probe) for probe in PROBES.names}

    presets: list[Row] = []
    for probe in PROBES.names:
        at = best[probe]
        defaults = Defaults(
            probe, at["layer"], at["pool"], "hard", static, at["probe_lambda"] or PROBE_LAMBDAS[0]
        )
        chosen = with_defaults(loaded, defaults)
        for preset in PRESETS:
            resolved = Settings(preset=preset).resolve(chosen.suite)
            distances = measured.distances[resolved.probing]
            second = second_pass(chosen, validation, measured, distances, resolved)
            presets.append(preset_row(chosen.suite, measured, second, probe, preset))
    probe, preset = choose(presets)
    at = best[probe]
    scale = at["probe_lambda"] or best["experts"]["probe_lambda"]
    defaults = Defaults(probe, at["layer"], at["pool"], preset, static, scale)
    key = Key(probe, at["layer"], at["pool"], at["probe_lambda"])
    limits = thresholds(measured.distances[key])
    return Selection(defaults, limits, rows, routing, presets, best)


def every_trial(suite: Suite, scales: Sequence[float]) -> list[Key]:
    """Every key that a request may have, and those of the variant CACHE_OWN."""
    keys = list(every_key(suite, scales))
    return keys + [key._replace(probe=CACHE_OWN) for key in keys if key.probe == CACHE]


def static_table(
    engine: Engine, sets: Sequence[LabelledSet], measured: Measurement
) -> tuple[float, list[Row]]:
    """The best static λ (the smallest of equals), and accuracy by λ.

    Widens the grid while the winner is at an edge; the answers go to `measured`.
    """
    seen = {
        scale: measured.macro(measured.oracle(answers))
        for scale, answers in measured.answers.items()
        if isinstance(scale, float) and scale != BASE
    }
    step = STATIC_GRID[1] - STATIC_GRID[0]
    while True:
        best = max(sorted(seen), key=lambda scale: seen[scale])
        if best == min(seen) and best > 0.01:
            more = [round(best * part, 4) for part in (0.2, 0.4, 0.6, 0.8)]
        elif best == max(seen) and best < 3:
            more = [round(best + step * i, 4) for i in range(1, 6)]
        else:
            rows = [{"lambda": scale, "accuracy": seen[scale]} for scale in sorted(seen)]
            return best, rows
        wider = measure(engine, sets, Plan(answers=tuple(more), own_only=True))
        measured.answers.update(wider.answers)
        seen |= {scale: wider.macro(wider.oracle(wider.answers[scale])) for scale in more}


def routing_row(suite: Suite, measured: Measurement, key: Key) -> Row:
    """Routing accuracy of one probe, λ, layer and pooling, and what preset `hard` gets there."""
    chosen = measured.distances[key].nan_to_num(torch.inf).argmin(1)
    answers = measured.expert_of(chosen)
    figures = {
        "routing": chosen == measured.tasks,
        "hard_oracle": measured.oracle(answers),
        "hard_routed": measured.routed(answers, chosen),
    }
    row: Row = key._asdict()
    for name, right in figures.items():
        row |= {f"{name}_all": measured.macro(right)}
        row |= {f"{name}_real": measured.macro(right, real_tasks(suite, measured))}
    return row


def best_row(rows: Sequence[Row], probe: str) -> Row:
    """The row of a probe with the best routing over all tasks; of equals that with the best
    routed head, then the first."""
    own = [row for row in rows if row["probe"] == probe]
    return max(own, key=lambda row: (row["routing_all"], row["hard_routed_all"]))


def preset_row(
    suite: Suite, measured: Measurement, second: SecondPass, probe: str, preset: str
) -> Row:
    """SE-Merging's averages under one preset, and which recovery lines they meet."""
    found = averages(suite, measured, second)
    lines = recovery_lines(found, suite.modality)
    return {
        "probe": probe,
        "preset": preset,
        **{f"average_{on}": figures for on, figures in found.items()},
        "lines": lines,
        "met": sum(line["met"] for line in lines),
        "score": (found["all"]["se_oracle"] + found["all"]["se_routed"]) / 2,
    }


def choose(presets: Sequence[Row]) -> tuple[str, str]:
    """(probe, preset) by steps 3 and 4; see above."""

    def rank(row: Row) -> tuple[int, float]:
        return row["met"], row["score"]

    paper = max((row for row in presets if row["probe"] == "experts"), key=rank)
    if paper["met"] == len(paper["lines"]):
        return paper["probe"], paper["preset"]
    best = max(presets, key=rank)
    return best["probe"], best["preset"]


def averages(
    suite: Suite, measured: Measurement, second: SecondPass
) -> dict[str, dict[str, float]]:
    """The columns of `figures.COLUMNS` as means over "all" tasks and over the "real" ones."""
    scale = suite.defaults.static_lambda
    base, static = measured.answers[BASE], measured.answers[scale]
    columns = {"routing": second.chosen == measured.tasks}
    columns["expert"] = measured.oracle(measured.expert_of(measured.tasks))
    for name, answers in (("base", base), ("static", static), ("se", second.answers)):
        columns[f"{name}_oracle"] = measured.oracle(answers)
        columns[f"{name}_routed"] = measured.routed(answers, second.chosen)
    return {
        on: {name: measured.macro(right, tasks) for name, right in columns.items()}
        for on, tasks in (("all", None), ("real", real_tasks(suite, measured)))
    }


def real_tasks(suite: Suite, measured: Measurement) -> list[int]:
    """Positions of the measured tasks whose data are real."""
    return [t for t in measured.tasks.unique().tolist() if suite.tasks[t].real]


def thresholds(distances: Tensor) -> dict[str, float | None]:
    """Distances (N, T) of validation at the defaults -> when a notice is due.

    near_tie: the margin (d2 - d1) / d2 that 5 % of the samples stay below; flat: the spread
    (max - min) / mean that 1 % stay below; far: the smallest distance that 1 % exceed.
    """
    d = distances[torch.isfinite(distances).all(1)].double().sort(1).values
    if not len(d):
        return {"near_tie": None, "flat": None, "far": None}
    spread = (d[:, -1] - d[:, 0]) / d.mean(1).clamp(min=torch.finfo(d.dtype).tiny)
    values = {"near_tie": (margin(d), NEAR_TIE), "flat": (spread, FLAT), "far": (d[:, 0], FAR)}
    return {name: float(torch.quantile(x, q)) for name, (x, q) in values.items()}


def with_defaults(loaded: Loaded, defaults: Defaults) -> Engine:
    """The same weights under other defaults, with all three probes on offer."""
    statistics = loaded.suite.statistics or "statistics.safetensors"
    suite = replace(loaded.suite, defaults=defaults, statistics=statistics)
    return Engine(replace(loaded, suite=suite))
