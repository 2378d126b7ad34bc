"""Labelled sets by their ids on the hub, as the published figures were measured on.

`datasets` is needed for this alone: `pip install datasets`. A task names its set in
suite.json: `"data": {"id", "config", "split", "columns", "label"}`.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from semerge.common import UserError, first_line, quoted
from semerge.data.labelled import LabelledSet, Pictures, cut
from semerge.suites import Suite, Task
from semerge.suites.class_names import Notice, in_suite_order

HUB = "hub"
"""What `--data` says for the sets on the hub."""


@dataclass(frozen=True)
class HubPictures(Pictures):
    """The encoded images of one column of a `datasets.Dataset`, read when they are asked for."""

    files: Any  # the dataset
    column: str

    def file(self, row: int | np.integer) -> Path | bytes:
        cell = self.files[int(row)][self.column] or {}
        data: bytes | None = cell.get("bytes")
        if data is None and cell.get("path") is None:
            raise UserError(f"The set on the hub has no picture in row {int(row)}.")
        return Path(cell["path"]) if data is None else data

    def take(self, rows: np.ndarray) -> HubPictures:
        return HubPictures(self.files.select(np.asarray(rows)), self.column)


@dataclass(frozen=True)
class _Place:
    """What suite.json says of a task's set."""

    id: str
    config: str | None
    split: str  # that the published figures are of
    columns: tuple[str, ...]
    label: str


def check_hub_data(suite: Suite, split: str = "test", notice: Notice = lambda text: None) -> None:
    """Say what a run on the hub's sets leaves out or can't keep apart. Raises UserError where
    `datasets` is not installed or the suite names no sets."""
    if not any(task.data for task in suite.tasks):
        raise UserError(f"suite {suite.name} names no data sets on the hub; name a data folder.")
    if importlib.util.find_spec("datasets") is None:
        raise UserError(
            "--data hub needs the package datasets; install it by `pip install datasets`."
        )
    for task in suite.tasks:
        if not task.data:
            notice(f"{task.name}: {suite.name} names no data set of it on the hub, skipped.")
    if split == "validation":
        notice(
            "validation is cut from each set's own train split, which the experts may have been "
            "trained on."
        )


def hub_set(
    task: Task, split: str, modality: str, notice: Notice = lambda text: None
) -> LabelledSet:
    """One split of a task's set. `train` and `validation` are parts of the set's own `train`;
    `test` is the split that the published figures are of (GLUE's test labels are secret), and
    never one for training.

    notice: told where the classes' names can't vouch for their order. Raises UserError where the
    set can't be had, has no such split, or does not fit the task.
    """
    place = _place(task, modality)
    name = place.split if split == "test" else "train"
    found = _load(place, name)
    for column in (*place.columns, place.label):
        if column not in found.column_names:
            raise UserError(f"{place.id} has no column {quoted(column)}.")
    values = list(found[place.label])
    if not all(isinstance(value, int) for value in values):
        raise UserError(f"{place.id}: the column {quoted(place.label)} must hold whole numbers.")
    labels = np.array(values, dtype=np.int64)  # true and false become 1 and 0
    classes = _classes(task, place, found.features[place.label], notice)
    if len(labels) == 0 or labels.min() < 0 or labels.max() >= len(classes):
        last = len(classes) - 1
        raise UserError(f"{place.id}: labels must be 0 to {last} in the split {quoted(name)}.")
    if modality == "image":
        files = HubPictures(_undecoded(place, found), place.columns[0])
        whole = LabelledSet(task.name, name, classes, labels, files=files)
    else:
        first, *more = (_texts(place, found, column) for column in place.columns)
        second = more[0] if more else (None,) * len(first)
        whole = LabelledSet(task.name, name, classes, labels, texts=first, texts_b=second)
    return whole if split == "test" else cut(whole, split)


def _place(task: Task, modality: str) -> _Place:
    """What suite.json says, checked; a suite of one's own may say anything."""
    column = "image" if modality == "image" else "sentence"
    usual = {"id": None, "config": None, "split": "test", "columns": [column], "label": "label"}
    raw = {**usual, **task.data}
    columns, words = raw["columns"], [raw["id"], raw["split"], raw["label"]]
    words += [raw["config"]] if raw["config"] is not None else []
    words += columns if isinstance(columns, list) and len(columns) in (1, 2) else [None]
    if not all(isinstance(word, str) and word for word in words):
        raise UserError(
            f'{task.name}: "data" in suite.json must hold "id", and may hold "config", "split" and '
            '"label" in words, and "columns" as a list of one or two.'
        )
    place = _Place(raw["id"], raw["config"], raw["split"], tuple(columns), raw["label"])
    # a split may be written as a sum or a slice: "train[:10%]"
    if any(part.startswith("train") for part in re.findall(r"\w+", place.split.lower())):
        raise UserError(
            f"{task.name}: suite.json names the split {quoted(place.split)} of {place.id} for "
            "testing, which is for training; name another."
        )
    return place


def _load(place: _Place, name: str) -> Any:
    """The split of a set as a `datasets.Dataset`."""
    try:
        # imported by name: the package is optional, and a type checker need not have it
        datasets = importlib.import_module("datasets")
        return datasets.load_dataset(place.id, place.config, split=name)
    except ImportError as error:
        raise UserError(f"The package datasets can't be used: {first_line(error)}.") from None
    except (OSError, ValueError, RuntimeError, LookupError) as error:
        told = first_line(error)
        known = re.search(r"Unknown split .*\[(.*)\]", told)
        if known is None:
            raise UserError(f"{place.id} can't be had from the hub: {told}.") from None
        why = ", which validation is cut from" if name == "train" else ""
        raise UserError(f"{place.id} has no split {quoted(name)}{why}, only {known[1]}.") from None


def _undecoded(place: _Place, found: Any) -> Any:
    datasets = importlib.import_module("datasets")
    try:
        return found.cast_column(place.columns[0], datasets.Image(decode=False))
    except (NotImplementedError, TypeError, ValueError):
        column = quoted(place.columns[0])
        raise UserError(f"{place.id}: the column {column} holds no images.") from None


def _texts(place: _Place, found: Any, column: str) -> tuple[str, ...]:
    texts = tuple(found[column])
    for row, text in enumerate(texts):
        if not isinstance(text, str):
            raise UserError(f"{place.id}: row {row} of the column {quoted(column)} holds no text.")
    return texts


def _classes(task: Task, place: _Place, feature: Any, notice: Notice) -> tuple[str, ...]:
    """Class names in the order of the set's labels, in the suite's wording where it is the same
    name. A set without names, or with others, is taken to be in the suite's order, which its
    author wrote for this set; said so, and refused where a name shows that it is not.
    """
    names: Sequence[str] = getattr(feature, "names", None) or ()
    if not names:
        notice(f"{place.id} does not name its classes; they are taken in the suite's order.")
        return task.classes
    places = in_suite_order(names, task, place.id, notice)
    return tuple(task.classes[p] for p in places)
