"""A naive-Bayes-weighted linear classifier over words and word pairs, or over runs of letters.

Wang & Manning, "Baselines and Bigrams" (ACL 2012), with logistic loss. It is fitted on a task's
train part alone. What it says about more text, and about sentences with words left out, gives a
small model from scratch the word polarities that a few thousand sentences do not teach it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F

Grams = Callable[[str], set[str]]

WORD = re.compile(r"\w+|[^\w\s]")


def words(text: str) -> list[str]:
    return WORD.findall(text.lower())


@dataclass(frozen=True)
class Teacher:
    """Two classes. weights: (V,), one a gram; a logit for class 1 is their sum."""

    index: dict[str, int]
    weights: np.ndarray
    bias: float
    grams: Grams

    def logits(self, texts: Sequence[str]) -> np.ndarray:
        """(n,) float64"""
        return np.array(
            [
                self.bias + sum(self.weights[i] for i in _rows(t, self.index, self.grams))
                for t in texts
            ]
        )


def word_grams(text: str) -> set[str]:
    """Words and pairs of neighbours."""
    w = words(text)
    return set(w) | {f"{a} {b}" for a, b in pairwise(w)}


def letter_grams(text: str, sizes: range = range(2, 7)) -> set[str]:
    """Runs of 2 to 6 letters, across words: stems, endings, short phrases."""
    line = " ".join(words(text))
    return {line[i : i + n] for n in sizes for i in range(len(line) - n + 1)}


def _rows(text: str, index: dict[str, int], grams: Grams) -> list[int]:
    return sorted(index[g] for g in grams(text) if g in index)


def fit_teacher(
    texts: Sequence[str],
    labels: np.ndarray,
    seed: int,
    grams: Grams = word_grams,
    epochs: int = 20,
    decay: float = 3e-3,
    rate: float = 0.02,
) -> Teacher:
    """Naive Bayes log ratios, then a logistic regression on them, pulled towards 1."""
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(grams(text))
    index = {g: i for i, g in enumerate(sorted(g for g, n in counts.items() if n > 1))}
    rows = [_rows(t, index, grams) for t in texts]
    seen = np.ones((2, len(index)))
    for row, label in zip(rows, labels, strict=True):
        seen[label, row] += 1
    ratio = np.log(seen[1] / seen[1].sum()) - np.log(seen[0] / seen[0].sum())
    scale = torch.from_numpy(ratio).float()
    weights = torch.full((len(index) + 1,), 0.3, requires_grad=True)
    bias = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.Adam([weights, bias], lr=rate)
    rng = np.random.default_rng([seed, 7])
    target = torch.from_numpy(labels).float()
    for _ in range(epochs):
        order = rng.permutation(len(rows))
        for start in range(0, len(order), 256):
            part = order[start : start + 256]
            flat = torch.tensor([i for r in part for i in rows[r]])
            owner = torch.tensor([j for j, r in enumerate(part) for _ in rows[r]])
            score = torch.zeros(len(part)).index_add(0, owner, weights[flat] * scale[flat]) + bias
            loss = F.binary_cross_entropy_with_logits(score, target[part])
            loss = loss + decay * (weights - 0.3).square().sum() / 256
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    final = (weights.detach()[:-1] * scale).double().numpy()
    return Teacher(index, final, bias.item(), grams)
