"""Labelled sets in the folder format, and the validation cut.

Validation is cut from `train` before anything else and enters no training of any kind.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from zlib import crc32

import numpy as np

from semerge.common import UserError, quoted, reading
from semerge.data.files import read_classes, read_images, read_sentences
from semerge.inputs import decode_image
from semerge.suites import Task

SPLITS = ("train", "validation", "test")
VALIDATION_SHARE = 0.1
SPLIT_SEED = 20250618


@dataclass(frozen=True)
class LabelledSet:
    """Samples of one task: images uint8 (N, H, W[, 3]) or sentences, and labels int64 (N,). files:
    the images instead, of any size. names: what each sample is called where it was found, for sets
    that are not in the folder format."""

    task: str
    split: str
    classes: tuple[str, ...]
    labels: np.ndarray
    images: np.ndarray | None = None
    texts: tuple[str, ...] = ()
    texts_b: tuple[str | None, ...] = ()
    files: Pictures | None = None
    names: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        task: Task,
        split: str,
        labels: Sequence[int],
        names: Iterable[str],
        samples: Sequence[Path | bytes | tuple[str, str | None]],
    ) -> LabelledSet:
        """Samples from elsewhere, by their names there: image files, or sentences and pairs."""
        texts = [one for one in samples if isinstance(one, tuple)]
        files = tuple(one for one in samples if not isinstance(one, tuple))
        return cls(
            task.name,
            split,
            task.classes,
            np.array(labels, dtype=np.int64),
            texts=tuple(text for text, _ in texts),
            texts_b=tuple(second for _, second in texts),
            files=Pictures(files) if files else None,
            names=tuple(names),
        )

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def visual(self) -> bool:
        """Whether the samples are images."""
        return self.images is not None or self.files is not None

    def pixels(self, row: int | np.integer) -> np.ndarray:
        """One image, uint8 (H, W[, 3]). Raises ValueError where the samples are sentences."""
        if self.files is not None:
            return self.files[row]
        if self.images is None:
            raise ValueError(f"{self.task} has no images")
        return self.images[row]

    def take(self, rows: Sequence[int] | np.ndarray) -> LabelledSet:
        """The samples at `rows`, in that order."""
        rows = np.asarray(rows, dtype=np.int64)
        return replace(
            self,
            labels=self.labels[rows],
            images=None if self.images is None else self.images[rows],
            files=None if self.files is None else self.files.take(rows),
            texts=tuple(self.texts[i] for i in rows) if self.texts else (),
            texts_b=tuple(self.texts_b[i] for i in rows) if self.texts_b else (),
            names=tuple(self.names[i] for i in rows) if self.names else (),
        )

    def sha256(self) -> str:
        """A hash over samples and labels, to show that two splits are what they were."""
        digest = hashlib.sha256(np.ascontiguousarray(self.labels).tobytes())
        if self.files is not None:
            digest.update(self.files.sha256())
        if self.images is not None:
            digest.update(np.ascontiguousarray(self.images).tobytes())
        digest.update(json.dumps([self.texts, self.texts_b], ensure_ascii=False).encode())
        return digest.hexdigest()


def tasks_in(folder: Path) -> list[str]:
    """Names of the tasks below a data folder. Raises UserError where there is no such folder."""
    with reading(f"The data folder {folder}"):
        found = sorted(p.parent.name for p in folder.glob("*/classes.json"))
        if not found and not folder.is_dir():
            raise UserError(f"There is no data folder {folder}.")
    return found


def read_set(folder: Path, task: str, split: str) -> LabelledSet:
    """One split of one task. `train` and `validation` are the two parts of the file `train`. Raises
    UserError where there is no such split or file, or a file is damaged or not in the format; one
    sentence that names the file."""
    check_split(split)
    if split == "test":
        return _read_file(folder / task, task, "test")
    return cut(_read_file(folder / task, task, "train"), split)


def check_split(split: str) -> None:
    """Raises UserError where there is no such split."""
    if split not in SPLITS:
        raise UserError(f"Unknown split {quoted(split)}; there are {', '.join(SPLITS)}.")


def check_limit(limit: int | None) -> None:
    """Raises UserError where `limit` leaves no sample."""
    if limit is not None and limit < 1:
        raise UserError("The limit must be 1 or more samples.")


def check_pairs(task: Task, samples: LabelledSet) -> None:
    """Raises UserError where a sentence of a pair is missing, or has no task that reads it."""
    for i, second in enumerate(samples.texts_b):
        if task.pair == bool(second):
            continue
        where = samples.names[i] if samples.names else f"{samples.task}/{samples.split}/{i}"
        if task.pair:
            raise UserError(f"{where}: {task.name} reads two sentences; text_b is missing.")
        raise UserError(f"{where}: {task.name} reads one sentence, and text_b is of pairs.")


def cut(whole: LabelledSet, split: str) -> LabelledSet:
    """The part of a task's whole `train` that is its `train` or its `validation`. Raises UserError
    where there are too few samples to hold one out."""
    held_out = validation_rows(whole.task, whole.labels)
    rows = np.flatnonzero(held_out if split == "validation" else ~held_out)
    if not len(rows):
        raise UserError(
            f"{whole.task} has too few training samples to cut validation from: {len(whole)}."
        )
    return replace(whole.take(rows), split=split)


def validation_rows(task: str, labels: np.ndarray) -> np.ndarray:
    """Boolean (N,): the 10 % of `train` that are held out, seeded by the task's name."""
    order = np.random.default_rng([SPLIT_SEED, crc32(task.encode())]).permutation(len(labels))
    held_out = np.zeros(len(labels), dtype=bool)
    held_out[order[: round(VALIDATION_SHARE * len(labels))]] = True
    return held_out


def balanced_rows(labels: np.ndarray, limit: int, seed: int) -> np.ndarray:
    """At most `limit` rows with the classes as even as they can be, seeded, in ascending order."""
    if limit >= len(labels):
        return np.arange(len(labels))
    order = np.random.default_rng(seed).permutation(len(labels))
    rank = np.empty(len(labels), dtype=np.int64)  # how many of its class come before it
    for c in np.unique(labels):
        mine = order[labels[order] == c]
        rank[mine] = np.arange(len(mine))
    position = np.empty(len(labels), dtype=np.int64)
    position[order] = np.arange(len(labels))
    return np.sort(np.lexsort((position, rank))[:limit])


def _read_file(folder: Path, task: str, name: str) -> LabelledSet:
    if not folder.is_dir():
        raise UserError(f"There is no folder {folder}.")
    classes = read_classes(folder / "classes.json")
    if (npz := folder / f"{name}.npz").is_file():
        x, y = read_images(npz, len(classes))
        return LabelledSet(task, name, classes, y, images=x)
    if (lines := folder / f"{name}.jsonl.gz").is_file():
        texts, texts_b, y = read_sentences(lines, len(classes))
        return LabelledSet(task, name, classes, y, texts=texts, texts_b=texts_b)
    raise UserError(f"{folder} has neither {name}.npz nor {name}.jsonl.gz.")


@dataclass(frozen=True)
class Sets:
    """Labelled sets of one split, and `rows`: where each sample lies in its uncut set."""

    data: str  # what they were made from, in words
    split: str
    sets: tuple[LabelledSet, ...]
    rows: tuple[np.ndarray, ...]
    complete: bool  # every task of the suite, nothing left out

    @property
    def total(self) -> int:
        """Samples in all."""
        return sum(len(s) for s in self.sets)


@dataclass(frozen=True)
class Pictures:
    """N image files of any size, by path or as their bytes: what a labelled set decodes when it is
    asked for, as `decode_image` does for a single request. Thousands of files fit in memory where
    their pixels would not."""

    files: tuple[Path | bytes, ...]

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, row: int | np.integer) -> np.ndarray:
        """One picture, uint8 (H, W, 3). Raises UserError for a file that is no readable image."""
        return np.asarray(decode_image(self.file(row)).image)

    def file(self, row: int | np.integer) -> Path | bytes:
        """One picture as it is stored."""
        return self.files[row]

    def take(self, rows: np.ndarray) -> Pictures:
        """The files at `rows`, in that order."""
        return Pictures(tuple(self.files[i] for i in rows))

    def sha256(self) -> bytes:
        """A hash over the files' bytes."""
        digest = hashlib.sha256()
        for file in map(self.file, range(len(self))):
            data = file if isinstance(file, bytes) else file.read_bytes()
            digest.update(hashlib.sha256(data).digest())
        return digest.digest()
