"""Between language model and base: what words say about each task, and how to add them up.

A bag of words (Joulin et al., "Bag of Tricks for Efficient Text Classification", 2017) a task over
the shared table; its heads are thrown away. Experts keep the table frozen, so what they need to
know about single words, polarity above all, has to be in it. The blocks stay as they are.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from recipes.loop import half_products
from recipes.text_config import TextConfig
from recipes.text_data import Sentences, even_batches, pad
from recipes.text_lm import Log, schedule
from recipes.text_tune import cross_entropy, drop_words, stream
from semerge.backbones import GPT2, Batch, embedding


def bag(table: Tensor, batch: Batch) -> Tensor:
    """Sum of the token vectors over the root of their number: (B, d)."""
    ids, lengths = batch.data, batch.lengths
    assert lengths is not None
    real = (torch.arange(ids.shape[1]) < lengths[:, None]).unsqueeze(-1)
    return (torch.nn.functional.embedding(ids, table) * real).sum(1) / lengths.sqrt().unsqueeze(-1)


def train_words(
    table: Tensor,
    tasks: Mapping[str, tuple[Sentences, Tensor]],
    checks: Mapping[str, Sentences],
    config: TextConfig,
    log: Log,
) -> tuple[Tensor, dict[str, Tensor]]:
    """The table (V, d) after `word_steps` steps of every task at once, and heads (C, d)."""
    g = torch.Generator().manual_seed(config.seed + 2)
    d = table.shape[1]
    heads = {t: torch.randn(y.shape[1], d, generator=g) * 0.1 for t, (_, y) in tasks.items()}
    table = table.clone()
    for p in (table, *heads.values()):
        p.requires_grad_()
    optimizer = torch.optim.Adam([{"params": [table]}, {"params": list(heads.values())}])
    streams = {
        t: stream(
            s,
            round(config.word_tokens * config.word_share.get(t, 1.0)),
            0.3,
            np.random.default_rng([config.seed, 8, i]),
        )
        for i, (t, (s, _)) in enumerate(tasks.items())
    }
    started = time.monotonic()
    for step in range(config.word_steps):
        for group, rate in zip(optimizer.param_groups, (config.word_rate, 0.02), strict=True):
            group["lr"] = rate * schedule(step, config.word_steps, config.word_steps // 10 + 1)
        for t, batches in streams.items():
            batch, rows = next(batches)
            logits = bag(table, batch) @ heads[t].mT
            (cross_entropy(logits, tasks[t][1][rows]) / len(tasks)).backward()
        optimizer.step()
        optimizer.zero_grad()
        if step % 100 == 99 or step + 1 == config.word_steps:
            found = []
            for t, s in checks.items():
                batch, labels = s.batch(np.arange(len(s)))
                with torch.no_grad():
                    said = (bag(table, batch) @ heads[t].mT).argmax(-1)
                found.append(f"{t[:9]} {float((said == labels).float().mean()):.3f}")
            spent = time.monotonic() - started
            log(f"words step {step + 1}/{config.word_steps} {spent:.0f} s {' '.join(found)}")
    return table.detach(), {t: h.detach() for t, h in heads.items()}


def train_sums(
    model: GPT2,
    params: dict[str, Tensor],
    heads: Tensor,
    sentences: Sequence[list[int]],
    config: TextConfig,
    log: Log,
) -> dict[str, Tensor]:
    """Blocks that know at the last token what the bag of the sentence's words is, and says.

    A language model has no reason to add a sentence up; a classifier needs little else. Targets
    are the standardised bag (B, d) and what the words' heads (C_all, d) make of it, both through
    maps that are thrown away. The table stays as it is.
    """
    rng = np.random.default_rng([config.seed, 10])
    table = params["wte.weight"]
    lengths = np.array([len(s) for s in sentences])
    sample = pad([sentences[i] for i in rng.permutation(len(sentences))[:2000]])
    readout = torch.cat([torch.eye(table.shape[1]), heads])  # (K, d)
    known = bag(table, sample) @ readout.mT
    centre, spread = known.mean(0), known.std(0) + 1e-6
    trained = {n: p.clone().requires_grad_() for n, p in params.items() if not n.startswith("w")}
    params = {**params, **trained}
    g = torch.Generator().manual_seed(config.seed + 3)
    maps = torch.randn(len(readout), model.width, generator=g) * 0.05
    maps.requires_grad_()
    optimizer = torch.optim.AdamW(
        [{"params": list(trained.values())}, {"params": [maps]}],
        betas=(0.9, 0.98),
        weight_decay=0.01,
        fused=True,
    )
    split = [table.shape[1], len(heads)]
    started, mean, step = time.monotonic(), np.ones(2), 0
    while step < config.sum_steps:
        for rows in even_batches(lengths, config.sum_tokens, rng):
            rate = schedule(step, config.sum_steps, config.sum_steps // 20 + 1)
            for group, peak in zip(optimizer.param_groups, (config.sum_rate, 2e-3), strict=True):
                group["lr"] = peak * rate
            ids = [sentences[i] for i in rows]
            batch = pad([drop_words(s, 0.2, rng) if rng.random() < 0.5 else s for s in ids])
            target = (bag(table, batch) @ readout.mT - centre) / spread
            with half_products():
                z = embedding(model, params, batch).float()
            said = z @ maps.mT
            parts = [x.square().mean() for x in (said - target).split(split, dim=1)]
            (parts[0] + parts[1]).backward()
            torch.nn.utils.clip_grad_norm_(trained.values(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            mean = 0.97 * mean + 0.03 * np.array([x.item() for x in parts])
            step += 1
            if step % 100 == 0 or step == config.sum_steps:
                spent = time.monotonic() - started
                log(
                    f"sums step {step}/{config.sum_steps} {mean[0]:.3f} {mean[1]:.3f} {spent:.0f} s"
                )
            if step == config.sum_steps:
                break
    return params | {n: p.detach() for n, p in trained.items()}
