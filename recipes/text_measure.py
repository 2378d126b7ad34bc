"""Accuracies on validation while training goes on: what its log tells.

What the finished suite is chosen and judged by is measured by `semerge.evaluation`.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from recipes.text_data import Sentences
from semerge.backbones import GPT2, activations

Params = Mapping[str, Tensor]


def subset(sentences: Sentences, limit: int, seed: int) -> Sentences:
    """At most `limit` sentences, seeded, in order of length (to waste no padding)."""
    rows = np.random.default_rng([seed, 9]).permutation(len(sentences))[:limit]
    return sentences.take(sorted(rows, key=lambda i: len(sentences.ids[i])))


def chunks(n: int, size: int = 64) -> list[np.ndarray]:
    return [np.arange(i, min(i + size, n)) for i in range(0, n, size)]


@torch.no_grad()
def embeddings(model: GPT2, params: Params, sentences: Sentences) -> Tensor:
    """Final embeddings (n, d)."""
    found = []
    for rows in chunks(len(sentences)):
        batch, _ = sentences.batch(rows)
        found.append(model.final(params, activations(model, params, batch)[-1], batch))
    return torch.cat(found)


def accuracy(model: GPT2, params: Params, head: Tensor, sentences: Sentences) -> float:
    """Share of right answers with the task's own head."""
    chosen = model.logits(embeddings(model, params, sentences), head).argmax(-1).numpy()
    return float((chosen == sentences.labels).mean())


def accuracies(
    model: GPT2, params: Params, heads: Params, sets: Mapping[str, Sentences]
) -> dict[str, float]:
    found = {t: accuracy(model, params, heads[t], s) for t, s in sets.items()}
    return found | {"average": float(np.mean(list(found.values())))}


def shown(by_task: dict[str, float]) -> str:
    return " ".join(f"{t[:9]} {v:.3f}" for t, v in by_task.items())
