"""Drawing in relative coordinates: the same picture at any size.

A canvas is drawn larger than asked for and then reduced, which gives antialiased edges. Points are
in the unit square, y downwards. Widths are fractions of the side.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

Colour = Sequence[float]
Points = Any  # anything that np.asarray turns into (n, 2)

IDENTITY = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])


def oversampling(size: int) -> int:
    """How many times larger than `size` a picture is drawn."""
    return 3 if size <= 128 else 2


@lru_cache(maxsize=256)
def _font(pixels: int) -> Any:
    return ImageFont.load_default(pixels)


def rgb(colour: Colour) -> tuple[int, int, int]:
    """Three floats in 0..255, clipped and rounded."""
    r, g, b = (min(255, max(0, round(float(c)))) for c in colour)
    return r, g, b


def mix(a: Colour, b: Colour, share: float) -> tuple[float, float, float]:
    """`share` of b in a."""
    return (
        a[0] + (b[0] - a[0]) * share,
        a[1] + (b[1] - a[1]) * share,
        a[2] + (b[2] - a[2]) * share,
    )


def arc_points(
    cx: float, cy: float, rx: float, ry: float, start: float = 0.0, end: float = 360.0, n: int = 40
) -> np.ndarray:
    """Points (n, 2) on an elliptic arc; degrees, clockwise on the screen from the right."""
    a = np.radians(np.linspace(start, end, n))
    return np.stack([cx + rx * np.cos(a), cy + ry * np.sin(a)], 1)


class Canvas:
    """A picture of `size` pixels and a coordinate frame to draw in."""

    def __init__(self, size: int, background: Colour = (0, 0, 0)) -> None:
        self.size = size
        self.side = size * oversampling(size)
        self.image = Image.new("RGB", (self.side, self.side), rgb(background))
        self.draw = ImageDraw.Draw(self.image)
        self.matrix = IDENTITY

    def redraw(self) -> Canvas:
        """Go on drawing after `image` was replaced."""
        self.draw = ImageDraw.Draw(self.image)
        return self

    def place(
        self,
        x: float = 0.0,
        y: float = 0.0,
        sx: float = 1.0,
        sy: float | None = None,
        turn: float = 0.0,
        shear: float = 0.0,
    ) -> Canvas:
        """A frame on the same picture: scaled, sheared, turned by degrees, then moved to (x, y).

        In the new frame the origin is at (x, y) of this one.
        """
        c, s = math.cos(math.radians(turn)), math.sin(math.radians(turn))
        sy = sx if sy is None else sy
        local = np.array([[c, -s], [s, c]]) @ np.array([[sx, shear * sy], [0.0, sy]])
        other = object.__new__(Canvas)
        other.__dict__.update(self.__dict__)
        linear = self.matrix[:, :2] @ local
        shift = self.matrix[:, :2] @ np.array([x, y]) + self.matrix[:, 2]
        other.matrix = np.concatenate([linear, shift[:, None]], 1)
        return other

    def _pixels(self, points: Points) -> list[tuple[float, float]]:
        p = np.asarray(points, dtype=np.float64).reshape(-1, 2)
        q = (p @ self.matrix[:, :2].T + self.matrix[:, 2]) * self.side
        return [(float(a), float(b)) for a, b in q]

    def _scale(self) -> float:
        m = self.matrix
        return float(math.sqrt(abs(m[0, 0] * m[1, 1] - m[0, 1] * m[1, 0]))) * self.side

    def poly(self, points: Points, fill: Colour) -> None:
        """A filled polygon."""
        self.draw.polygon(self._pixels(points), fill=rgb(fill))

    def line(
        self, points: Points, fill: Colour, width: float, closed: bool = False, caps: bool = True
    ) -> None:
        """A polyline with round joints (and round ends)."""
        q = self._pixels(points)
        if closed:
            q.append(q[0])
        w = max(1, round(width * self._scale()))
        self.draw.line(q, fill=rgb(fill), width=w, joint="curve" if w > 2 else None)
        if caps and not closed and w > 2:
            r = w / 2 - 0.5
            for x, y in (q[0], q[-1]):
                self.draw.ellipse((x - r, y - r, x + r, y + r), fill=rgb(fill))

    def rect(self, x0: float, y0: float, x1: float, y1: float, fill: Colour) -> None:
        """A filled rectangle between two corners."""
        self.poly([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], fill)

    def frame(self, x0: float, y0: float, x1: float, y1: float, fill: Colour, width: float) -> None:
        """The outline of a rectangle."""
        self.line([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], fill, width, closed=True)

    def oval(
        self, cx: float, cy: float, rx: float, ry: float | None = None, fill: Colour = (0, 0, 0)
    ) -> None:
        """A filled ellipse."""
        self.poly(arc_points(cx, cy, rx, rx if ry is None else ry, n=33)[:-1], fill)

    def ring(self, cx: float, cy: float, rx: float, ry: float, fill: Colour, width: float) -> None:
        """The outline of an ellipse."""
        self.line(arc_points(cx, cy, rx, ry, n=41)[:-1], fill, width, closed=True)

    def text(self, cx: float, cy: float, words: str, fill: Colour, height: float) -> None:
        """Words in Pillow's own font, centred; `height` is that of capital letters."""
        pixels = max(4, round(height * self._scale() / 0.72))
        font = _font(pixels)
        box = font.getbbox(words)
        w, h = max(1, int(box[2] - box[0])), max(1, int(box[3] - box[1]))
        mask = Image.new("L", (w, h), 0)
        ImageDraw.Draw(mask).text((-box[0], -box[1]), words, fill=255, font=font)
        m = self.matrix
        norm = math.hypot(m[0, 0], m[1, 0]) or 1.0
        narrow = norm * self.side / (self._scale() or 1.0)
        if abs(narrow - 1.0) > 0.02:
            mask = mask.resize(
                (max(1, round(w * narrow)), max(1, round(h / narrow))), Image.Resampling.BILINEAR
            )
        angle = math.degrees(math.atan2(m[1, 0], m[0, 0]))
        if abs(angle) > 0.5:
            mask = mask.rotate(-angle, Image.Resampling.BILINEAR, expand=True)
        ((x, y),) = self._pixels([(cx, cy)])
        corner = (round(x - mask.width / 2), round(y - mask.height / 2))
        self.image.paste(
            rgb(fill), (*corner, corner[0] + mask.width, corner[1] + mask.height), mask
        )

    def reduced(self) -> Image.Image:
        """The picture at its own size."""
        return self.image.reduce(self.side // self.size)
