"""Training images of `mini-vision`: real sets, rendered sets, look-alikes, all at one size."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from recipes.augment import POLICIES, augment
from recipes.lookalikes import LOOKALIKES, PAINTERS
from semerge.backbones import Batch, VisionTransformer
from semerge.data.labelled import LabelledSet, read_set
from semerge.data.rendered import CLASSES, GENERATED, dataset, split_seed

logger = logging.getLogger(__name__)

SEED_NAMES = {"validation": "val"}


@dataclass(frozen=True)
class Images:
    """x uint8 (N, S, S, 3), y int64 (N,); the last `lookalikes` rows are rendered look-alikes."""

    x: Tensor
    y: Tensor
    lookalikes: int = 0

    def draw(self, n: int, share: float, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """n random samples, about `share` of them look-alikes."""
        real = len(self.y) - self.lookalikes
        rows = torch.randint(0, real, (n,), generator=rng)
        if self.lookalikes:
            other = torch.randint(real, len(self.y), (n,), generator=rng)
            rows = torch.where(torch.rand(n, generator=rng) < share, other, rows)
        return self.x[rows], self.y[rows]


def to_pixels(images: np.ndarray, backbone: VisionTransformer) -> Tensor:
    """uint8 (N, H, W[, 3]) -> uint8 (N, S, S, 3), resized as the app does it."""
    views = [np.asarray(backbone.view(Image.fromarray(i).convert("RGB"))) for i in images]
    return torch.from_numpy(np.stack(views))


def labelled(data: Path, task: str, split: str, size: int, n: int) -> LabelledSet:
    """A split of a real task from the folder, or n images of a rendered task."""
    if task not in GENERATED:
        return read_set(data, task, split)
    x, y = dataset(task, n, split_seed(SEED_NAMES.get(split, split)), size)
    return LabelledSet(task, split, tuple(CLASSES[task]), y, images=x)


def training_images(
    data: Path,
    task: str,
    backbone: VisionTransformer,
    *,
    rendered: int,
    lookalikes: int,
    cache: Path,
) -> Images:
    """The training split of a task, with look-alikes behind it; kept in `cache` once made."""
    path = cache / f"{task}.npz"
    if path.exists():
        with np.load(path) as arrays:
            x, y, extra = arrays["x"], arrays["y"], int(arrays["extra"])
        return Images(torch.from_numpy(x), torch.from_numpy(y), extra)
    found = labelled(data, task, "train", backbone.image_size, rendered)
    assert found.images is not None
    x, y, extra = to_pixels(found.images, backbone), torch.from_numpy(found.labels), 0
    if task in LOOKALIKES and lookalikes:
        seed = split_seed("train")
        drawn, labels = dataset(task, lookalikes, seed, backbone.image_size, PAINTERS)
        x, y = torch.cat([x, torch.from_numpy(drawn)]), torch.cat([y, torch.from_numpy(labels)])
        extra = len(labels)
    cache.mkdir(parents=True, exist_ok=True)
    np.savez(path, x=x.numpy(), y=y.numpy(), extra=extra)
    logger.info("%s: %d images, %d of them look-alikes", task, len(y), extra)
    return Images(x, y, extra)


def validation_images(data: Path, task: str, backbone: VisionTransformer, rendered: int) -> Images:
    """The held-out part of a task, without look-alikes."""
    found = labelled(data, task, "validation", backbone.image_size, rendered)
    assert found.images is not None
    return Images(to_pixels(found.images, backbone), torch.from_numpy(found.labels))


def mixture(
    sets: Mapping[str, Images],
    counts: Mapping[str, int],
    share: float,
    rng: torch.Generator,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Augmented images of several tasks, (B, 3, S, S) in [0, 1] task by task, and their labels."""
    images, labels = [], {}
    for task, n in counts.items():
        if n:
            x, labels[task] = sets[task].draw(n, share, rng)
            images.append(augment(x, POLICIES[task], rng))
    return torch.cat(images), labels


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
