"""Batched augmentation of small images: one affine warp, colours, noise, an erased patch."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Policy:
    """How far a task's images may be moved without changing their label.

    rotate in degrees, shift and erase as fractions of the side, zoom as (smallest, largest) part of
    the image that is seen, light as the largest relative change of brightness and contrast.

    invert: the share of images whose light and dark change places, for tasks that are the same on a
    black and on a white ground.
    """

    rotate: float = 8.0
    shift: float = 0.08
    zoom: tuple[float, float] = (0.9, 1.1)
    shear: float = 0.08
    flip: bool = False
    turn: bool = False
    light: float = 0.25
    colour: float = 0.15
    noise: float = 0.02
    erase: float = 0.0
    invert: float = 0.0


POLICIES: dict[str, Policy] = {
    "mnist": Policy(rotate=12, zoom=(0.85, 1.2), shear=0.15, invert=0.5),
    "fashion_mnist": Policy(rotate=5, flip=True, erase=0.2, invert=0.3),
    "cifar10": Policy(rotate=8, shift=0.1, zoom=(0.65, 1.05), flip=True, light=0.35, erase=0.35),
    "eurosat": Policy(rotate=10, zoom=(0.7, 1.0), flip=True, turn=True, light=0.15, colour=0.05),
    "gtsrb": Policy(rotate=8, shift=0.1, zoom=(0.8, 1.2), light=0.45, noise=0.03),
    "omniglot_alphabets": Policy(
        rotate=10, shift=0.1, zoom=(0.8, 1.2), shear=0.2, light=0.1, invert=0.5
    ),
    "charts": Policy(rotate=2, zoom=(0.9, 1.1), shear=0.03),
    "textures": Policy(rotate=10, zoom=(0.8, 1.1), flip=True, turn=True),
}


def augment(images: Tensor, policy: Policy, rng: torch.Generator) -> Tensor:
    """uint8 (B, H, W, 3) -> float (B, 3, H, W) in [0, 1], each sample changed on its own."""
    b, side = images.shape[0], images.shape[1]

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return torch.rand(shape or (b,), generator=rng) * (high - low) + low

    x = images.permute(0, 3, 1, 2).float().div(255)
    angle = torch.deg2rad(uniform(-policy.rotate, policy.rotate))
    if policy.turn:
        angle = angle + torch.pi / 2 * torch.randint(0, 4, (b,), generator=rng)
    scale = uniform(*policy.zoom)
    mirror = torch.ones(b)
    if policy.flip:
        mirror = mirror - 2.0 * torch.randint(0, 2, (b,), generator=rng)
    shear = uniform(-policy.shear, policy.shear)
    cos, sin = angle.cos() * scale, angle.sin() * scale
    theta = torch.stack(
        [
            torch.stack(
                [cos * mirror, -sin + shear * cos, uniform(-policy.shift, policy.shift)], 1
            ),
            torch.stack([sin * mirror, cos + shear * sin, uniform(-policy.shift, policy.shift)], 1),
        ],
        dim=1,
    )
    grid = F.affine_grid(theta, [b, 3, side, side], align_corners=False)
    x = F.grid_sample(x, grid, padding_mode="border", align_corners=False)
    if policy.invert:
        turned = torch.rand(b, 1, 1, 1, generator=rng) < policy.invert
        x = torch.where(turned, 1 - x, x)

    light = uniform(1 - policy.light, 1 + policy.light, b, 1, 1, 1)
    offset = uniform(-policy.light / 3, policy.light / 3, b, 1, 1, 1)
    tint = uniform(1 - policy.colour, 1 + policy.colour, b, 3, 1, 1)
    x = (x - 0.5) * light * tint + 0.5 + offset
    if policy.noise:
        x = x + policy.noise * torch.randn(x.shape, generator=rng)
    x = x.clamp(0, 1)
    if policy.erase:
        high = (side * uniform(0.1, policy.erase)).long().view(b, 1, 1, 1)
        wide = (side * uniform(0.1, policy.erase)).long().view(b, 1, 1, 1)
        top = (uniform(0, 1) * side).long().view(b, 1, 1, 1) - high // 2
        left = (uniform(0, 1) * side).long().view(b, 1, 1, 1) - wide // 2
        rows = torch.arange(side).view(1, 1, side, 1)
        columns = torch.arange(side).view(1, 1, 1, side)
        inside = (rows >= top) & (rows < top + high) & (columns >= left) & (columns < left + wide)
        drop = torch.rand(b, 1, 1, 1, generator=rng) < 0.5
        x = torch.where(inside & drop, x.mean((1, 2, 3), keepdim=True), x)
    return x
