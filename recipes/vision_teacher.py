"""A small convolutional net that teaches an expert where the image tower alone learns too little.

"Training data-efficient image transformers & distillation through attention", Touvron et al.,
arXiv 2012.12877: on a few thousand images a convolutional net knows things about pictures that a
transformer would have to find out. It sees the task's own training images and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recipes.loop import Schedule, train
from recipes.vision_data import Images, mixture

Teacher = Callable[[Tensor], Tensor]
"""(B, 3, S, S) in [0, 1] -> probabilities (B, C)."""


class Residual(nn.Module):
    """x + F(x), two convolutions ("Deep Residual Learning", He et al., arXiv 1512.03385)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(*convolution(width, width), *convolution(width, width))

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, H, W) -> the same shape."""
        moved: Tensor = self.body(x)
        return x + moved


def convolution(before: int, after: int, stride: int = 1) -> list[nn.Module]:
    """3 x 3, normalised in groups of channels."""
    conv = nn.Conv2d(before, after, 3, stride, 1, bias=False)
    return [conv, nn.GroupNorm(8, after), nn.ReLU()]


def network(classes: int, width: int = 32) -> nn.Sequential:
    """48 pixels a side -> 24, 12 and 6, with a residual block at each of the last two."""
    return nn.Sequential(
        *convolution(3, width, stride=2),
        *convolution(width, 2 * width),
        nn.MaxPool2d(2),
        Residual(2 * width),
        *convolution(2 * width, 4 * width),
        nn.MaxPool2d(2),
        Residual(4 * width),
        nn.AdaptiveMaxPool2d(1),
        nn.Flatten(),
        nn.Linear(4 * width, classes),
    )


def train_teacher(
    task: str,
    classes: int,
    sets: dict[str, Images],
    share: float,
    steps: int,
    seed: int,
    out: Path,
) -> Teacher:
    """Train on `task`'s images as the expert sees them; see `vision_data.mixture` for share."""
    torch.manual_seed(seed)
    net = network(classes)

    def logits(params: dict[str, Tensor], images: Tensor) -> Tensor:
        said: Tensor = torch.func.functional_call(net, params, (images - 0.5,))
        return said

    def loss(
        p: dict[str, Tensor], step: int, rng: torch.Generator
    ) -> tuple[Tensor, dict[str, float]]:
        images, labels = mixture(sets, {task: 96}, share, rng)
        said = logits(p, images)
        right = (said.argmax(1) == labels[task]).float().mean().item()
        value = F.cross_entropy(said, labels[task], label_smoothing=0.1)
        return value, {"task": value.item(), "accuracy": right}

    schedule = Schedule(steps, lr=3e-3, weight_decay=0.05, warmup=50)
    initial = dict(net.named_parameters())
    params = train(initial, loss, schedule, stage=f"teacher-{task}", seed=seed, folder=out)

    @torch.no_grad()
    def teacher(images: Tensor) -> Tensor:
        return logits(params, images).softmax(-1)

    return teacher
