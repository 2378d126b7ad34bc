"""What each task learns from: its own sentences, and for sentiment those of a teacher."""

from __future__ import annotations

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from recipes.text_data import HeldOut, Sentences, encode, pad, training_set
from recipes.text_teacher import fit_teacher, letter_grams
from recipes.text_tune import soft_targets
from recipes.text_words import bag
from recipes.text_workshop import Workshop

SENTIMENT = "sentiment_mr"
BAGS = "word_heads.safetensors"
"""The file of the bags of words that teach experts: their table and a head a task."""


def lessons(
    shop: Workshop, task: str, smoothing: float, expert: bool = False
) -> tuple[Sentences, Tensor]:
    """A task's own sentences and the probabilities (n, C) to learn. expert: all of the lessons."""
    own = shop.train[task]
    if task == SENTIMENT:
        return sentiment_lessons(shop, shop.config.sentiment_mixed if expert else 0)
    if expert and task in shop.config.bag_taught:
        return bag_lessons(shop, task, smoothing)
    return own, soft_targets(own.labels, shop.classes[task], smoothing)


def sentiment_lessons(shop: Workshop, mixed: int) -> tuple[Sentences, Tensor]:
    """More sentences for `sentiment_mr`: reviews of other sets, and its own with words left out.

    mixed: how many sentences to make of the halves of two: nothing to learn by heart in those.
    Labels are what two naive-Bayes-like teachers say on average, one by words and one by letters,
    fitted on the task's train part and on the labelled reviews of other sets; where a sentence has
    a label, the mean of that and of what they say.
    """
    config = shop.config
    held_out = HeldOut(shop.data, config.tasks)
    mr = training_set(shop.data, SENTIMENT, held_out)
    texts, labels = list(mr.texts), list(mr.labels)
    for name in config.sentiment_sets:
        if (shop.data / name).is_dir():
            more = training_set(shop.data, name, held_out)
            texts += more.texts
            labels += list(more.labels)
    known = np.array(labels)
    by_words = fit_teacher(texts, known, config.seed)
    by_letters = fit_teacher(texts, known, config.seed, letter_grams, config.letter_epochs)
    unlabelled = [
        x
        for name in config.sentiment_texts
        if (shop.data / name).is_dir()
        for x in training_set(shop.data, name, held_out).texts
    ]
    rng = np.random.default_rng([config.seed, 3])
    partial = []
    for _ in range(config.sentiment_partial):
        for text in mr.texts:
            kept = text.split()
            share = rng.uniform(0.3, 0.8)
            keep = [w for w in kept if rng.random() < share]
            if len(keep) > 2:
                partial.append(" ".join(keep))
    halves = [t.split() for t in [*texts, *unlabelled]]
    for _ in range(mixed):
        a, b = (halves[i] for i in rng.integers(len(halves), size=2))
        i, j = (int(rng.integers(1 + len(x) // 2)) for x in (a, b))
        partial.append(" ".join([*a[i : i + len(a) // 2], *b[j : j + len(b) // 2]]) or a[0])
    pool = [*texts, *unlabelled, *partial]
    logits = (by_words.logits(pool) + config.teacher_letters * by_letters.logits(pool)) / 2
    said = 1 / (1 + np.exp(-logits / config.teacher_temperature))
    averaged = config.teacher_share * said[: len(known)] + (1 - config.teacher_share) * known
    probability = np.concatenate([averaged, said[len(known) :]])
    probability = config.smoothing / 2 + (1 - config.smoothing) * probability
    ids = encode(shop.model.tokenizer, pool, config.positions)
    targets = torch.from_numpy(np.stack([1 - probability, probability], 1)).float()
    return Sentences(ids, (probability > 0.5).astype(np.int64)), targets


def bag_lessons(shop: Workshop, task: str, smoothing: float) -> tuple[Sentences, Tensor]:
    """For tasks of rare words: what the bag of words of the token table says teaches the expert.

    Own sentences learn the mean of label and bag; sentences with tokens left out, and sentences
    made of the halves of two, learn what the bag says of them.
    """
    stored = load_file(shop.folder / BAGS)
    own, rng = shop.train[task], np.random.default_rng([shop.config.seed, 11])
    known = soft_targets(own.labels, shop.classes[task], smoothing)
    sharpness = shop.config.bag_sharpness
    more = []
    for ids in own.ids:
        keep = rng.random(len(ids)) < rng.uniform(0.4, 0.9)
        if keep.any():
            more.append([i for i, k in zip(ids, keep, strict=True) if k])
    for _ in own.ids:
        a, b = (own.ids[i] for i in rng.integers(len(own), size=2))
        more.append([*a[: (len(a) + 1) // 2], *b[len(b) // 2 :]][: shop.config.positions])
    pool = [*own.ids, *more]
    said = torch.cat(
        [
            (bag(stored["table"], pad(pool[i : i + 500])) @ (sharpness * stored[task]).mT).softmax(
                -1
            )
            for i in range(0, len(pool), 500)
        ]
    )
    said[: len(own)] = (said[: len(own)] + known) / 2
    return Sentences(tuple(pool), said.argmax(-1).numpy()), said
