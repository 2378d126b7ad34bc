"""What every stage of the text suite's recipe shares: sentences as token ids, model, log."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recipes.text_config import TextConfig
from recipes.text_data import (
    HeldOut,
    Sentences,
    corpus_texts,
    encode,
    extra_texts,
    train_tokenizer,
    training_set,
    windows,
)
from recipes.text_measure import subset
from recipes.text_vocabulary import grow
from semerge.backbones import GPT2
from semerge.data.labelled import read_set

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Workshop:
    """What every stage needs: data as token ids, the model's shape, where to write, a log."""

    config: TextConfig
    data: Path
    folder: Path
    model: GPT2
    train: dict[str, Sentences]
    validation: dict[str, Sentences]
    classes: dict[str, int]
    extra: tuple[list[int], ...]
    log: Callable[[str], None]

    def checks(self, limit: int) -> dict[str, Sentences]:
        """At most `limit` validation sentences of each task."""
        return {t: subset(s, limit, self.config.seed) for t, s in self.validation.items()}


def open_workshop(data: Path, out: Path, config: TextConfig, grown: bool = True) -> Workshop:
    """Reads the sets, cuts the held-out sentences, makes or loads the tokenizer.

    grown: with the final vocabulary, or the small one of the language model.
    """
    from tokenizers import Tokenizer

    out.mkdir(parents=True, exist_ok=True)

    held_out = HeldOut(data, config.tasks)
    sets = {t: training_set(data, t, held_out) for t in config.tasks}
    extra = extra_texts(data, config.tasks, held_out)
    if not (out / "tokenizer_lm.json").exists():
        own = [x for s in sets.values() for x in s.texts]
        corpus = corpus_texts(data, held_out)
        rng = np.random.default_rng([config.seed, 0])
        part, size = [], 0
        for i in rng.permutation(len(corpus)):
            part.append(corpus[i])
            size += len(corpus[i].encode())
            if size > config.tokenizer_bytes:
                break
        train_tokenizer([*own, *extra, *part], config.vocab).save(str(out / "tokenizer_lm.json"))
    tokenizer = Tokenizer.from_file(str(out / "tokenizer_lm.json"))
    if grown and not (out / "tokenizer.json").exists():
        groups = [[t for t in group if (data / t).is_dir()] for group in config.grow_from]
        texts = [[x for t in g for x in training_set(data, t, held_out).texts] for g in groups]
        grow(tokenizer, texts, config.grow_by).save(str(out / "tokenizer.json"))  # type: ignore[attr-defined]
    if grown:
        tokenizer = Tokenizer.from_file(str(out / "tokenizer.json"))
    checks = {t: read_set(data, t, "validation") for t in config.tasks}

    def tokens(texts: tuple[str, ...]) -> tuple[list[int], ...]:
        return encode(tokenizer, texts, config.positions)

    model = GPT2(
        tokenizer.get_vocab_size(),
        config.positions,
        config.width,
        config.layers,
        config.heads,
        tokenizer=tokenizer,
    )
    return Workshop(
        config=config,
        data=data,
        folder=out,
        model=model,
        train={t: Sentences(tokens(s.texts), s.labels) for t, s in sets.items()},
        validation={t: Sentences(tokens(s.texts), s.labels) for t, s in checks.items()},
        classes={t: len(s.classes) for t, s in sets.items()},
        extra=tokens(tuple(extra)),
        log=logger.info,
    )


def running_text(shop: Workshop) -> tuple[list[int], ...]:
    """A few pieces of running text, of 8 to 40 tokens: what is nobody's own."""
    file = shop.folder / "running.npy"
    if not file.exists():
        corpus = corpus_texts(shop.data, HeldOut(shop.data, shop.config.tasks))
        rng = np.random.default_rng([shop.config.seed, 5])
        part = [corpus[i] for i in rng.permutation(len(corpus))[:4000]]
        ids = [i for w in windows(shop.model.tokenizer, part, 64) for i in w]
        np.save(file, np.array(ids, dtype=np.int32))
    stream = np.load(file).tolist()
    rng, found, at = np.random.default_rng([shop.config.seed, 6]), [], 0
    while at < len(stream):
        n = int(rng.integers(8, 41)) if shop.model.positions > 40 else shop.model.positions
        found.append(stream[at : at + n])
        at += n
    return tuple(found)
