"""Labelled sets by their ids on the hub, as the published figures were measured on.

`datasets` is needed for this alone: `pip install semerge[hub]`, or `pip install datasets`. A task
names its set in suite.json: `"data": {"id", "config", "split", "columns", "label"}`.
"""

from __future__ import annotations

import importlib
import importlib.util
from dataclasses import dataclass
from typing import Any

import numpy as np

from semerge.errors import UserError
from semerge.evaluation.data import LabelledSet, validation_rows
from semerge.evaluation.pictures import Pictures
from semerge.phrases import first_line
from semerge.suites import Suite, Task

HUB = "hub"
"""What `--data` says for the sets on the hub."""


@dataclass(frozen=True)
class HubPictures(Pictures):
    """The images of a `datasets.Dataset`, read from its files when they are asked for."""

    files: Any  # a Column

    def take(self, rows: np.ndarray) -> HubPictures:
        return HubPictures(self.files.take(rows))


@dataclass(frozen=True)
class Column:
    """Encoded images of one column of a `datasets.Dataset`."""

    dataset: Any
    name: str

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, row: int | np.integer) -> bytes:
        data: bytes = self.dataset[int(row)][self.name]["bytes"]
        return data

    def take(self, rows: np.ndarray) -> Column:
        return Column(self.dataset.select(np.asarray(rows)), self.name)


def check_hub_data(suite: Suite) -> None:
    """Raises UserError where `datasets` is not installed or the suite names no sets."""
    if not any(task.data for task in suite.tasks):
        raise UserError(f"suite {suite.name} names no data sets on the hub; name a data folder.")
    if importlib.util.find_spec("datasets") is None:
        raise UserError(
            "--data hub needs the package datasets; install it by `pip install semerge[hub]`."
        )


def hub_set(task: Task, split: str, modality: str) -> LabelledSet:
    """One split of a task's set. `train` and `validation` are parts of the set's own `train`;
    `test` is the split that the published figures are of (GLUE's test labels are secret).

    Raises:
        UserError: the set can't be had, or does not fit the task.
    """
    place = task.data
    name = place.get("split", "test") if split == "test" else "train"
    # imported by name: the package is optional, and a type checker need not have it
    datasets = importlib.import_module("datasets")
    try:
        found = datasets.load_dataset(place["id"], place.get("config"), split=name)
    except (OSError, ValueError, RuntimeError) as error:
        raise UserError(f"{place['id']} can't be had from the hub: {first_line(error)}.") from None
    label = place.get("label", "label")
    columns = place.get("columns", ["image"] if modality == "image" else ["sentence"])
    for column in (*columns, label):
        if column not in found.column_names:
            raise UserError(f"{place['id']} has no column {column!r}.")
    labels = np.array(found[label], dtype=np.int64)  # true and false become 1 and 0
    classes = _classes(task, found.features[label])
    if len(labels) == 0 or labels.min() < 0 or labels.max() >= len(classes):
        raise UserError(f"{place['id']}: labels must be 0 to {len(classes) - 1}.")
    if modality == "image":
        undecoded = found.cast_column(columns[0], datasets.Image(decode=False))
        files = HubPictures(Column(undecoded, columns[0]))
        whole = LabelledSet(task.name, name, classes, labels, files=files)
    else:
        texts = [tuple(found[column]) for column in columns]
        second = texts[1] if len(texts) > 1 else ()
        whole = LabelledSet(task.name, name, classes, labels, texts=texts[0], texts_b=second)
    return _part(whole, split)


def _classes(task: Task, feature: Any) -> tuple[str, ...]:
    """Class names in the order of the set's labels, in the suite's wording where it is the same
    name; a set without names is taken to be in the suite's order."""
    names = getattr(feature, "names", None)
    if not names:
        return task.classes
    wording = {_plain(name): name for name in task.classes}
    return tuple(wording.get(_plain(name), name) for name in names)


def _plain(name: str) -> str:
    return "".join(letter for letter in name.casefold() if letter.isalnum())


def _part(whole: LabelledSet, split: str) -> LabelledSet:
    if split == "test":
        return whole
    held_out = validation_rows(whole.task, whole.labels)
    rows = np.flatnonzero(held_out if split == "validation" else ~held_out)
    return whole.take(rows)
