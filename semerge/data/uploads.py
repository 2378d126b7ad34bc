"""A user's own upload, with labels as sets of a suite, or without, under the same limits."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from semerge.common import UserError, naming, quoted, reading
from semerge.data.archives import JUNK, MAX_FILES, read_archive
from semerge.data.labelled import LabelledSet, Sets, balanced_rows
from semerge.data.tabular import Record, read_lines, read_records
from semerge.inputs import clean_text, decode_image
from semerge.suites import Suite, Task
from semerge.suites.class_names import find_class

# ---- with labels ---------------------------------------------------------------------------------
#     images     a zip archive with one folder a class, or a folder a task with those inside
#     sentences  CSV with a header, or JSONL: text, label, optional text_b, optional task
#
# The task is the one that is named, else the one that the upload names, else the only task of the
# suite that has all of the labels. Every sample goes through `semerge.inputs`, as a single one
# does.

UPLOAD = "upload"
"""The split that uploaded samples are said to be of."""
LISTED = 12
"""Names in a message."""

Label = str | int


def uploaded_sets(
    suite: Suite, path: str | Path, task: str | None = None, name: str | None = None
) -> Sets:
    """Read an upload. Suites of images take a zip archive, suites of text CSV or JSONL. task: the
    task of every sample; None to infer it. name: what the upload is called. Raises UserError where
    it breaks a limit, or its labels fit no task; one sentence."""
    path = Path(path)
    if task is not None:
        suite.index(task)
    image = suite.modality == "image"
    samples = _pictures(suite, path) if image else list(map(_sentence, read_records(path)))
    groups = _by_task(suite, samples, task)
    sets = tuple(_labelled(suite.task(t), found) for t, found in groups.items())
    rows = tuple(np.arange(len(s)) for s in sets)
    return Sets(PurePosixPath(name or path.name).name, UPLOAD, sets, rows, False)


def infer_task(suite: Suite, labels: Sequence[Label]) -> Task:
    """The only task of the suite that has all of these labels and no other; where there is none,
    the only one that has them all. Raises UserError where none has, or more than one."""
    wanted = list(dict.fromkeys(labels))
    meant = {t.name: {find_class(t.classes, str(x)) for x in wanted} for t in suite.tasks}
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
    """The class that a label means: by name, in any case and with - or _ for spaces and slashes, or
    by number where no class of the task is called by a number. Raises UserError where there is
    none."""
    index = find_class(task.classes, str(label))
    text = str(label).strip()
    by_number = isinstance(label, int) or not any(c.strip().isdecimal() for c in task.classes)
    if index is None and by_number and text.isascii() and text.isdecimal():
        index = int(text[:9]) if int(text[:9]) < len(task.classes) else None
    if index is None:
        classes = _listed(task.classes)
        raise UserError(f"{quoted(label)} is no class of {task.name}; its classes are {classes}.")
    return index


def _pictures(suite: Suite, path: Path) -> list[Record]:
    files = dict(read_archive(path))
    root = _common_root(list(files))
    found = []
    for whole, data in files.items():
        name = whole.relative_to(root) if root else whole
        if len(name.parts) not in (2, 3):
            raise UserError(f"{str(whole)!r} lies in no class's folder; use one folder a class.")
        if len(name.parts) == 3:
            task: str | None = name.parts[0]
        else:
            task = root.name if root and root.name in suite.task_names else None
        with naming(repr(str(whole))):
            decode_image(data)
        found.append(Record(str(whole), name.parts[-2], task=task, file=data))
    return found


def _common_root(names: Sequence[PurePosixPath]) -> PurePosixPath | None:
    """The folder that holds all the others, as an archive of one folder has it."""
    root: PurePosixPath | None = None
    while True:
        depth = len(root.parts) if root else 0
        first = {name.parts[depth] for name in names}
        if len(first) > 1 or min(len(name.parts) for name in names) - depth <= 2:
            return root
        root = (root or PurePosixPath()) / first.pop()


def _sentence(record: Record) -> Record:
    with naming(record.where):
        clean = clean_text(record.text, record.text_b)
    return replace(record, text=clean.text, text_b=clean.text_b)


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


def _labelled(task: Task, samples: Sequence[Record]) -> LabelledSet:
    labels = []
    for sample in samples:
        with naming(sample.where):
            labels.append(label_index(task, sample.label))
            if task.pair and sample.text and sample.text_b is None:
                raise UserError(f"{task.name} reads two sentences; text_b is missing.")
    content = [s.file or (s.text, s.text_b) for s in samples]
    return LabelledSet.of(task, UPLOAD, labels, [s.where for s in samples], content)


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(name[:40] for name in names[:LISTED])
    return shown if len(names) <= LISTED else f"{shown} and {len(names) - LISTED} more"


# ---- without labels ------------------------------------------------------------------------------
#     images     a folder, with folders in it or not, or a zip archive
#     sentences  a text file with one on each line, or CSV or JSONL: text, optional text_b
#
# Whatever these say of classes, by a folder's name or a column, is not read.

UNLABELLED = "unlabelled"
"""The split that such samples are said to be of."""
TABLES = (".csv", ".tsv", ".jsonl")
"""How files are called that name their columns; any other one has a sentence on each line."""


def unlabelled_set(
    suite: Suite, place: str | Path, limit: int | None = None, seed: int = 0
) -> LabelledSet:
    """The samples at `place`, every one checked as a single request is.

    The set says the suite's first task and label 0 of all of them, which means nothing: batches and
    distances ask for neither. limit: at most so many samples, seeded. Raises UserError where there
    is nothing there, it does not fit the suite, or it breaks a limit.
    """
    if limit is not None and limit < 1:
        raise UserError("The limit must be 1 or more samples.")
    path = Path(place)
    with reading(place):
        folder, file = path.is_dir(), path.is_file()
    if not folder and not file:
        raise UserError(f"There is no file or folder {place}.")
    samples: Sequence[Path | bytes | tuple[str, str | None]]
    if suite.modality == "image":
        files = _in_folder(path) if folder else _in_archive(path)
        chosen = [files[i] for i in _rows(len(files), limit, seed)]
        for name, picture in chosen:
            with naming(repr(name)):
                decode_image(picture)
        names, samples = [name for name, _ in chosen], [picture for _, picture in chosen]
        return _without_labels(suite, names, samples)
    if folder:
        raise UserError(
            f"Suite {suite.name} reads text: name a text file with one sentence on each line, or "
            "a .csv or .jsonl file with a column text."
        )
    table = path.suffix.lower() in TABLES
    records = read_records(path, labelled=False) if table else read_lines(path)
    sentences = [_sentence(records[i]) for i in _rows(len(records), limit, seed)]
    samples = [(one.text, one.text_b) for one in sentences]
    return _without_labels(suite, [one.where for one in sentences], samples)


def _rows(count: int, limit: int | None, seed: int) -> np.ndarray:
    nothing = np.zeros(count, dtype=np.int64)  # labels, of which there are none to balance
    return balanced_rows(nothing, count if limit is None else limit, seed)


def _without_labels(suite: Suite, names: Sequence[str], samples: Sequence[Any]) -> LabelledSet:
    return LabelledSet.of(suite.tasks[0], UNLABELLED, [0] * len(names), names, samples)


def _in_archive(path: Path) -> list[tuple[str, Path | bytes]]:
    if path.suffix.lower() != ".zip":
        raise UserError(
            f"{path} is neither a folder nor a .zip file; put the images into one of these."
        )
    return [(str(name), data) for name, data in read_archive(path)]


def _in_folder(folder: Path) -> list[tuple[str, Path | bytes]]:
    with reading(folder):
        files = list(islice(_files(folder), MAX_FILES + 1))
    if len(files) > MAX_FILES:
        raise UserError(f"{folder} holds too many files; the limit is {MAX_FILES:,}.")
    if not files:
        raise UserError(f"{folder} holds no images.")
    return [(str(path.relative_to(folder)), path) for path in files]


def _files(folder: Path) -> Iterator[Path]:
    """Every file below a folder in the order of names; what desktops leave behind is passed over,
    and links to folders are not followed."""

    def fail(error: OSError) -> None:
        raise error

    for root, folders, names in os.walk(folder, onerror=fail):
        folders[:] = sorted(name for name in folders if name not in JUNK)
        yield from (Path(root, name) for name in sorted(names) if name not in JUNK)
