"""The base's first life: a causal language model over the suite's own text and running text."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from recipes.loop import half_products
from recipes.text_config import TextConfig
from recipes.text_data import even_batches, pad
from semerge.backbones import GPT2, Batch, activations

Log = Callable[[str], None]


def initial(model: GPT2, seed: int) -> dict[str, Tensor]:
    """GPT-2's initialisation: N(0, 0.02), projections into the residual stream scaled by depth."""
    g = torch.Generator().manual_seed(seed)
    params = {}
    for name, shape in model.shapes.items():
        if name.endswith("bias"):
            p = torch.zeros(shape)
        elif ".ln_" in name or name.startswith("ln_"):
            p = torch.ones(shape)
        else:
            p = torch.randn(shape, generator=g) * 0.02
            if name.endswith("c_proj.weight"):
                p /= math.sqrt(2 * model.layers)
        params[name] = p
    return params


def next_token_loss(model: GPT2, params: dict[str, Tensor], batch: Batch) -> Tensor:
    """Mean cross entropy over real tokens; the last one predicts the end of the sentence."""
    with half_products():
        h = activations(model, params, batch)[-1]
    real = batch.real()  # (B, N)
    target = F.pad(batch.data[:, 1:], (0, 1), value=model.pad_id)  # (B, N)
    h = F.layer_norm(h[real], (model.width,), params["ln_f.weight"], params["ln_f.bias"])
    logits = h @ params["wte.weight"].mT  # (M, V)
    return F.cross_entropy(logits, target[real])


def schedule(step: int, steps: int, warmup: int) -> float:
    """Linear warm-up, then a cosine down to 2 % of the peak."""
    if step < warmup:
        return (step + 1) / warmup
    done = (step - warmup) / max(1, steps - warmup)
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def epoch_batches(
    sentences: list[list[int]], running: list[list[int]], config: TextConfig, epoch: int
) -> list[list[list[int]]]:
    """The batches of one epoch: all sentences and a fresh random part of the running text."""
    rng = np.random.default_rng([config.seed, 1, epoch])
    wanted = config.lm_corpus_share * sum(map(len, sentences))
    count = min(len(running), int(wanted / config.positions))
    part = rng.permutation(len(running))[:count]
    pool = sentences + [running[i] for i in part]
    lengths = np.array([len(s) for s in pool])
    return [[pool[i] for i in rows] for rows in even_batches(lengths, config.lm_tokens, rng)]


def train_language_model(
    model: GPT2,
    sentences: list[list[int]],
    running: list[list[int]],
    checks: list[list[int]],
    config: TextConfig,
    folder: Path,
    log: Log,
) -> tuple[dict[str, Tensor], float]:
    """Train, or take up again at the last checkpoint in `folder`.

    Returns float32 parameters, and the seconds that it took over all runs.
    """
    state_file = folder / "lm_state.pt"
    params = initial(model, config.seed)
    for p in params.values():
        p.requires_grad_()
    matrices = [p for p in params.values() if p.dim() == 2]
    vectors = [p for p in params.values() if p.dim() == 1]
    groups: list[dict[str, Any]] = [
        {"params": matrices, "weight_decay": config.lm_decay},
        {"params": vectors},
    ]
    optimizer = torch.optim.AdamW(
        groups,
        lr=config.lm_rate,
        betas=(0.9, 0.98),
        weight_decay=0.0,
        fused=True,
    )
    done, before = 0, 0.0
    if state_file.exists():
        state = torch.load(state_file, weights_only=True)
        with torch.no_grad():
            for name, p in params.items():
                p.copy_(state["params"][name])
        optimizer.load_state_dict(state["optimizer"])
        done, before = state["step"], state["seconds"]
    plan = [epoch_batches(sentences, running, config, e) for e in range(config.lm_epochs)]
    batches = [b for epoch in plan for b in epoch][: config.lm_steps]
    started, mean = time.monotonic(), 0.0
    for step in range(done, len(batches)):
        rate = config.lm_rate * schedule(step, len(batches), min(200, len(batches) // 10 + 1))
        for group in optimizer.param_groups:
            group["lr"] = rate
        loss = next_token_loss(model, params, pad(batches[step]))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(params.values(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        mean = loss.item() if step == done else 0.98 * mean + 0.02 * loss.item()
        if step % 100 == 99:
            spent = time.monotonic() - started
            log(f"lm step {step + 1}/{len(batches)} loss {mean:.3f} {spent:.0f} s")
        if step % 500 == 499 or step + 1 == len(batches):
            detached = {n: p.detach() for n, p in params.items()}
            checkpoint = {
                "params": detached,
                "optimizer": optimizer.state_dict(),
                "step": step + 1,
                "seconds": before + time.monotonic() - started,
            }
            torch.save(checkpoint, state_file.with_suffix(".new"))
            state_file.with_suffix(".new").rename(state_file)
            log(
                f"lm step {step + 1} validation loss {validation_loss(model, detached, checks):.3f}"
            )
    spent = before + time.monotonic() - started
    return {n: p.detach() for n, p in params.items()}, spent


@torch.no_grad()
def validation_loss(model: GPT2, params: dict[str, Tensor], checks: list[list[int]]) -> float:
    """Mean loss a token over a few held-out sentences."""
    total, count = 0.0, 0
    checks = sorted(checks, key=len)
    for start in range(0, len(checks), 64):
        part = checks[start : start + 64]
        n = sum(map(len, part))
        total += next_token_loss(model, params, pad(part)).item() * n
        count += n
    return total / max(1, count)
