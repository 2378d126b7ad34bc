"""One expert of the vision suite, and the terms that shape where it moves.

An expert learns its task under a frozen head. In the recipe's own family, "disentangled", the term
*stay* keeps images of the base's pre-training mixture, unlabelled, where the base has them, and
*home* can ask that the expert's own images move by a margin. To first order the merged model then
is the base plus λ times the own expert's move, which is what the theory of the paper assumes: from
λ = 1/2 on, the own expert is the nearest one.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from recipes.loop import Schedule, half_products, moments_file, scaled, train
from recipes.vision_config import ExpertConfig, VisionConfig
from recipes.vision_data import Images, keep_tokens, mixture, normalise
from recipes.vision_teacher import train_teacher
from semerge.backbones import Batch, VisionTransformer

Params = dict[str, Tensor]


def train_expert(
    config: VisionConfig,
    task: str,
    base: Params,
    head: Tensor,
    sets: dict[str, Images],
    backbone: VisionTransformer,
    out: Path,
) -> Params:
    """Fine-tune the image tower on one task; the head stays as it is. Several runs are averaged."""
    e = config.expert
    others = [t for t in config.mixture if t != task]
    own = {task: e.batch}
    replay = e.mining * e.replay
    elsewhere = {
        t: replay // len(others) + (i < replay % len(others)) for i, t in enumerate(others)
    }
    teacher = None
    if task in e.teachers:
        teacher = train_teacher(
            task, len(head), sets, config.share, e.teachers[task], config.seed, out
        )
    sharpen = e.scale.get(task, backbone.logit_scale) / backbone.logit_scale

    def loss(p: Params, step: int, rng: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        images, labels = mixture(sets, own, config.share, rng)
        y = labels[task]
        said = teacher(images) if teacher else None
        keep = e.keep[task] if step < 0.85 * e.steps[task] else 1.0
        reached = scaled(base, p, e.reach, rng)
        with half_products():
            z, terms = at_home(backbone, base, reached, images, task, e, keep, rng)
            if e.stay or e.drift:
                other = mixture(sets, elsewhere, config.share, rng)[0]
                if e.mining > 1:
                    other = other[farthest(backbone, base, p, other, e, keep, rng)]
                terms |= away(backbone, base, p, other, e, keep, rng)
        logits = sharpen * backbone.logits(z, head)
        hit = F.cross_entropy(logits, y, label_smoothing=e.smoothing)
        if said is not None:
            hit = (hit + F.cross_entropy(logits, said)) / 2
        value = torch.stack([hit, *terms.values()]).sum()
        return value, {
            "task": hit.item(),
            "accuracy": (logits.argmax(1) == y).float().mean().item(),
            **{name: term.item() for name, term in terms.items()},
        }

    mean = e.run_keep if task in e.runs else 0.0
    schedule = Schedule(e.steps[task], e.lr, keep=mean, pull=e.pull)
    found = [
        train(base, loss, schedule, stage=stage, seed=config.seed, folder=out, moments=True)
        for stage in stages(task, e)
    ]
    return {n: torch.stack([run[n] for run in found]).mean(0) for n in base}


def stages(task: str, config: ExpertConfig) -> tuple[str, ...]:
    """The names of the runs that an expert is the mean of."""
    return config.runs.get(task, (f"expert-{task}",))


def moments_files(task: str, config: ExpertConfig, out: Path) -> list[Path]:
    """Where the runs of an expert keep their factored second moments."""
    return [moments_file(out, stage) for stage in stages(task, config)]


def at_home(
    backbone: VisionTransformer,
    base: Params,
    params: Params,
    images: Tensor,
    task: str,
    config: ExpertConfig,
    keep: float,
    rng: torch.Generator,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Own images (B, 3, S, S): final embeddings (B, D), and the weighted terms *home* and
    *preserve*. keep: the share of patches that is used, the same ones in the base."""
    e, preserve = config, config.preserve.get(task, 0.0)
    batch = normalise(images, backbone)
    seen = backbone.depth if e.home else e.upto if preserve else 0
    h, h0, moved = follow(backbone, base, params, batch, seen, keep, rng)
    for layer in range(seen + 1, backbone.depth + 1):
        h = backbone.block(params, layer, h, batch)
    z = backbone.final(params, h, batch).float()
    terms = {}
    if e.home:
        with torch.no_grad():
            z0 = backbone.final(base, h0, batch).float()
        shifted = (z - z0).square().sum(1) / z0.square().sum(1)
        far = torch.stack([*moved[e.home_from - 1 :], shifted])
        terms["home"] = e.home * F.relu(e.home_margin - far).mean()
    if preserve:
        terms["preserve"] = preserve * torch.stack(moved[: e.upto]).mean()
    return z, terms


def away(
    backbone: VisionTransformer,
    base: Params,
    params: Params,
    images: Tensor,
    config: ExpertConfig,
    keep: float,
    rng: torch.Generator,
) -> dict[str, Tensor]:
    """Other images (B, 3, S, S): the weighted terms *stay* and *drift*."""
    e, terms = config, {}
    batch = normalise(images, backbone)
    seen = backbone.depth if e.stay else e.upto
    h, h0, moved = follow(backbone, base, params, batch, seen, keep, rng)
    if e.stay:
        terms["stay"] = e.stay * strayed(backbone, base, params, h, h0, moved, batch).mean()
    if e.drift:
        near = F.relu(e.drift_margin - torch.stack(moved[: e.upto])).mean()
        terms["drift"] = e.drift * near / e.drift_margin
    return terms


@torch.no_grad()
def farthest(
    backbone: VisionTransformer,
    base: Params,
    params: Params,
    images: Tensor,
    config: ExpertConfig,
    keep: float,
    rng: torch.Generator,
) -> Tensor:
    """Rows of the images (B, 3, S, S) that an expert moves farthest, one part of `mining`.

    Half of the patches will do to say which.
    """
    batch = normalise(images, backbone)
    h, h0, moved = follow(backbone, base, params, batch, backbone.depth, keep / 2, rng)
    distance = strayed(backbone, base, params, h, h0, moved, batch)
    return distance.topk(len(images) // config.mining).indices


def strayed(
    backbone: VisionTransformer,
    base: Params,
    params: Params,
    h: Tensor,
    h0: Tensor,
    moved: list[Tensor],
    batch: Batch,
) -> Tensor:
    """How far an expert moves each image, by blocks (see `follow`) and final embedding: (B,)."""
    with torch.no_grad():
        z0 = backbone.final(base, h0, batch).float()
    turned = 1 - F.cosine_similarity(backbone.final(params, h, batch).float(), z0)
    return torch.stack(moved).mean(0) + turned


def follow(
    backbone: VisionTransformer,
    base: Params,
    params: Params,
    batch: Batch,
    layers: int,
    keep: float,
    rng: torch.Generator,
) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Tokens (B, N, d) after the first blocks, of the expert and of the base on the same patches;
    and after each block the squared displacement of each image (B,) over the base's mean square."""
    state = rng.get_state()
    h = keep_tokens(backbone.embed(params, batch), keep, rng)
    h0, moved = h, []
    if layers:
        rng.set_state(state)
        with torch.no_grad():
            h0 = keep_tokens(backbone.embed(base, batch), keep, rng)
    for layer in range(1, layers + 1):
        h = backbone.block(params, layer, h, batch)
        with torch.no_grad():
            h0 = backbone.block(base, layer, h0, batch)
        moved.append((h - h0).square().mean((1, 2)) / h0.square().mean((1, 2)))
    return h, h0, moved
