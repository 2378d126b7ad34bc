"""report.json of a suite: what it was made of, what was chosen on validation, what test shows."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import semerge
from recipes import calibration, lines
from recipes.drawings import recognised
from recipes.selection import Row, Selection, best_preset, every_trial, routing_row
from recipes.statistics import CACHE_OWN
from semerge.data.labelled import SPLITS, LabelledSet, Sets, read_set
from semerge.data.sets import GENERATED_COUNT
from semerge.engine import Engine
from semerge.evaluation.collect import make_rows, second_pass
from semerge.evaluation.figures import summary
from semerge.evaluation.measure import BASE, Measurement, Plan, measure
from semerge.probe import Caches
from semerge.probes import PROBES, key_at
from semerge.settings import PRESETS, Settings
from semerge.suites import Suite

PAPER_LAMBDA = 0.3
"""The static λ of the paper; shown beside the best one."""
PACKAGES = ("torch", "numpy", "safetensors", "pillow", "open_clip_torch", "transformers")


def make_report(
    engine: Engine,
    test: Sets,
    validation: Sets,
    selection: Selection,
    caches: Caches,
    facts: Mapping[str, Any],
) -> dict[str, Any]:
    """Every figure of a finished suite.

    caches: statistics of both variants at the suite's λ.
    facts: what only the training knows; taken over as they are, under the keys `data`, `seed`,
        `statistics`, `training`, `ablation`, `trivial` (accuracies of a trivial model by task).
    """
    suite = engine.suite
    keys = tuple(every_trial(suite, [suite.defaults.probe_lambda]))
    answers = (BASE, PAPER_LAMBDA, suite.defaults.static_lambda)
    plan = Plan(keys, tuple(dict.fromkeys(answers)), caches=caches)
    measured = measure(engine, test.sets, plan)
    presets = _presets(engine, test, measured)
    default = presets[suite.defaults.preset]
    probes = _probes(engine, test, measured, selection)
    arithmetic = {
        f"{scale:g}": _oracle(suite, measured, measured.answers[scale])
        for scale in dict.fromkeys(answers[1:])
    }
    averages = {"real": default["average_real"], "all": default["average_all"]}
    errors = calibration.errors(engine, test.sets)
    drawn = recognised(engine) if "mnist" in suite.task_names else None
    found = [
        *lines.regime_lines(averages, suite.modality),
        *lines.recovery_lines(averages, suite.modality),
        *lines.expert_lines(default["tasks"]),
        *lines.calibration_lines(errors["average"]["after"]),
        *(lines.drawing_lines(drawn) if drawn else []),
        *lines.trivial_lines(facts.get("trivial", {})),
    ]
    hard = {"real": presets["hard"]["average_real"], "all": presets["hard"]["average_all"]}
    found = lines.with_causes(found, hard, suite.modality)
    return {
        "format": 1,
        "suite": suite.name,
        "version": semerge.__version__,
        "versions": versions(),
        "machine": machine(),
        **facts,
        "defaults": vars(suite.defaults),
        "validation": {"n": validation.total, **selection.to_dict()},
        "test": {"n": test.total, "data": test.data, **default},
        "task_arithmetic": arithmetic,
        "presets": presets,
        "probes": probes,
        "routing": [routing_row(suite, measured, key) for key in keys],
        "calibration": errors,
        **({"drawings": drawn} if drawn else {}),
        "lines": found,
        "lines_met": sum(line["met"] for line in found),
    }


def _presets(engine: Engine, test: Sets, measured: Measurement) -> dict[str, Row]:
    """SE-Merging at the default probe, layer and pooling in every preset."""
    found = {}
    for preset in PRESETS:
        resolved = Settings(preset=preset).resolve(engine.suite)
        distances = measured.distances[resolved.probing]
        run = second_pass(engine, test.sets, measured, distances, resolved)
        found[preset] = _summary(engine.suite, tuple(make_rows(engine.suite, test, measured, run)))
    return found


def _probes(
    engine: Engine, test: Sets, measured: Measurement, selection: Selection
) -> dict[str, Row]:
    """Every probe at its best point on validation, with its best preset there, and the variant
    `cache_own` at the cache's point."""
    suite = engine.suite
    found = {}
    for probe in (*PROBES.names, CACHE_OWN):
        best = selection.best["cache" if probe == CACHE_OWN else probe]
        key = key_at(probe, best["layer"], best["pool"], best["probe_lambda"])
        row = key._asdict() | routing_row(suite, measured, key)
        own = [r for r in selection.presets if r["probe"] == probe]
        if own:
            preset = best_preset(own, probe)
            resolved = Settings(preset=preset).resolve(suite)  # only its preset matters here
            run = second_pass(engine, test.sets, measured, measured.distances[key], resolved)
            rows = tuple(make_rows(suite, test, measured, run))
            row |= {"preset": preset} | _summary(suite, rows)
            del row["tasks"]
        found[probe] = row
    return found


def _summary(suite: Suite, rows: Sequence[Any]) -> Row:
    real = {task.name for task in suite.tasks if task.real}
    figures = summary(rows, real)
    del figures["average"]  # the same as average_all
    return figures


def _oracle(suite: Suite, measured: Measurement, answers: Tensor) -> Row:
    """Accuracy with the given head by task, and its means."""
    right = measured.oracle(answers)
    seen = measured.tasks.unique().tolist()
    real = [t for t in seen if suite.tasks[t].real]
    return {
        "tasks": {suite.tasks[t].name: measured.macro(right, [t]) for t in seen},
        "average_all": measured.macro(right),
        "average_real": measured.macro(right, real) if real else None,
    }


def describe_splits(suite: Suite, folder: Path, sets: Mapping[str, Sets]) -> dict[str, Any]:
    """Sizes and hashes of every split of every task: {"source", "tasks": {task: {split: ...}}}.

    sets: validation and test as they were used. Of a rendered task's training split the size is
    stated alone: its pictures follow from the seed.
    """
    used = {name: {s.task: s for s in found.sets} for name, found in sets.items()}
    tasks: dict[str, Any] = {}
    for task in suite.tasks:
        tasks[task.name] = {}
        for split in SPLITS:
            known: LabelledSet | None = used.get(split, {}).get(task.name)
            if known is None and (folder / task.name).is_dir():
                known = read_set(folder, task.name, split)
            if known is not None:
                tasks[task.name][split] = {"n": len(known), "sha256": known.sha256()}
            else:
                tasks[task.name][split] = {"n": GENERATED_COUNT[split], "rendered": True}
    return {"source": folder.name, "tasks": tasks}


def versions() -> dict[str, str]:
    """Python and the packages that had a hand in the figures."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def machine() -> dict[str, Any]:
    """What the figures were computed on, without names."""
    return {
        "system": platform.system(),
        "processor": platform.machine(),
        "threads": torch.get_num_threads(),
        "device": "cpu",
    }
