"""From trained weights to a finished suite: export, statistics, defaults, report, card.

Everything is measured on the weights as they are on disk, in half precision.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from recipes import calibration, report, selection, statistics
from recipes.card import write_card
from recipes.export import SuiteSpec, Trained, write_suite, write_weights
from recipes.lines import TRIVIAL_LIMIT
from semerge.common import UserError
from semerge.data.labelled import LabelledSet, Sets, balanced_rows, read_set
from semerge.data.sets import generated_set, suite_sets
from semerge.engine import Engine, load_engine
from semerge.evaluation.choice import stored
from semerge.evaluation.diagnosis import SAMPLES, diagnose
from semerge.evaluation.field import assumptions
from semerge.loading import load
from semerge.suites import Defaults, Suite, read_suite
from semerge.suites.report import rounded, write_report

logger = logging.getLogger(__name__)

UNDECIDED = Defaults("experts", "final", "final", "hard", 0.3, 0.1)
"""Defaults until validation has chosen some."""


def undecided(folder: Path, spec: SuiteSpec, trained: Trained) -> Suite:
    """The weights in `folder` as a suite that can be asked, before anything is chosen."""
    write_weights(folder, spec, trained)
    for old in ("statistics.safetensors", "report.json"):  # of other weights
        (folder / old).unlink(missing_ok=True)
    write_suite(folder, spec, UNDECIDED, {}, tuple(path.name for path in trained.extra))
    return read_suite(folder)


def finish(
    folder: Path,
    data: Path,
    spec: SuiteSpec,
    trained: Trained,
    facts: Callable[[Suite], Mapping[str, Any]],
    command: str,
    limit: int | None = None,
) -> Suite:
    """Write a whole suite to `folder` and return it.

    facts: what the training tells the report (see `report.make_report`), asked for at the end.
    limit: samples a task and split, for a quick run; None for all.
    """
    suite = undecided(folder, spec, trained)
    extra = tuple(path.name for path in trained.extra)
    loaded = load(suite)
    logger.info("weights written; reading data")
    validation = suite_sets(suite, data, "validation", limit)
    test = suite_sets(suite, data, "test", limit)
    # the report goes to others: it names the folder, not where that lies on this machine
    test = replace(test, data=test.data.replace(str(data), data.name, 1))
    samples = cached_samples(suite, data, limit or statistics.SAMPLES)

    logger.info("choosing defaults on %d validation samples", validation.total)
    chosen = selection.select(loaded, validation.sets, samples)
    caches, scale = chosen.caches, chosen.defaults.probe_lambda
    record = statistics.record(samples, scale)
    kept = caches[statistics.CACHE, scale]
    statistics.save(folder / "statistics.safetensors", kept, record)
    temperatures = calibration.temperatures(Engine(loaded), validation.sets)
    moved = stored(chosen.displacements, suite)
    write_suite(folder, spec, chosen.defaults, chosen.thresholds, extra, temperatures, moved)

    logger.info("defaults %s; measuring %d test samples", chosen.defaults, test.total)
    engine = load_engine(folder)
    # the variant of the cache probe and the shipped one, as they are read back from disk
    caches[statistics.CACHE, scale] = dict(engine.models.statistics)
    splits = report.describe_splits(suite, data, {"validation": validation, "test": test})
    known = {"data": splits, "statistics": record, **facts(engine.suite)}
    found = report.make_report(engine, test, validation, chosen, caches, known)
    count = min(limit or SAMPLES, SAMPLES)
    found["diagnosis"] = diagnose(
        engine, validation, test, data, samples=count, tell=lambda text: logger.info("%s", text)
    )
    found |= theory(engine, validation, limit)
    write_report(folder / "report.json", found)
    write_card(folder / "README.md", engine.suite, rounded(found), command)
    for line in found["lines"]:
        told = "met" if line["met"] else "missed"
        value = "none" if line["value"] is None else f"{line['value']:.4f}"
        logger.info(
            "%s, %s: %s, target %s, %s", line["line"], line["on"], value, line["target"], told
        )
    return engine.suite


def theory(engine: Engine, validation: Sets, limit: int | None = None) -> dict[str, Any]:
    """What the theory of merging assumes, of all pairs of tasks, by the report's keys: on a few
    validation samples of each, as a pair's grid is 45 merges. limit: fewer, for a quick run."""
    count = min(limit or assumptions.SAMPLES, assumptions.SAMPLES)
    logger.info("what the theory assumes of pairs of tasks, on %d samples of each", count)
    return assumptions.assumptions(engine, validation, samples=count)


def cached_samples(suite: Suite, data: Path, count: int, seed: int = 0) -> list[LabelledSet]:
    """`count` training samples a task, classes balanced, for the cache probe's statistics.

    Sentences that occur in a held-out split of any task are left out.
    """
    found = []
    for task, train in zip(suite.tasks, _training_sets(suite, data, count), strict=True):
        if not len(train):
            raise UserError(f"{task.name} has no training sample that is not held out.")
        found.append(train.take(balanced_rows(train.labels, count, seed)))
    return found


def trivial_accuracies(suite: Suite, limit: int | None = None) -> dict[str, float]:
    """What a ridge on random convolution features gets on the rendered tasks.

    limit: pictures to train and to test it on, for a quick run; None for all.
    """
    from recipes.lookalikes.difficulty import ridge_accuracy
    from semerge.data.rendered import GENERATED

    names = [t.name for t in suite.tasks if not t.real and t.name in GENERATED]
    counts = {} if limit is None else {"train": limit, "test": limit}
    found = {name: ridge_accuracy(name, **counts) for name in names}
    for name, value in found.items():
        logger.info("%s: trivial model %.3f, limit %.2f", name, value, TRIVIAL_LIMIT)
    return found


def _training_sets(suite: Suite, data: Path, count: int) -> Sequence[LabelledSet]:
    if suite.modality == "text":
        from recipes.text_data import HeldOut, training_set

        held_out = HeldOut(data, suite.task_names)
        return [training_set(data, name, held_out) for name in suite.task_names]
    return [
        read_set(data, task.name, "train")
        if (data / task.name).is_dir()
        else generated_set(task.name, "train", suite.side, count)
        for task in suite.tasks
    ]
