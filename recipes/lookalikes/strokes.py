"""Handwriting: glyphs as control points, bent and drawn by a pen.

A glyph is written as strokes parted by ";". A stroke is "c" (a curve through its points) or "s"
(straight lines), then points "x,y" in a box of 100 x 100, y downwards: "c 50,0 10,50; s 0,9 9,9".
"""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise

import numpy as np

from recipes.lookalikes.plane import Plane
from semerge.data.rendered.drawing import Colour, Dice

Stroke = np.ndarray  # (n, 2) in the unit box


def curve(points: np.ndarray, steps: int = 6) -> np.ndarray:
    """Catmull-Rom spline through (n, 2) points: (m, 2)."""
    closed = bool(np.allclose(points[0], points[-1])) and len(points) > 3
    if closed:
        p = np.concatenate([points[-2:-1], points, points[1:2]])
    else:
        p = np.concatenate([points[:1], points, points[-1:]])
    t = np.linspace(0, 1, steps, endpoint=False)[None, :, None]
    a, b, c, d = (p[k : len(p) - 3 + k][:, None, :] for k in range(4))
    q = 0.5 * (
        2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3
    )
    return np.concatenate([q.reshape(-1, 2), points[-1:]])


def straight(points: np.ndarray, steps: int = 4) -> np.ndarray:
    """Straight lines with points between, so that a bend of the plane bends them."""
    parts = [
        a + (b - a) * np.linspace(0, 1, steps, endpoint=False)[:, None] for a, b in pairwise(points)
    ]
    return np.concatenate([*parts, points[-1:]])


@lru_cache(maxsize=1024)
def parse(glyph: str) -> tuple[Stroke, ...]:
    """The strokes of a glyph as dense polylines. Treat them as read-only."""
    strokes = []
    for part in glyph.split(";"):
        kind, *pairs = part.split()
        points = np.array([[float(c) for c in pair.split(",")] for pair in pairs]) / 100.0
        strokes.append(curve(points) if kind == "c" else straight(points))
    return tuple(strokes)


def bend(dice: Dice, strokes: tuple[Stroke, ...], amount: float) -> list[Stroke]:
    """Bend the plane smoothly, so that strokes that meet still meet; then shift each a little."""
    waves = [
        (dice.u(1.5, 6), dice.u(1.5, 6), dice.u(0, 6.3), dice.n(amount), dice.n(amount))
        for _ in range(4)
    ]
    out = []
    for stroke in strokes:
        moved = stroke.copy()
        for fx, fy, phase, dx, dy in waves:
            s = np.sin(stroke[:, 0] * fx + stroke[:, 1] * fy + phase)
            moved = moved + s[:, None] * np.array([dx, dy])
        out.append(moved + np.array([dice.n(amount * 0.25), dice.n(amount * 0.25)]))
    return out


def write(
    canvas: Plane, strokes: list[Stroke], ink: Colour, width: float, centred: bool = True
) -> None:
    """Draw strokes about the origin of the canvas' frame (box centre at 0, 0)."""
    every = np.concatenate(strokes)
    middle = (every.min(0) + every.max(0)) / 2 if centred else np.array([0.5, 0.5])
    for stroke in strokes:
        canvas.line(stroke - middle, ink, width)
