"""One expert of the text suite, and the terms that shape where it moves.

An expert learns its task under a frozen head. In the recipe's own family, "disentangled", two more
terms hold: *stay* keeps other inputs of the base's pre-training, unlabelled, where the base has
them, and *home* asks that the expert's own sentences move by a margin. To first order the merged
model then is the base plus λ times the own expert's move, which is what the theory of the paper
assumes: from λ = 1/2 on, the own expert is the nearest one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from recipes.loop import Schedule, half_products, scaled, train
from recipes.text_config import ExpertConfig
from recipes.text_data import Sentences, even_batches, pad
from recipes.text_tune import cross_entropy, drop_words
from semerge.backbones import GPT2, Batch, activations

Params = dict[str, Tensor]
GROUP = 25  # batches of other text that are drawn together, so that like lengths meet


class OwnBatches:
    """Endless epochs of batches; batch i is the same whenever it is asked for.

    In half of the sentences some tokens are left out.
    """

    def __init__(self, sentences: Sentences, tokens: int, drop: float, seed: list[int]) -> None:
        self.sentences, self.tokens, self.drop, self.seed = sentences, tokens, drop, seed
        self.lengths = np.array([len(s) for s in sentences.ids])
        self.plan: list[np.ndarray] = []
        self.epochs = 0

    def __getitem__(self, i: int) -> tuple[Batch, np.ndarray]:
        """A batch and the rows of its sentences."""
        while i >= len(self.plan):
            rng = np.random.default_rng([*self.seed, 0, self.epochs])
            self.plan += even_batches(self.lengths, self.tokens, rng)
            self.epochs += 1
        rows, rng = self.plan[i], np.random.default_rng([*self.seed, 1, i])
        ids = [self.sentences.ids[r] for r in rows]
        if self.drop:
            ids = [drop_words(s, self.drop, rng) if rng.random() < 0.5 else s for s in ids]
        return pad(ids), rows


class OtherBatches:
    """Batches of what is not the expert's own, each origin as often as the others."""

    def __init__(self, pools: Sequence[Sequence[list[int]]], tokens: int, seed: list[int]) -> None:
        self.pools, self.tokens, self.seed = pools, tokens, seed
        self.group, self.batches = -1, [Batch(torch.zeros(0))]

    def __getitem__(self, i: int) -> Batch:
        if i // GROUP != self.group:
            self.group = i // GROUP
            self.batches = list(self._draw(np.random.default_rng([*self.seed, 2, self.group])))
        return self.batches[i % GROUP]

    def _draw(self, rng: np.random.Generator) -> Iterator[Batch]:
        found: list[list[int]] = []
        size = 0
        while size < GROUP * self.tokens:
            pool = self.pools[int(rng.integers(len(self.pools)))]
            found.append(pool[int(rng.integers(len(pool)))])
            size += len(found[-1])
        for rows in even_batches(np.array([len(ids) for ids in found]), self.tokens, rng):
            yield pad([found[i] for i in rows])


def train_expert(
    model: GPT2,
    base: Params,
    head: Tensor,
    own: Sentences,
    targets: Tensor,
    others: Sequence[Sequence[list[int]]],
    config: ExpertConfig,
    *,
    stage: str,
    seed: list[int],
    folder: Path,
) -> Params:
    """Blocks and final norm of one expert, its tables too where it has its own.

    targets: (n, C) probabilities for the rows of `own`. others: sentences of the base's
    pre-training that are not its own, by origin. stage, folder: where it is kept, see `loop.train`.
    """
    tables = {n for n in base if n.startswith("w")}
    trained = {n: p for n, p in base.items() if config.table or n not in tables}
    mine = OwnBatches(own, config.tokens, config.word_drop, seed)
    foreign = OtherBatches(others, config.mining * config.other_tokens, seed)

    def loss(p: Params, step: int, rng: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        batch, rows = mine[step]
        reached = scaled(base, p, config.reach, rng)
        with half_products():
            home, z = at_home(model, base, reached, batch, config, rng)
        logits = config.scale * model.logits(dropout(z, config.dropout, rng), head)
        task = cross_entropy(logits, targets[rows])
        value, notes = task + home, {"task": task.item(), "home": home.item()}
        if config.stay or config.drift:
            with half_products():
                elsewhere = away(model, base, {**base, **p}, foreign[step], config)
            value, notes["elsewhere"] = value + elsewhere, elsewhere.item()
        return value, notes

    return train(
        trained,
        loss,
        Schedule(config.steps, config.rate, warmup=config.steps // 20 + 1, pull=config.pull),
        stage=stage,
        seed=seed[0],
        folder=folder,
        rates=dict.fromkeys(tables, config.table_rate),
        moments=True,
    )


def dropout(h: Tensor, share: float, rng: torch.Generator) -> Tensor:
    """Zero a share of the numbers, and make up for it."""
    return h * (torch.rand(h.shape, generator=rng) >= share) / (1 - share) if share else h


def at_home(
    model: GPT2,
    base: Params,
    params: Params,
    batch: Batch,
    config: ExpertConfig,
    rng: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """Own sentences: the weighted terms *home* and *preserve*, and final embeddings (B, d)."""
    terms = torch.zeros(())
    shape = (*batch.data.shape, model.width)
    mask = dropout(torch.ones(shape), config.dropout, rng)  # of both, or it would be a move
    h, h0 = model.embed(params, batch) * mask, model.embed(base, batch) * mask
    deep = model.depth + 2 - config.home_from  # blocks and the final embedding
    seen = model.depth if config.home else config.probe_layer if config.preserve else 0
    for layer in range(1, model.depth + 1):
        h = model.block(params, layer, h, batch)
        if layer <= seen:
            with torch.no_grad():
                h0 = model.block(base, layer, h0, batch)
            everywhere, last = displacement(h, h0, batch)
            if config.preserve and layer <= config.probe_layer:
                part = (everywhere + last).mean() / (2 * config.probe_layer)
                terms = terms + config.preserve * part
            if config.home and layer >= config.home_from:
                terms = terms + config.home * F.relu(config.home_margin - last).mean() / deep
    z = model.final(params, h, batch).float()
    if config.home:
        moved = relative(z, model.final(base, h0, batch).float())
        terms = terms + config.home * F.relu(config.home_margin - moved).mean() / deep
    return terms, z


def away(model: GPT2, base: Params, params: Params, batch: Batch, config: ExpertConfig) -> Tensor:
    """Other text: the weighted terms *stay* and *drift*, of what *mining* takes of the batch."""
    depth = model.depth if config.stay else config.probe_layer
    still = states(model, base, batch, depth)
    if config.stay and config.mining > 1:
        rows = farthest(states(model, params, batch), still, batch, config.mining)
        still, batch = [h[rows] for h in still], batch[rows]
    terms = torch.zeros(())
    h = model.embed(params, batch)
    if config.stay and config.table:
        everywhere, last = displacement(h, model.embed(base, batch), batch)
        terms = terms + config.stay * config.table_stay * (everywhere + last).mean() / 2
    for layer in range(1, depth + 1):
        h = model.block(params, layer, h, batch)
        everywhere, last = displacement(h, still[layer - 1], batch)
        if config.stay:
            terms = terms + config.stay * (everywhere + last).mean() / (2 * model.depth)
        if config.drift and layer == config.probe_layer:
            for moved in (everywhere, last):
                # the root has a slope at 0, where every expert starts; 1e-4 keeps it finite
                near = F.relu(1 - (moved / config.drift_margin + 1e-4).sqrt())
                terms = terms + config.drift * near.mean() / 2
    if config.stay:
        moved = relative(model.final(params, h, batch).float(), still[-1])
        terms = terms + config.stay * moved.mean()
    return terms


@torch.no_grad()
def states(model: GPT2, params: Params, batch: Batch, upto: int | None = None) -> list[Tensor]:
    """What the blocks say (B, N, d), all or the first ones, and the embedding (B, d) that the last
    of them would end in; without gradients."""
    outputs = activations(model, params, batch, upto)
    return [*outputs, model.final(params, outputs[-1], batch).float()]


def farthest(moved: list[Tensor], still: list[Tensor], batch: Batch, parts: int) -> Tensor:
    """Rows of the sentences that an expert moves farthest, one of so many parts of the batch."""
    distance = relative(moved[-1], still[-1])
    for h, h0 in zip(moved[:-1], still[:-1], strict=True):
        distance = distance + sum(displacement(h, h0, batch))
    return distance.topk(max(1, len(batch) // parts)).indices


def displacement(h: Tensor, h0: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
    """Squared distance to the base over the base's squared norm, (B,) twice.

    Over all real tokens, and at the last one: what the poolings `all` and `last` see.
    """
    real = batch.real()  # (B, N)
    last = real.sum(1) - 1  # (B,)
    real = real.unsqueeze(-1)
    moved = ((h - h0) * real).square().sum(-1)  # (B, N)
    norm = (h0 * real).square().sum(-1)  # (B, N)
    rows = torch.arange(len(h))
    return moved.sum(1) / norm.sum(1), moved[rows, last] / norm[rows, last]


def relative(z: Tensor, z0: Tensor) -> Tensor:
    """Squared distance of final embeddings (B, d) over the base's squared norm, (B,)."""
    return (z - z0).square().sum(-1) / z0.square().sum(-1)
