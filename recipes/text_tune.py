"""From a language model to a base with heads, and from the base to experts that can be told apart.

The base sees every task briefly: that gives the heads, which stay frozen afterwards. An expert then
learns its task while two more terms shape *where* it moves (up to `probe_layer`):

- preserve: on its own sentences its block outputs stay where the base has them;
- drift: on other text of the base's pre-training (unlabelled) they move by at least a margin.

To first order the merged model is the base plus a small sum of all drifts, so the expert that moves
a sentence least is the nearest one: the paper's hypothesis, which fails for plain small experts.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from recipes.text_config import ExpertConfig, TextConfig
from recipes.text_data import Sentences, even_batches, pad
from recipes.text_lm import Log, schedule
from semerge.backbones import GPT2, Batch

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
    return -(target * F.log_softmax(logits.float(), dim=-1)).sum(-1).mean()


def displacement(h: Tensor, h0: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
    """Squared distance to the base over the base's squared norm, (B,) twice.

    Over all real tokens, and at the last one: what the poolings `all` and `last` see.
    """
    real = batch.real()  # (B, N)
    last = real.sum(1) - 1  # (B,)
    real = real.unsqueeze(-1)
    moved = ((h - h0) * real).float().square().sum(-1)  # (B, N)
    norm = (h0 * real).float().square().sum(-1)  # (B, N)
    rows = torch.arange(len(h))
    return moved.sum(1) / norm.sum(1), moved[rows, last] / norm[rows, last]


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
            with torch.autocast("cpu", torch.bfloat16):
                h = model.embed(params, batch)
                for layer in range(1, model.depth + 1):
                    h = model.block(params, layer, h, batch)
                logits = model.logits(model.final(params, h, batch), heads[t])
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


@dataclass
class Foreign:
    """Sentences that are not the expert's own, by origin; what it fails on comes more often."""

    pools: dict[str, tuple[list[int], ...]]
    tokens: int
    rng: np.random.Generator

    def __post_init__(self) -> None:
        self.need = dict.fromkeys(self.pools, 1.0)

    def draw(self, count: int) -> list[tuple[list[list[int]], list[str]]]:
        """`count` batches of like length and the origin of each sentence."""
        names = list(self.pools)
        need = np.array([0.1 + self.need[n] for n in names])
        found: list[tuple[list[int], str]] = []
        size = 0
        while size < count * self.tokens:
            name = names[int(self.rng.choice(len(names), p=need / need.sum()))]
            pool = self.pools[name]
            ids = pool[int(self.rng.integers(len(pool)))]
            found.append((ids, name))
            size += len(ids)
        lengths = np.array([len(ids) for ids, _ in found])
        batches = list(even_batches(lengths, self.tokens, self.rng))[:count]
        return [([found[i][0] for i in rows], [found[i][1] for i in rows]) for rows in batches]

    def learn(self, origins: list[str], missing: Tensor) -> None:
        """missing (B,): how far each sentence is from the margin, 0 where it is met."""
        for name, m in zip(origins, missing.tolist(), strict=True):
            self.need[name] += 0.05 * (m - self.need[name])


def train_expert(
    model: GPT2,
    base: Params,
    head: Tensor,
    own: Sentences,
    targets: Tensor,
    foreign: dict[str, tuple[list[int], ...]],
    config: ExpertConfig,
    seed: list[int],
    log: Log,
    check: Callable[[Params], float],
) -> Params:
    """Blocks and final norm of one expert, its tables too where it has its own.

    targets: (n, C) probabilities for the rows of `own`.

    check: accuracy of given parameters on validation, for the log alone.
    """
    rng = np.random.default_rng(seed)
    torch.manual_seed(int(rng.integers(2**31)))  # dropout
    tables = {n for n in base if n.startswith("w")}
    trained = {
        n: p.clone().requires_grad_() for n, p in base.items() if config.table or n not in tables
    }
    params = {**base, **trained}
    groups: list[dict[str, Any]] = [
        {"params": [p for n, p in trained.items() if n not in tables], "peak": config.rate},
        {
            "params": [p for n, p in trained.items() if n in tables],
            "peak": config.table_rate * config.rate,
        },
    ]
    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.98), weight_decay=0.0, fused=True)
    batches = stream(own, config.tokens, config.word_drop, rng)
    others = Foreign(foreign, config.foreign_tokens, rng)
    queue: list[tuple[list[list[int]], list[str]]] = []
    upto = config.probe_layer
    started = time.monotonic()
    mean = np.zeros(3)
    for step in range(config.steps):
        for group in optimizer.param_groups:
            group["lr"] = group["peak"] * schedule(step, config.steps, config.steps // 20 + 1)
        batch, rows = next(batches)
        with torch.autocast("cpu", torch.bfloat16):
            h0, stay = model.embed(base, batch), torch.zeros(())
            kept = F.dropout(torch.ones_like(h0), config.dropout)  # of both, or it would be a move
            h0, h = h0 * kept, model.embed(params, batch) * kept
            for layer in range(1, model.depth + 1):
                h = model.block(params, layer, h, batch)
                if config.preserve and layer <= upto:
                    with torch.no_grad():
                        h0 = model.block(base, layer, h0, batch)
                    everywhere, last = displacement(h, h0, batch)
                    stay = stay + (everywhere + last).mean() / (2 * upto)
            loss = task = cross_entropy(
                model.logits(F.dropout(model.final(params, h, batch), config.dropout), head),
                targets[rows],
            )
            loss = loss + config.preserve * stay
        loss.backward()
        move = torch.zeros(())
        if config.drift:
            if not queue:
                queue = others.draw(25)
            ids, origins = queue.pop()
            move, missing = drift_loss(model, base, params, pad(ids), config)
            (config.drift * move).backward()
            others.learn(origins, missing)
        torch.nn.utils.clip_grad_norm_(trained.values(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        now = np.array([task.item(), stay.item(), move.item()])
        mean = now if step == 0 else 0.97 * mean + 0.03 * now
        if step % 200 == 199 or step + 1 == config.steps:
            need = " ".join(f"{n[:5]} {v:.2f}" for n, v in others.need.items())
            spent = time.monotonic() - started
            log(
                f"  step {step + 1}/{config.steps} task {mean[0]:.3f} stay {mean[1]:.4f} "
                f"drift {mean[2]:.3f} ({need}) {spent:.0f} s, "
                f"validation {check({**base, **_detached(trained)}):.4f}"
            )
    return _detached(trained)


def drift_loss(
    model: GPT2, base: Params, params: Params, batch: Batch, config: ExpertConfig
) -> tuple[Tensor, Tensor]:
    """Mean of relu(1 - displacement / margin) at the probe layer, and each sentence's part (B,)."""
    with torch.autocast("cpu", torch.bfloat16):
        h, h0 = model.embed(params, batch), model.embed(base, batch)
        for layer in range(1, config.probe_layer + 1):
            h = model.block(params, layer, h, batch)
            with torch.no_grad():
                h0 = model.block(base, layer, h0, batch)
        parts = displacement(h, h0, batch)
    # the root has a slope at 0, where every expert starts; 1e-4 keeps it finite
    missing = sum(F.relu(1 - (d / config.margin + 1e-4).sqrt()) for d in parts) / 2
    assert isinstance(missing, Tensor)
    return missing.mean(), missing.detach()


def _detached(params: Params) -> Params:
    return {n: p.detach() for n, p in params.items()}
