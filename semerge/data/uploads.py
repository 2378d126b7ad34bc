"""Samples of a user's own, with labels as sets of a suite, or without, under the same limits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from semerge.common import UserError, naming, quoted, reading
from semerge.data.labelled import LabelledSet, Sets, balanced_rows, check_limit, check_pairs
from semerge.data.pictures import Picture, Pictures, pictures_at, placed, readable
from semerge.data.tabular import MAX_LISTED, MAX_ROWS, Record, read_records, too_many
from semerge.inputs import clean_text
from semerge.suites import Suite, Task
from semerge.suites.class_names import Label, Notice, find_label

Sample = Picture | tuple[str, str | None]

# ---- with labels ---------------------------------------------------------------------------------
#     images     a folder or a zip archive with one folder a class; above these there may be folders
#                of tasks, and of splits
#     sentences  CSV whose first line names the columns, or JSON: text, label, optional text_b,
#                optional task
#
# The task is the one that is named, else the one that the samples name, else the only task of the
# suite that has all of the labels. Every sample goes through `semerge.inputs`, as a single one
# does.

UPLOAD = "upload"
"""The split that such samples are said to be of."""
LISTED = 12
"""Names in a message."""


def uploaded_sets(
    suite: Suite,
    path: str | Path,
    task: str | None = None,
    name: str | None = None,
    split: str = "test",
    limit: int | None = None,
    seed: int = 0,
    skip_damaged: bool = False,
    notice: Notice = lambda text: None,
) -> Sets:
    """Read labelled samples of somebody's own.

    task: of every sample; None to infer it. name: what they are called. split: where there are
    folders of splits. limit: at most so many samples a task, class-balanced and seeded; without one
    there is a limit for all. skip_damaged: pass over pictures that can't be read; `notice` is told.
    Raises UserError where they break a limit, or their labels fit no task; one sentence.
    """
    path = Path(path)
    check_limit(limit)
    if task is not None:
        suite.index(task)
    pictures = _pictures(suite, path, limit, notice)
    if pictures is None:
        samples = read_records(path, most=_most(limit))
    else:
        folder = path.resolve().name if path.is_dir() else ""
        samples = placed(suite, pictures.names, folder, split, notice)
    groups = _by_task(suite, samples, task)
    labels = {t: _labels(suite.task(t), found) for t, found in groups.items()}
    rows = {t: balanced_rows(of, limit or len(of), seed) for t, of in labels.items()}
    chosen = [groups[t][row] for t in groups for row in rows[t]]
    if len(chosen) > MAX_ROWS:
        raise too_many(MAX_ROWS)
    contents = iter(_contents(chosen, pictures, skip_damaged, notice))
    sets, places = [], []
    for t, found in groups.items():
        both = [(row, one) for row in rows[t] if (one := next(contents)) is not None]
        if both:
            at = np.array([row for row, _ in both])
            names = [found[row].where for row in at]
            whole = suite.task(t)
            of = LabelledSet.of(whole, UPLOAD, labels[t][at], names, [one for _, one in both])
            check_pairs(whole, of)
            sets.append(of)
            places.append(at)
    return Sets(PurePosixPath(name or path.name).name, UPLOAD, tuple(sets), tuple(places), False)


def infer_task(suite: Suite, labels: Sequence[Label]) -> Task:
    """The only task of the suite that has all of these labels and no other; where there is none,
    the only one that has them all. Raises UserError where none has, or more than one."""
    wanted = list(dict.fromkeys(labels))
    meant = {t.name: {find_label(t, x, numbers=False) for x in wanted} for t in suite.tasks}
    fits = [t for t in suite.tasks if None not in meant[t.name]]
    whole = [t for t in fits if len(meant[t.name]) == len(t.classes)]
    for found in (whole, fits):
        if len(found) == 1:
            return found[0]
    names = _listed([str(label) for label in wanted])
    if not fits:
        raise UserError(
            f"The labels {names} are the classes of no task of {suite.name}: choose the task, or "
            "name each label as the suite names the class."
        )
    tasks = _listed([t.name for t in fits])
    raise UserError(f"The labels {names} fit the tasks {tasks}; choose one.")


def label_index(task: Task, label: Label) -> int:
    """The class that a label means, by `find_label`. Raises UserError where there is none."""
    index = find_label(task, label)
    if index is None:
        classes = _listed(task.classes)
        raise UserError(f"{quoted(label)} is no class of {task.name}; its classes are {classes}.")
    return index


def _pictures(suite: Suite, path: Path, limit: int | None, notice: Notice) -> Pictures | None:
    """What a suite of images reads there; None where it reads text."""
    if suite.modality != "image":
        return None
    return pictures_at(path, limit is not None, notice)


def _contents(
    chosen: Sequence[Record], pictures: Pictures | None, skip_damaged: bool, notice: Notice
) -> list[Sample | None]:
    """The samples themselves; None where one is damaged."""
    if pictures is None:
        return [_sentence(record) for record in chosen]
    names = [PurePosixPath(record.where) for record in chosen]
    found = pictures.read(names)
    fine = readable(names, found, skip_damaged, notice)
    return [one if good else None for one, good in zip(found, fine, strict=True)]


def _sentence(record: Record) -> tuple[str, str | None]:
    with naming(record.where):
        clean = clean_text(record.text, record.text_b)
    return clean.text, clean.text_b


def _by_task(suite: Suite, samples: Sequence[Record], task: str | None) -> dict[str, list[Record]]:
    """Samples by task, in the suite's order."""
    groups: dict[str, list[Record]] = {}
    unnamed = [s for s in samples if s.task is None]
    if unnamed and task is None:
        groups[infer_task(suite, [s.label for s in unnamed]).name] = unnamed
    for sample in samples:
        name = task or sample.task
        if name is not None:
            suite.index(name)
            groups.setdefault(name, []).append(sample)
    return {t: groups[t] for t in suite.task_names if t in groups}


def _labels(task: Task, samples: Sequence[Record]) -> np.ndarray:
    known: dict[Label, int] = {}
    for sample in samples:
        if sample.label not in known:
            with naming(sample.where):
                known[sample.label] = label_index(task, sample.label)
    return np.array([known[sample.label] for sample in samples], dtype=np.int64)


def _most(limit: int | None) -> int:
    """Samples among which some are taken, or all."""
    return MAX_ROWS if limit is None else MAX_LISTED


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(name[:40] for name in names[:LISTED])
    return shown if len(names) <= LISTED else f"{shown} and {len(names) - LISTED} more"


# ---- without labels ------------------------------------------------------------------------------
#     images     a folder, with folders in it or not, or a zip archive
#     sentences  as above, or a text file with one on each line
#
# Whatever these say of classes, by a folder's name or a column, is not read.

UNLABELLED = "unlabelled"
"""The split that such samples are said to be of."""


def unlabelled_set(
    suite: Suite,
    place: str | Path,
    limit: int | None = None,
    seed: int = 0,
    skip_damaged: bool = False,
    notice: Notice = lambda text: None,
) -> LabelledSet:
    """The samples at `place`, every one checked as a single request is.

    The set says the suite's first task and label 0 of all of them, which means nothing: batches and
    distances ask for neither. limit: at most so many samples, seeded. skip_damaged: as for labelled
    ones. Raises UserError where there is nothing there, it does not fit the suite, or it breaks a
    limit.
    """
    check_limit(limit)
    path = Path(place)
    with reading(place):
        folder, file = path.is_dir(), path.is_file()
    if not folder and not file:
        raise UserError(f"There is no file or folder {place}.")
    if suite.modality == "image" and file and path.suffix.lower() != ".zip":
        raise UserError(
            f"{path} is neither a folder nor a .zip file; put the images into one of these."
        )
    if suite.modality != "image" and folder:
        raise UserError(
            f"Suite {suite.name} reads text: name a text file with one sentence on each line, or "
            "a CSV or JSON file with a column text."
        )
    pictures = _pictures(suite, path, limit, notice)
    if pictures is None:
        records = read_records(path, labelled=False, most=_most(limit))
    else:
        records = [Record(str(name), "") for name in pictures.names]
    nothing = np.zeros(len(records), dtype=np.int64)  # labels, of which there are none to balance
    rows = balanced_rows(nothing, limit or len(records), seed)
    if len(rows) > MAX_ROWS:
        raise too_many(MAX_ROWS)
    contents = _contents([records[row] for row in rows], pictures, skip_damaged, notice)
    found = {records[row].where: one for row, one in zip(rows, contents, strict=True)}
    fine = {where: one for where, one in found.items() if one is not None}
    return LabelledSet.of(suite.tasks[0], UNLABELLED, [0] * len(fine), fine, list(fine.values()))
