"""A canvas on which things are drawn in frames of their own: moved, scaled, turned, sheared."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageDraw

from semerge.data.rendered.drawing import Canvas, Colour, Points, arc_points


class Plane(Canvas):
    """A canvas and a coordinate frame to draw in, at first the unit square."""

    def __init__(self, size: int, background: Colour = (0, 0, 0)) -> None:
        super().__init__(size, background)
        self.matrix = np.eye(2, 3)

    def redraw(self) -> Plane:
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
    ) -> Plane:
        """A frame on the same picture: scaled, sheared, turned by degrees, then moved to (x, y).

        In the new frame the origin is at (x, y) of this one.
        """
        c, s = math.cos(math.radians(turn)), math.sin(math.radians(turn))
        sy = sx if sy is None else sy
        local = np.array([[c, -s], [s, c]]) @ np.array([[sx, shear * sy], [0.0, sy]])
        other = object.__new__(Plane)
        other.__dict__.update(self.__dict__)
        linear = self.matrix[:, :2] @ local
        shift = self.matrix[:, :2] @ np.array([x, y]) + self.matrix[:, 2]
        other.matrix = np.concatenate([linear, shift[:, None]], 1)
        return other

    def ring(self, cx: float, cy: float, rx: float, ry: float, fill: Colour, width: float) -> None:
        """The outline of an ellipse."""
        self.line(arc_points(cx, cy, rx, ry, n=41)[:-1], fill, width, closed=True)

    def _pixels(self, points: Points) -> list[tuple[float, float]]:
        p = np.asarray(points, dtype=np.float64).reshape(-1, 2)
        return super()._pixels(p @ self.matrix[:, :2].T + self.matrix[:, 2])

    def _scale(self) -> float:
        m = self.matrix
        return math.sqrt(abs(m[0, 0] * m[1, 1] - m[0, 1] * m[1, 0])) * self.side

    def _letters(self, words: str, pixels: int) -> Image.Image:
        mask, m = super()._letters(words, pixels), self.matrix
        norm = math.hypot(m[0, 0], m[1, 0]) or 1.0
        narrow = norm * self.side / (self._scale() or 1.0)
        if abs(narrow - 1.0) > 0.02:
            size = max(1, round(mask.width * narrow)), max(1, round(mask.height / narrow))
            mask = mask.resize(size, Image.Resampling.BILINEAR)
        angle = math.degrees(math.atan2(m[1, 0], m[0, 0]))
        if abs(angle) > 0.5:
            mask = mask.rotate(-angle, Image.Resampling.BILINEAR, expand=True)
        return mask
