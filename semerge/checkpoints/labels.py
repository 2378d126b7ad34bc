"""What the config.json beside a classifier says of its classes: names, in the head's order."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from semerge.checkpoints.files import read_config
from semerge.common import UserError, listed, quoted
from semerge.suites.class_names import class_of
from semerge.suites.suite import Task

SINGLE_LABEL = "single_label_classification"
_UNNAMED = re.compile(r"LABEL_\d+")  # what transformers writes where nobody named the classes


def read_labels(weights: Path) -> tuple[str, ...] | None:
    """The classes that `id2label` names, by their numbers; None where it names none. weights: the
    file beside which config.json lies. Raises UserError where the file's head tells no classes
    apart, or where the names are not one for each number."""
    file = weights.with_name("config.json")
    config = read_config(file) or {}
    problem = config.get("problem_type")
    if problem not in (None, SINGLE_LABEL):
        raise UserError(
            f"{file}: problem_type is {quoted(problem)}; only {SINGLE_LABEL} can be run."
        )
    names = config.get("id2label")
    count = config.get("num_labels", len(names) if isinstance(names, dict) else None)
    if count == 1:
        raise UserError(f"{file}: num_labels is 1: that is a number that is predicted, no class.")
    if names is None:
        return None
    labels = _in_order(names, config.get("label2id"))
    if labels is None or count != len(labels):
        raise UserError(f"{file}: id2label, label2id and num_labels do not agree.")
    return None if all(map(_UNNAMED.fullmatch, labels)) else labels


def _in_order(names: Any, numbers: Any) -> tuple[str, ...] | None:
    """The names from 0 on; None where one is missing, is no text or stands twice, or where the
    other direction has the same names for other numbers."""
    if not isinstance(names, dict) or set(names) != {str(i) for i in range(len(names))}:
        return None
    labels = tuple(names[str(i)] for i in range(len(names)))
    if not all(isinstance(label, str) for label in labels) or len(set(labels)) < len(labels):
        return None
    # a config that was told the one direction alone keeps LABEL_n in the other
    if isinstance(numbers, dict) and set(numbers) == set(labels):
        return labels if [numbers[label] for label in labels] == list(range(len(labels))) else None
    return labels


def check_labels(weights: Path, task: Task) -> None:
    """Compare a task's classes with those that the file beside its expert names. Other names say
    nothing: whoever wrote suite.json may have found better ones. Raises UserError for another
    count, or where a class of the same name has another place."""
    labels = read_labels(weights)
    if labels is None:
        return
    file = weights.with_name("config.json")
    if len(labels) != len(task.classes):
        raise UserError(
            f"{file}: id2label names {len(labels)} classes, but suite.json has "
            f"{len(task.classes)} for {task.name}."
        )
    places = [class_of(task, label) for label in labels]
    if any(place not in (None, i) for i, place in enumerate(places)):
        order, own = quoted(listed(labels)), quoted(listed(task.classes))
        raise UserError(
            f"{file}: id2label has the classes in the order {order}, but suite.json has {own} for "
            f"{task.name}."
        )
