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

from recipes.loop import Schedule, moments_file, train
from recipes.vision_config import ExpertConfig, VisionConfig
from recipes.vision_data import Images, keep_tokens, mixture, normalise
from recipes.vision_teacher import train_teacher
from semerge.backbones import VisionTransformer

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
    elsewhere = {
        t: e.replay // len(others) + (i < e.replay % len(others)) for i, t in enumerate(others)
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
        if e.stay or e.drift:
            images = torch.cat([images, mixture(sets, elsewhere, config.share, rng)[0]])
        keep = e.keep[task] if step < 0.85 * e.steps[task] else 1.0
        z, terms = forward(backbone, base, p, images, len(y), task, e, keep, rng)
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


def forward(
    backbone: VisionTransformer,
    base: Params,
    params: Params,
    images: Tensor,
    own: int,
    task: str,
    config: ExpertConfig,
    keep: float,
    rng: torch.Generator,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Final embeddings (own, D) of the first `own` images, and the weighted terms.

    images (B, 3, S, S): the expert's own, then others. keep: the share of patches that is used,
    the same ones in the base.
    """
    e, preserve = config, config.preserve.get(task, 0.0)
    batch = normalise(images, backbone)
    first = 0 if e.home or preserve else own  # of the images that the base has to see
    wide = backbone.depth if e.stay else e.upto if e.drift else 0  # as deep as others are followed
    deep = backbone.depth if e.stay or e.home else e.upto if preserve or e.drift else 0
    at_home, away = [], []
    state = rng.get_state()
    h = keep_tokens(backbone.embed(params, batch), keep, rng)
    rng.set_state(state)
    with torch.no_grad():
        h0 = keep_tokens(backbone.embed(base, batch), keep, rng)[first:]
    for layer in range(1, backbone.depth + 1):
        if layer > wide:
            h, h0 = h[:own], h0[: max(0, own - first)]
        h = backbone.block(params, layer, h, batch)
        if layer <= deep and len(h0):
            with torch.no_grad():
                h0 = backbone.block(base, layer, h0, batch)
            moved = (h[first:] - h0).square().mean((1, 2)) / h0.square().mean((1, 2))
            at_home.append(moved[: own - first])
            away.append(moved[own - first :])
    z = backbone.final(params, h, batch)
    terms: dict[str, Tensor] = {}
    if e.stay or e.home:
        with torch.no_grad():
            z0 = backbone.final(base, h0, batch)
        turned = 1 - F.cosine_similarity(z[first:], z0)
        if e.stay:
            terms["stay"] = e.stay * (torch.stack(away).mean() + turned[own - first :].mean())
        if e.home:
            size = z0[:own].square().sum(1)
            shifted = (z[:own] - z0[:own]).square().sum(1) / size
            far = torch.stack([*at_home[e.home_from - 1 :], shifted])
            terms["home"] = e.home * F.relu(e.home_margin - far).mean()
    if preserve:
        terms["preserve"] = preserve * torch.stack(at_home[: e.upto]).mean()
    if e.drift:
        near = F.relu(e.drift_margin - torch.stack(away[: e.upto])).mean()
        terms["drift"] = e.drift * near / e.drift_margin
    return z[:own], terms
