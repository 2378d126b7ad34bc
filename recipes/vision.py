"""`mini-vision`: a small CLIP, pre-trained on a mixture, then one expert a task.

Stages, each resumable: images -> base (image and text tower against one table of class captions)
-> zero-shot heads -> experts, fine-tuned with frozen heads.

The experts' loss has two terms beside the task's own. The representation-preserving term keeps the
outputs of the first blocks on the task's own images where the base has them; the drift term asks
that the same outputs move on replayed images of the base's pre-training mixture. Together they make
experts for which the hypothesis of SE-Merging holds: near the base at home, away from it elsewhere.
"""

from __future__ import annotations

import json
import logging
from dataclasses import asdict
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

from recipes.clip_model import build, tokenizer, zero_shot_head
from recipes.loop import Schedule, train
from recipes.vision_config import VisionConfig, smoke_config
from recipes.vision_data import Images, mixture, training_images, validation_images
from recipes.vision_tasks import TASKS
from recipes.vision_teacher import train_teacher
from semerge.backbones import Batch, VisionTransformer, embedding
from semerge.backbones.clip.text_tower import captions

logger = logging.getLogger(__name__)

MAX_LOGIT_SCALE = 4.6052  # log 100


def normalise(images: Tensor, backbone: VisionTransformer) -> Batch:
    """(B, 3, S, S) in [0, 1] -> a batch."""
    mean = torch.tensor(backbone.mean).view(3, 1, 1)
    std = torch.tensor(backbone.std).view(3, 1, 1)
    return Batch((images - mean) / std)


def keep_tokens(h: Tensor, share: float, rng: torch.Generator) -> Tensor:
    """The class token and a random `share` of the patches (as in FLIP, arXiv 2212.00794)."""
    if share >= 1:
        return h
    b, n, d = h.shape
    order = torch.rand(b, n - 1, generator=rng).argsort(1)[:, : round(share * (n - 1))]
    patches = h[:, 1:].gather(1, order.unsqueeze(-1).expand(-1, -1, d))
    return torch.cat([h[:, :1], patches], dim=1)


def train_base(config: VisionConfig, sets: dict[str, Images], out: Path) -> dict[str, Tensor]:
    """Pre-training: images against the captions of all classes of all tasks at once."""
    torch.manual_seed(config.seed)
    model = build(config.open_clip())
    tokens = tokenizer(config.vocab_size, config.context_length)
    backbone = config.backbone()
    text_names = [n for n, _ in model.named_parameters() if not n.startswith("visual.")]
    initial: dict[str, Tensor] = dict(model.named_parameters())
    initial["logit_scale"] = torch.tensor(2.7)
    ids = {t: tokens(captions(TASKS[t].classes, TASKS[t].templates)) for t in config.mixture}
    ids = {t: x.view(len(TASKS[t].classes), len(TASKS[t].templates), -1) for t, x in ids.items()}
    offsets, total = {}, 0
    for t in config.mixture:
        offsets[t], total = total, total + len(TASKS[t].classes)

    def loss(
        p: dict[str, Tensor], step: int, rng: torch.Generator
    ) -> tuple[Tensor, dict[str, float]]:
        images, labels = mixture(sets, config.mixture, config.share, rng)
        h = backbone.embed(visual := strip(p), batch := normalise(images, backbone))
        h = keep_tokens(h, config.keep if step < 0.9 * config.base_steps else 1.0, rng)
        for layer in range(1, backbone.depth + 1):
            h = backbone.block(visual, layer, h, batch)
        features = F.normalize(backbone.final(visual, h, batch), dim=-1)
        chosen = [
            x[torch.arange(len(x)), torch.randint(0, x.shape[1], (len(x),), generator=rng)]
            for x in ids.values()
        ]
        table = torch.cat(chosen)
        text = {n: p[n] for n in text_names}
        described = torch.func.functional_call(model, text, (None, table))[1]
        logits = p["logit_scale"].clamp(max=MAX_LOGIT_SCALE).exp() * features @ described.mT
        y = torch.cat([labels[t] + offsets[t] for t in config.mixture])
        value = F.cross_entropy(logits, y, label_smoothing=0.1)
        return value, {
            "loss": value.item(),
            "accuracy": (logits.argmax(1) == y).float().mean().item(),
        }

    schedule = Schedule(config.base_steps, config.base_lr, weight_decay=0.05, warmup=150)
    return train(initial, loss, schedule, stage="base", seed=config.seed, folder=out)


def strip(params: dict[str, Tensor]) -> dict[str, Tensor]:
    """The image tower's parameters under the names of its own module."""
    return {n.removeprefix("visual."): p for n, p in params.items() if n.startswith("visual.")}


@torch.no_grad()
def make_heads(config: VisionConfig, base: dict[str, Tensor]) -> dict[str, Tensor]:
    """Zero-shot heads (C, D) of every task, by the trained text tower."""
    model = build(config.open_clip())
    model.load_state_dict(base, strict=True)
    tokens = tokenizer(config.vocab_size, config.context_length)
    return {
        t: zero_shot_head(model, tokens, TASKS[t].classes, TASKS[t].templates).contiguous()
        for t in config.mixture
    }


def train_expert(
    config: VisionConfig,
    task: str,
    base: dict[str, Tensor],
    head: Tensor,
    sets: dict[str, Images],
    backbone: VisionTransformer,
    out: Path,
) -> dict[str, Tensor]:
    """Fine-tune the image tower on one task; the head stays as it is. Several runs are averaged."""
    e = config.expert
    others = [t for t in config.mixture if t != task]
    own = {task: e.batch}
    elsewhere = {
        t: e.replay // len(others) + (i < e.replay % len(others)) for i, t in enumerate(others)
    }

    teacher = None
    if task in e.taught:
        teacher = train_teacher(
            task, len(head), sets, config.share, e.teacher_steps, config.seed, out
        )
    sharpen = e.scale.get(task, backbone.logit_scale) / backbone.logit_scale

    def loss(
        p: dict[str, Tensor], step: int, rng: torch.Generator
    ) -> tuple[Tensor, dict[str, float]]:
        images, labels = mixture(sets, own, config.share, rng)
        y = labels[task]
        said = teacher(images) if teacher else None
        if e.drift:
            images = torch.cat([images, mixture(sets, elsewhere, config.share, rng)[0]])
        batch = normalise(images, backbone)
        keep = e.keep[task] if step < 0.85 * e.steps[task] else 1.0
        state = rng.get_state()
        h = keep_tokens(backbone.embed(p, batch), keep, rng)
        rng.set_state(state)
        with torch.no_grad():
            h0 = keep_tokens(backbone.embed(base, batch), keep, rng)
        moved = []
        for layer in range(1, e.upto + 1):
            h = backbone.block(p, layer, h, batch)
            with torch.no_grad():
                h0 = backbone.block(base, layer, h0, batch)
                size = h0.square().mean((1, 2))
            moved.append((h - h0).square().mean((1, 2)) / size)  # (B,)
        h = h[: len(y)]
        for layer in range(e.upto + 1, backbone.depth + 1):
            h = backbone.block(p, layer, h, batch)
        logits = sharpen * backbone.logits(backbone.final(p, h, batch), head)
        hit = F.cross_entropy(logits, y, label_smoothing=e.smoothing)
        if said is not None:
            hit = (hit + F.cross_entropy(logits, said)) / 2
        shift = torch.stack(moved)  # (upto, B)
        stay = shift[:, : len(y)].mean()
        go = F.relu(e.margin - shift[:, len(y) :]).mean() if e.drift else torch.zeros(())
        value = hit + e.preserve[task] * stay + e.drift * go / max(e.margin, 1e-9)
        return value, {
            "task": hit.item(),
            "accuracy": (logits.argmax(1) == y).float().mean().item(),
            "own": stay.item(),
            "other": shift[:, len(y) :].mean().item() if e.drift else 0.0,
        }

    runs = e.runs.get(task, ())
    schedule = Schedule(e.steps[task], e.lr, warmup=50, keep=e.run_keep if runs else 0.0)
    found = [
        train(base, loss, schedule, stage=stage, seed=config.seed, folder=out)
        for stage in runs or (f"expert-{task}",)
    ]
    return {n: torch.stack([run[n] for run in found]).mean(0) for n in base}


@torch.no_grad()
def accuracy(
    backbone: VisionTransformer, params: dict[str, Tensor], head: Tensor, images: Images
) -> float:
    """Share of right answers on unchanged images."""
    right = 0
    for rows in torch.arange(len(images.y)).split(256):
        z = embedding(backbone, params, backbone.normalise(images.x[rows]))
        right += int((backbone.logits(z, head).argmax(1) == images.y[rows]).sum())
    return right / len(images.y)


def train_vision(
    data: Path, out: Path, config: VisionConfig | None = None, smoke: bool = False
) -> Path:
    """All stages; what is in `out` is taken up, not made again.

    Returns the folder with base, text tower, experts, heads, config.json and log.json.
    """
    config = config or VisionConfig()
    if smoke:
        config = smoke_config(config)
    final = out / "final"
    (final / "experts").mkdir(parents=True, exist_ok=True)
    sets = training_sets(data, out, config)
    clip = train_base(config, sets, out)
    backbone = config.backbone(logit_scale(clip))
    heads, base = make_heads(config, clip), strip(clip)
    text_tower = {n: p for n, p in clip.items() if not n.startswith("visual.")}
    text_tower["logit_scale"] = torch.tensor(config.logit_scale).log()
    save_file(base, final / "base.safetensors")
    save_file(text_tower, final / "text_tower.safetensors")
    save_file(heads, final / "heads.safetensors")
    scores = {}
    for task in config.expert.steps:
        expert = train_expert(config, task, base, heads[task], sets, backbone, out)
        save_file(expert, final / "experts" / f"{task}.safetensors")
        held_out = validation_images(data, task, backbone, config.rendered // 10)
        scores[task] = [accuracy(backbone, p, heads[task], held_out) for p in (base, expert)]
        logger.info("%s: validation, base %.4f, expert %.4f", task, *scores[task])
    (final / "config.json").write_text(json.dumps(asdict(config), indent=1) + "\n")
    log = {
        "validation": {t: dict(zip(("base", "expert"), s, strict=True)) for t, s in scores.items()}
    }
    (final / "log.json").write_text(json.dumps(log, indent=1) + "\n")
    return final


def training_sets(data: Path, out: Path, config: VisionConfig) -> dict[str, Images]:
    """The training images of all tasks."""
    return {
        task: training_images(
            data,
            task,
            config.backbone(),
            rendered=config.rendered,
            lookalikes=config.lookalikes,
            cache=out / "images",
        )
        for task in config.mixture
    }


def logit_scale(clip: dict[str, Tensor]) -> float:
    """The factor on cosine similarities, as CLIP clips it."""
    return float(clip["logit_scale"].clamp(max=MAX_LOGIT_SCALE).exp())
