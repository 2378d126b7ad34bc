"""Digits as strokes of a pen, and their picture as the app's drawing pad would make it: the page
opens with one of them, which draws itself."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from PIL import Image, ImageDraw

BOARD = 336
"""Pixels of the pad's sides, the unit of the points."""
PEN = 26
"""Width of chalk on the pad."""
FINE = 4
"""Pixels are drawn so many times as fine, then averaged."""

Stroke = list[tuple[float, float]]


def arc(
    x: float, y: float, wide: float, high: float, start: float, end: float, n: int = 14
) -> Stroke:
    """Points of an ellipse about (x, y), from one angle to another, in degrees clockwise from the
    right."""
    angles = [math.radians(start + (end - start) * i / (n - 1)) for i in range(n)]
    return [(round(x + wide * math.cos(a)), round(y + high * math.sin(a))) for a in angles]


STROKES: dict[str, list[Stroke]] = {
    "digit 4": [[(150, 62), (128, 118), (100, 176), (92, 196), (150, 194), (238, 188)],
                [(206, 130), (204, 190), (200, 278)]],
    "digit 7": [[(96, 78), (160, 76), (238, 70), (222, 112), (186, 182), (160, 238), (150, 276)]],
    "digit 5": [[(228, 66), (136, 70), (128, 136), *arc(158, 204, 72, 68, -100, 150)]],
    "digit 3": [[*arc(164, 114, 58, 50, -160, 80), *arc(166, 214, 68, 62, -80, 160)]],
    "digit 2": [[*arc(166, 120, 66, 56, -170, 30), (186, 190), (104, 268), (180, 266), (244, 262)]],
    "digit 9": [[*arc(164, 126, 56, 56, -20, -370), (216, 180), (206, 276)]],
}  # fmt: skip
"""label -> strokes, from the one that is tried first."""


def curve(stroke: Stroke) -> Stroke:
    """Through the middles between the points, as the pad draws it (assets/scripts/sketch.js)."""
    first, *rest = stroke
    points = [first]
    for point, after in pairwise(rest):
        start, end = points[-1], ((point[0] + after[0]) / 2, (point[1] + after[1]) / 2)
        for i in range(1, 9):
            t = i / 8
            points.append((
                (1 - t) ** 2 * start[0] + 2 * t * (1 - t) * point[0] + t**2 * end[0],
                (1 - t) ** 2 * start[1] + 2 * t * (1 - t) * point[1] + t**2 * end[1],
            ))  # fmt: skip
    return [*points, *rest[-1:]]


def pad_image(strokes: Sequence[Stroke]) -> Image.Image:
    """White chalk on black: RGB, BOARD x BOARD pixels."""
    image = Image.new("L", (BOARD * FINE, BOARD * FINE), 0)
    pen = ImageDraw.Draw(image)
    reach = PEN * FINE / 2
    for stroke in strokes:
        line = [(x * FINE, y * FINE) for x, y in curve(stroke)]
        pen.line(line, fill=255, width=PEN * FINE)
        for x, y in line:
            pen.ellipse((x - reach, y - reach, x + reach, y + reach), fill=255)
    return image.resize((BOARD, BOARD), Image.Resampling.BOX).convert("RGB")
