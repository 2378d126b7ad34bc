"""`mini-vision`: a small CLIP, pre-trained on a mixture, then one expert a task.

Stages, each resumable: images -> base (image and text tower against one table of class captions)
-> zero-shot heads -> experts, fine-tuned with frozen heads.
"""

from __future__ import annotations

import json
import logging
from dataclasses import asdict
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor

from recipes.clip_model import build, tokenizer, zero_shot_head
from recipes.loop import THREADS, Schedule, half_products, threads, train
from recipes.moments import averaged
from recipes.vision_config import VisionConfig, smoke_config
from recipes.vision_data import (
    Images,
    keep_tokens,
    mixture,
    normalise,
    training_images,
    validation_images,
)
from recipes.vision_expert import moments_files, train_expert
from recipes.vision_tasks import TASKS
from semerge.backbones import VisionTransformer, embedding
from semerge.backbones.clip.text_tower import captions

logger = logging.getLogger(__name__)

MAX_LOGIT_SCALE = 4.6052  # log 100


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
        with half_products():
            h = backbone.embed(visual := strip(p), batch := normalise(images, backbone))
            h = keep_tokens(h, config.keep if step < 0.9 * config.base_steps else 1.0, rng)
            for layer in range(1, backbone.depth + 1):
                h = backbone.block(visual, layer, h, batch)
            z = backbone.final(visual, h, batch).float()
        features = F.normalize(z, dim=-1)
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


@threads(THREADS)
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
    (final / "experts" / "moments").mkdir(parents=True, exist_ok=True)
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
        file = final / "experts" / f"{task}.safetensors"
        if not file.exists():  # it may have come from elsewhere, in half precision
            expert = train_expert(config, task, base, heads[task], sets, backbone, out)
            runs = [load_file(moments) for moments in moments_files(task, config.expert, out)]
            save_file(averaged(runs), final / "experts" / "moments" / f"{task}.safetensors")
            save_file(expert, file)
        expert = {name: value.float() for name, value in load_file(file).items()}
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
