"""Grows a byte-level BPE by the words that the tasks turn on.

The language model is trained with a small vocabulary, because its softmax costs the most. Rare
words of the tasks fall into pieces then, and a bag of pieces knows less of a film review than a
bag of words. So more merges, learnt as BPE learns them but on chosen text, are appended: what is
merged already stays, ids stay, and a new token starts from the two it is made of.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise

import torch
from torch import Tensor

Pair = tuple[str, str]


def grow(tokenizer: object, texts: Sequence[Iterable[str]], more: int) -> object:
    """A tokenizer with `more` more merges. texts: groups that weigh the same."""
    from tokenizers import Tokenizer

    state = json.loads(tokenizer.to_str())  # type: ignore[attr-defined]
    vocab, merges = state["model"]["vocab"], state["model"]["merges"]
    weights: Counter[tuple[str, ...]] = Counter()
    for origin in texts:
        counts: Counter[str] = Counter()
        for text in origin:
            found = tokenizer.pre_tokenizer.pre_tokenize_str(text)  # type: ignore[attr-defined]
            counts.update(word for word, _ in found)
        total = sum(counts.values())
        for word, n in counts.items():
            if n > 1:
                pieces = tuple(t.value for t in tokenizer.model.tokenize(word))  # type: ignore[attr-defined]
                if len(pieces) > 1:
                    weights[pieces] += n / total  # type: ignore[assignment]
    words = [list(w) for w in sorted(weights)]
    weight = [weights[tuple(w)] for w in words]
    where: defaultdict[Pair, set[int]] = defaultdict(set)
    score: defaultdict[Pair, float] = defaultdict(float)
    for i, w in enumerate(words):
        for pair in pairwise(w):
            where[pair].add(i)
            score[pair] += weight[i]
    for _ in range(more):
        if not score:
            break
        best = max(score, key=lambda p: (score[p], p))
        joined = best[0] + best[1]
        merges.append(list(best))
        vocab.setdefault(joined, len(vocab))
        for i in sorted(where[best]):
            w = words[i]
            for pair in pairwise(w):
                score[pair] -= weight[i]
                where[pair].discard(i)
                if not where[pair] and pair != best:
                    score.pop(pair, None)
            k = 0
            while k < len(w) - 1:
                if (w[k], w[k + 1]) == best:
                    w[k : k + 2] = [joined]
                k += 1
            for pair in pairwise(w):
                score[pair] += weight[i]
                where[pair].add(i)
        del score[best]
    return Tokenizer.from_str(json.dumps(state))


def grow_table(table: Tensor, tokenizer: object) -> Tensor:
    """Rows for the new tokens: the sum of the rows of their two parts, over the root of 2."""
    state = json.loads(tokenizer.to_str())  # type: ignore[attr-defined]
    vocab = state["model"]["vocab"]
    rows = torch.zeros(len(vocab), table.shape[1])
    rows[: len(table)] = table
    for first, second in state["model"]["merges"]:
        i = vocab[first + second]
        if i >= len(table):
            rows[i] = (rows[vocab[first]] + rows[vocab[second]]) / 2**0.5
    return rows
