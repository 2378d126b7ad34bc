"""Digits as the app's sketch pad gives them, by a writer that no training has seen.

The look-alikes in training bend the strokes of glyphs; this writer joins arcs of ellipses and
lines, each with a hand's errors of its own, and the pad's boards and pens. So it shows whether a
drawing's background tells the expert: the same ten digits, ten times each, white on black and black
on white.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw

from semerge.data.batches import BATCH_SIZE
from semerge.engine import Engine
from semerge.evaluation.hypothesis import share
from semerge.routing import nearest
from semerge.settings import Settings

SIDE = 280
"""Pixels of the pad's sides."""
PENS = (12.0, 26.0)
"""Between which widths of the pad's pen."""
BOARDS = {"white on black": ("black", "white"), "black on white": ("white", "black")}
SEED = 1506

Part = tuple[float, ...]
"""An arc: centre x, y, radii x, y, from and to in turns; or a line: x, y to x, y. In a box of side
1 about the origin, y downwards; turns begin at the right and go down."""
DIGITS: tuple[tuple[Part, ...], ...] = (
    ((0, 0, 0.3, 0.45, -0.25, 0.77),),
    ((-0.15, -0.25, 0.05, -0.45), (0.05, -0.45, 0.05, 0.45)),
    ((0, -0.2, 0.27, 0.25, -0.48, 0.1), (0.2, -0.05, -0.28, 0.43), (-0.28, 0.43, 0.3, 0.43)),
    ((-0.02, -0.23, 0.26, 0.21, -0.42, 0.27), (-0.02, 0.21, 0.29, 0.24, -0.27, 0.42)),
    ((0.0, -0.45, -0.28, 0.1), (-0.28, 0.1, 0.3, 0.1), (0.12, -0.2, 0.12, 0.45)),
    (
        (0.25, -0.44, -0.2, -0.44),
        (-0.2, -0.44, -0.22, -0.06),
        (-0.02, 0.16, 0.28, 0.27, -0.37, 0.4),
    ),
    ((0.12, 0.1, 0.4, 0.55, -0.3, -0.55), (-0.02, 0.2, 0.25, 0.24, -0.5, 0.52)),
    ((-0.28, -0.42, 0.28, -0.42), (0.28, -0.42, -0.08, 0.45)),
    ((0, -0.23, 0.21, 0.21, 0.24, 1.26), (0, 0.21, 0.26, 0.23, -0.26, 0.76)),
    ((0, -0.18, 0.24, 0.25, 0.02, 1.02), (0.24, -0.15, 0.16, 0.45)),
)


def draw(digit: int, random: np.random.Generator, paper: str, ink: str) -> Image.Image:
    """One digit on the pad, RGB."""
    turn, slant = random.normal(0, 0.09), random.normal(0, 0.12)
    wide, high = random.uniform(0.75, 1.15), random.uniform(0.85, 1.1)
    size = SIDE * random.uniform(0.5, 0.8)
    middle = SIDE / 2 + random.uniform(-0.06, 0.06, 2) * SIDE
    frame = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    frame = frame @ np.array([[wide, -slant], [0, high]]) * size
    image = Image.new("RGB", (SIDE, SIDE), paper)
    pen, width = ImageDraw.Draw(image), random.uniform(*PENS)
    for part in DIGITS[digit]:
        path = _path(part, random) @ frame.T + middle
        points = [(float(x), float(y)) for x, y in path]
        pen.line(points, ink, round(width), joint="curve")
        for x, y in points:  # a round nib
            pen.ellipse((x - width / 2, y - width / 2, x + width / 2, y + width / 2), ink)
    return image


def _path(part: Part, random: np.random.Generator) -> np.ndarray:
    """Points (n, 2) along an arc or a line, as a hand would place it."""
    steps = np.linspace(0, 1, 40)
    off = np.array(part) + random.normal(0, 0.025, len(part))
    if len(part) == 4:
        path = off[:2] + steps[:, None] * (off[2:] - off[:2])
    else:
        angles = 2 * np.pi * (off[4] + steps * (off[5] - off[4]))
        path = off[:2] + np.stack([off[2] * np.cos(angles), off[3] * np.sin(angles)], 1)
    trembling = random.normal(0, 0.012, (2, 2))  # of the hand, in two waves along the path
    return path + np.sin(np.pi * steps[:, None] * np.array([1.0, 2.0])) @ trembling


def drawings(copies: int = 10, seed: int = SEED) -> dict[str, list[tuple[Image.Image, int]]]:
    """By background: every digit `copies` times, and which it is. The same drawings on both."""
    return {
        name: [
            (draw(digit, np.random.default_rng([seed, digit, copy]), *colours), digit)
            for digit in range(10)
            for copy in range(copies)
        ]
        for name, colours in BOARDS.items()
    }


@torch.inference_mode()
def recognised(engine: Engine, task: str = "mnist") -> dict[str, Any]:
    """By background and over both: the share of drawings whose nearest expert is the task's own,
    and of those that its expert reads rightly, with intervals."""
    resolved, own = Settings().resolve(engine.suite), engine.suite.index(task)
    routed: dict[str, list[bool]] = {}
    read: dict[str, list[bool]] = {}
    for board, found in drawings().items():
        routed[board], read[board] = [], []
        for start in range(0, len(found), BATCH_SIZE):
            part = found[start : start + BATCH_SIZE]
            inputs = [engine.backbone.preprocess(image) for image, _ in part]
            batch = engine.models.place(engine.backbone.collate(inputs))
            chosen = nearest(engine.distances(batch, resolved)[resolved.probing])
            answers = engine.logits(engine.expert_embedding(batch, own), task).argmax(1)
            routed[board] += (chosen == own).tolist()
            digits = torch.tensor([digit for _, digit in part])
            read[board] += (answers.cpu() == digits).tolist()
    return {
        name: {**{b: share(torch.tensor(v)) for b, v in by.items()}, "both": share(_all(by))}
        for name, by in (("routed", routed), ("read", read))
    }


def _all(by_board: dict[str, list[bool]]) -> torch.Tensor:
    return torch.tensor([hit for hits in by_board.values() for hit in hits])
