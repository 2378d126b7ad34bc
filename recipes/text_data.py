"""Sentences for the text suite: what may be read, the tokenizer, and batches of even length.

Validation and test are cut off first. A sentence that occurs in one of them, in any task and in
whatever case or punctuation, enters neither the tokenizer nor the language model nor training.
"""

from __future__ import annotations

import gzip
import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from recipes.written import with_written
from semerge.backbones import Batch
from semerge.data.labelled import LabelledSet, read_set, tasks_in

if TYPE_CHECKING:
    from tokenizers import Tokenizer

PAD = "<|endoftext|>"
SENTENCE_END = re.compile(r"(?<=[.!?])\s+")


@dataclass(frozen=True)
class Sentences:
    """Token ids of n sentences, and their labels (zeros where there are none)."""

    ids: tuple[list[int], ...]
    labels: np.ndarray  # (n,) int64

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: Sequence[int] | np.ndarray) -> Sentences:
        return Sentences(tuple(self.ids[i] for i in rows), self.labels[np.asarray(rows, int)])

    def batch(self, rows: Sequence[int] | np.ndarray) -> tuple[Batch, torch.Tensor]:
        """Padded ids with lengths, and labels (B,)."""
        return pad([self.ids[i] for i in rows]), torch.from_numpy(self.labels[np.asarray(rows)])


def pad(ids: Sequence[list[int]], pad_id: int = 0) -> Batch:
    """Sentences as one right-padded batch: ids (B, N), lengths (B,)."""
    lengths = [len(row) for row in ids]
    data = np.full((len(ids), max(lengths)), pad_id, dtype=np.int64)
    for row, sentence in zip(data, ids, strict=True):
        row[: len(sentence)] = sentence
    return Batch(torch.from_numpy(data), torch.tensor(lengths))


def fingerprint(text: str) -> bytes:
    """Equal for sentences that differ in case, spacing or punctuation alone."""
    plain = "".join(c for c in text.lower() if c.isalnum())
    return hashlib.blake2b((plain or text).encode(), digest_size=8).digest()


class HeldOut:
    """Fingerprints of every validation and test sentence of the suite's tasks."""

    def __init__(self, folder: Path, tasks: Sequence[str]) -> None:
        self.marks = {
            fingerprint(text)
            for task in tasks
            for split in ("validation", "test")
            for text in read_set(folder, task, split).texts
        }

    def clean(self, texts: Iterable[str]) -> list[str]:
        """The texts that are not held out, each once, in order."""
        seen: set[bytes] = set()
        kept = []
        for text in texts:
            mark = fingerprint(text)
            if mark not in self.marks and mark not in seen:
                seen.add(mark)
                kept.append(text)
        return kept

    def allowed(self, texts: Sequence[str]) -> np.ndarray:
        """Row numbers of the texts that are not held out."""
        return np.flatnonzero([fingerprint(t) not in self.marks for t in texts])


def training_set(folder: Path, task: str, held_out: HeldOut) -> LabelledSet:
    """The train part of one task without sentences that are held out in any task."""
    found = with_written(read_set(folder, task, "train"))
    return found.take(held_out.allowed(found.texts))


def extra_texts(folder: Path, tasks: Sequence[str], held_out: HeldOut) -> list[str]:
    """Text of the tasks that lie in the folder beside the suite's own: unlabelled, train part."""
    others = [t for t in tasks_in(folder) if t not in tasks]
    return held_out.clean(x for t in others for x in read_set(folder, t, "train").texts)


def corpus_texts(folder: Path, held_out: HeldOut) -> list[str]:
    """Paragraphs of `lm/*.txt.gz`, of which every held-out sentence is taken out."""
    paragraphs: list[str] = []
    for path in sorted((folder / "lm").glob("*.txt.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as f:
            for raw in f:
                line = " ".join(raw.replace("<unk>", " ").replace("@-@", "-").split())
                kept = [s for s in SENTENCE_END.split(line) if fingerprint(s) not in held_out.marks]
                if text := " ".join(kept):
                    paragraphs.append(text)
    return paragraphs


def train_tokenizer(texts: Iterable[str], vocab: int) -> Tokenizer:
    """A byte-level BPE `tokenizers.Tokenizer`; id 0 is the padding and the end of a sentence."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab,
        special_tokens=[PAD],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def encode(tokenizer: object, texts: Sequence[str], positions: int) -> tuple[list[int], ...]:
    """Token ids of each text, cut to the window; never empty."""
    found = tokenizer.encode_batch(list(texts))  # type: ignore[attr-defined]
    return tuple(e.ids[:positions] or [0] for e in found)


def windows(tokenizer: object, texts: Sequence[str], length: int) -> list[list[int]]:
    """Running text cut into windows of `length` tokens."""
    found = tokenizer.encode_batch(list(texts))  # type: ignore[attr-defined]
    stream = [i for e in found for i in [*e.ids, 0]]
    return [stream[i : i + length] for i in range(0, len(stream) - length + 1, length)]


def even_batches(
    lengths: np.ndarray, tokens: int, rng: np.random.Generator, group: int = 32
) -> Iterator[np.ndarray]:
    """Rows in random batches of like length, at most about `tokens` padded tokens each."""
    order = rng.permutation(len(lengths))
    batches: list[np.ndarray] = []
    share = max(1, int(group * tokens / max(1.0, float(lengths.mean()))))
    for start in range(0, len(order), share):
        rows = order[start : start + share]
        rows = rows[np.argsort(lengths[rows], kind="stable")]
        first = 0
        while first < len(rows):
            stop = first + 1
            while stop < len(rows) and lengths[rows[stop]] * (stop + 1 - first) <= tokens:
                stop += 1
            batches.append(rows[first:stop])
            first = stop
    for i in rng.permutation(len(batches)):
        yield batches[i]
