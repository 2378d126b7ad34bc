"""A suite's defaults, chosen on the validation split and nowhere else.

1. λ, one for the static merge and for the probe: the one at which most of `lines.curve_lines` are
   met by the static merge and by the paper's probe `experts` under the preset `hard`, at whichever
   layer and pooling routes best; of those the one whose static merge and routed answers are right
   most often together. A larger λ routes better, a smaller one merges better.
2. For each probe, at that λ: the layer and pooling with the best routing accuracy.
3. For each probe, there: the preset that meets most of the recovery lines; of those the one with
   the best mean of both head modes' accuracies.
4. The probe is `experts`; the others have rows in the report.
5. Thresholds: quantiles of what validation shows at the defaults, see `thresholds`.
All means are over tasks, each counting the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from recipes import statistics
from recipes.curve import curve
from recipes.lines import curve_lines, recovery_lines
from recipes.statistics import CACHE, CACHE_OWN
from semerge.data.labelled import LabelledSet
from semerge.engine import Engine
from semerge.evaluation.choice import mean_displacements
from semerge.evaluation.collect import SecondPass, second_pass
from semerge.evaluation.measure import BASE, Measurement, Plan, measure
from semerge.evaluation.selection import every_key
from semerge.loading import Loaded
from semerge.models import Point
from semerge.probe import Caches
from semerge.probes import PROBES
from semerge.registry import Key
from semerge.routing import margin
from semerge.settings import PRESETS, Settings
from semerge.suites import Defaults, Suite

PAPER = "experts"
NEAR_TIE, FLAT, FAR = 0.05, 0.01, 0.99
"""Quantiles on validation; see `thresholds`."""

Row = dict[str, Any]


@dataclass(frozen=True)
class Selection:
    """Defaults and thresholds, and every figure that they were chosen from."""

    defaults: Defaults
    thresholds: dict[str, float | None]
    curve: Row  # see `recipes.curve`: what λ was chosen from
    routing: list[Row]  # probe x probe_lambda x layer x pool
    presets: list[Row]  # probe x preset, at each probe's best point
    best: dict[str, Row]  # by probe: its best row of `routing`
    caches: Caches  # statistics of both variants at the λ that was chosen
    displacements: Mapping[Point, tuple[float, ...]]  # of each expert, over the same samples

    def to_dict(self) -> dict[str, Any]:
        """For report.json."""
        return {
            "defaults": vars(self.defaults),
            "thresholds": self.thresholds,
            "curve": self.curve,
            "routing": self.routing,
            "presets": self.presets,
            "best": self.best,
        }


def select(
    loaded: Loaded, validation: Sequence[LabelledSet], samples: Sequence[LabelledSet]
) -> Selection:
    """Choose the defaults of a suite whose weights are in memory.

    samples: training samples of every task, for the statistics of the cache probe.
    """
    seen = curve(Engine(loaded), validation)
    scale = one_lambda(seen, loaded.suite.modality)
    moved = mean_displacements(Engine(loaded), samples)
    loaded = replace(loaded, suite=replace(loaded.suite, displacements=moved))
    chosen = with_defaults(loaded, replace(loaded.suite.defaults, static_lambda=scale))
    caches = statistics.build(chosen, samples, [scale], own=True)
    suite, keys = chosen.suite, tuple(every_trial(chosen.suite, [scale]))
    measured = measure(chosen, validation, Plan(keys, (BASE, scale), caches=caches))
    routing = [routing_row(suite, measured, key) for key in keys]
    best = {probe: best_row(routing, probe) for probe in PROBES.names}

    presets: list[Row] = []
    for probe, at in best.items():
        defaults = Defaults(probe, at["layer"], at["pool"], "hard", scale, scale)
        chosen = with_defaults(loaded, defaults)
        for preset in PRESETS:
            resolved = Settings(preset=preset).resolve(chosen.suite)
            distances = measured.distances[resolved.probing]
            second = second_pass(chosen, validation, measured, distances, resolved)
            presets.append(preset_row(chosen.suite, measured, second, probe, preset))
    at, preset = best[PAPER], best_preset(presets, PAPER)
    defaults = Defaults(PAPER, at["layer"], at["pool"], preset, scale, scale)
    limits = thresholds(measured.distances[Key(PAPER, at["layer"], at["pool"], scale)])
    return Selection(defaults, limits, seen, routing, presets, best, caches, moved)


def one_lambda(seen: Row, modality: str) -> float:
    """The λ of step 1, from what `recipes.curve` found; of equals the smallest."""

    def rank(row: Row) -> tuple[int, float, float]:
        met = sum(line["met"] for line in curve_lines(seen, row, modality))
        return met, row["static"] + row["hard_routed"], -row["lambda"]

    return float(max(seen["rows"], key=rank)["lambda"])


def every_trial(suite: Suite, scales: Sequence[float]) -> list[Key]:
    """Every key that a request may have, and those of the variant CACHE_OWN."""
    keys = list(every_key(suite, scales))
    return keys + [key._replace(probe=CACHE_OWN) for key in keys if key.probe == CACHE]


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


def best_preset(presets: Sequence[Row], probe: str) -> str:
    """A probe's preset by step 3, from rows of `preset_row`."""
    own = [row for row in presets if row["probe"] == probe]
    return str(max(own, key=lambda row: (row["met"], row["score"]))["preset"])


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
