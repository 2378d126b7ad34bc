"""From a language model to a base with heads: a brief look at every task.

It gives the heads, which stay frozen afterwards; experts start from it (see `text_expert`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from recipes.text_config import TextConfig
from recipes.text_data import Sentences, even_batches, pad
from recipes.text_lm import Log, schedule
from semerge.backbones import GPT2, Batch, embedding

Params = dict[str, Tensor]


def drop_words(ids: list[int], share: float, rng: np.random.Generator) -> list[int]:
    """Leave out each token with probability `share`; at least one stays."""
    kept = [i for i, keep in zip(ids, rng.random(len(ids)) >= share, strict=True) if keep]
    return kept or ids[:1]


def stream(
    sentences: Sentences, tokens: int, drop: float, rng: np.random.Generator
) -> Iterator[tuple[Batch, np.ndarray]]:
    """Endless epochs of batches and their rows; in half of the sentences some tokens left out."""
    lengths = np.array([len(s) for s in sentences.ids])
    while True:
        for rows in even_batches(lengths, tokens, rng):
            ids = [sentences.ids[i] for i in rows]
            if drop:
                ids = [drop_words(s, drop, rng) if rng.random() < 0.5 else s for s in ids]
            yield pad(ids), rows


def soft_targets(labels: np.ndarray, classes: int, smoothing: float) -> Tensor:
    """(n, C) one-hot labels, smoothed."""
    hot = F.one_hot(torch.from_numpy(labels), classes).float()
    return hot * (1 - smoothing) + smoothing / classes


def cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Mean cross entropy against probabilities (B, C)."""
    return -(target * F.log_softmax(logits, dim=-1)).sum(-1).mean()


def train_base(
    model: GPT2,
    params: Params,
    tasks: dict[str, tuple[Sentences, Tensor]],
    config: TextConfig,
    log: Log,
    check: Callable[[Params, Params], str],
) -> tuple[Params, Params]:
    """The brief multi-task phase: all parameters and one head (C, d) a task.

    tasks: sentences and, a row each, probabilities of the classes (n, C).
    """
    g = torch.Generator().manual_seed(config.seed + 1)
    heads = {
        t: torch.randn(y.shape[1], model.width, generator=g) * 0.02 for t, (_, y) in tasks.items()
    }
    params = {n: p.clone() for n, p in params.items()}
    for p in (*params.values(), *heads.values()):
        p.requires_grad_()
    groups: list[dict[str, Any]] = [
        {"params": list(params.values())},
        {"params": list(heads.values()), "lr": 1.0},
    ]
    optimizer = torch.optim.AdamW(
        groups,
        betas=(0.9, 0.98),
        weight_decay=0.01,
        fused=True,
    )
    rates = (config.base_rate, config.head_rate)
    streams = {
        t: stream(
            s,
            round(config.base_tokens * config.base_share.get(t, 1.0)),
            config.word_drop,
            np.random.default_rng([config.seed, 2, i]),
        )
        for i, (t, (s, _)) in enumerate(tasks.items())
    }
    started = time.monotonic()
    for step in range(config.base_steps):
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * schedule(step, config.base_steps, config.base_steps // 10 + 1)
        total = 0.0
        for t, batches in streams.items():
            batch, rows = next(batches)
            logits = model.logits(embedding(model, params, batch), heads[t])
            loss = cross_entropy(logits, tasks[t][1][rows]) / len(tasks)
            loss.backward()
            total += loss.item()
        torch.nn.utils.clip_grad_norm_(params.values(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if step % 20 == 19 or step + 1 == config.base_steps:
            found = check(_detached(params), _detached(heads))
            spent = time.monotonic() - started
            log(f"base step {step + 1}/{config.base_steps} loss {total:.3f} {spent:.0f} s {found}")
    return _detached(params), _detached(heads)


def _detached(params: Params) -> Params:
    return {n: p.detach() for n, p in params.items()}
