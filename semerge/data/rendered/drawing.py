"""Seeded chance, a canvas, and what a camera does to a picture: the rendered tasks' tools."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, TypeVar

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

# ---- seeded chance -------------------------------------------------------------------------------

T = TypeVar("T")


class Dice:
    """Random numbers from a tuple of integers, the same on every machine. Only uniform doubles are
    taken from numpy. Everything else (integers, normal numbers, picks) is computed here, because
    numpy does not promise a stable stream for its distributions."""

    def __init__(self, *key: int) -> None:
        sequence = np.random.SeedSequence([int(k) for k in key])
        self._generator = np.random.Generator(np.random.PCG64(sequence))
        self._buffer = self._generator.random(128)
        self._next = 0

    def unit(self) -> float:
        """One number in [0, 1)."""
        if self._next == len(self._buffer):
            self._buffer = self._generator.random(128)
            self._next = 0
        self._next += 1
        return float(self._buffer[self._next - 1])

    def u(self, low: float, high: float) -> float:
        """Uniform in [low, high)."""
        return low + (high - low) * self.unit()

    def i(self, low: int, high: int) -> int:
        """An integer from low to high, both included."""
        return low + int(self.unit() * (high - low + 1))

    def p(self, probability: float) -> bool:
        """True with the given probability."""
        return self.unit() < probability

    def pick(self, items: Sequence[T]) -> T:
        """One of the items."""
        return items[int(self.unit() * len(items))]

    def n(self, deviation: float) -> float:
        """Roughly normal with mean 0 (four uniform numbers summed)."""
        return (self.unit() + self.unit() + self.unit() + self.unit() - 2.0) * 1.732 * deviation

    def array(self, *shape: int) -> np.ndarray:
        """Uniform float64 array in [0, 1)."""
        return self._generator.random(shape)

    def normal(self, *shape: int) -> np.ndarray:
        """Roughly normal float64 array, mean 0, deviation 1."""
        return (self._generator.random((*shape, 4)).sum(-1) - 2.0) * 1.732


# ---- drawing in relative coordinates -------------------------------------------------------------
# A canvas is drawn larger than asked for and then reduced, which gives antialiased edges. Points
# are in the unit square, y downwards. Widths are fractions of the side.

Colour = Sequence[float]
Points = Any  # anything that np.asarray turns into (n, 2)


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
    red, green, blue = (x + (y - x) * share for x, y in zip(a, b, strict=True))
    return red, green, blue


def arc_points(
    cx: float, cy: float, rx: float, ry: float, start: float = 0.0, end: float = 360.0, n: int = 40
) -> np.ndarray:
    """Points (n, 2) on an elliptic arc; degrees, clockwise on the screen from the right."""
    a = np.radians(np.linspace(start, end, n))
    return np.stack([cx + rx * np.cos(a), cy + ry * np.sin(a)], 1)


class Canvas:
    """A picture of `size` pixels, drawn on in the unit square."""

    def __init__(self, size: int, background: Colour = (0, 0, 0)) -> None:
        self.size = size
        self.side = size * oversampling(size)
        self.image = Image.new("RGB", (self.side, self.side), rgb(background))
        self.draw = ImageDraw.Draw(self.image)

    def _pixels(self, points: Points) -> list[tuple[float, float]]:
        q = np.asarray(points, dtype=np.float64).reshape(-1, 2) * self.side
        return [(float(a), float(b)) for a, b in q]

    def _scale(self) -> float:
        """Pixels of a width of one."""
        return float(self.side)

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

    def oval(
        self, cx: float, cy: float, rx: float, ry: float | None = None, fill: Colour = (0, 0, 0)
    ) -> None:
        """A filled ellipse."""
        self.poly(arc_points(cx, cy, rx, rx if ry is None else ry, n=33)[:-1], fill)

    def text(self, cx: float, cy: float, words: str, fill: Colour, height: float) -> None:
        """Words in Pillow's own font, centred; `height` is that of capital letters."""
        mask = self._letters(words, max(4, round(height * self._scale() / 0.72)))
        ((x, y),) = self._pixels([(cx, cy)])
        left, top = round(x - mask.width / 2), round(y - mask.height / 2)
        self.image.paste(rgb(fill), (left, top, left + mask.width, top + mask.height), mask)

    def _letters(self, words: str, pixels: int) -> Image.Image:
        """Where the letters cover the picture, 0 to 255."""
        font = _font(pixels)
        box = font.getbbox(words)
        size = max(1, int(box[2] - box[0])), max(1, int(box[3] - box[1]))
        mask = Image.new("L", size, 0)
        ImageDraw.Draw(mask).text((-box[0], -box[1]), words, fill=255, font=font)
        return mask

    def reduced(self) -> Image.Image:
        """The picture at its own size."""
        return self.image.reduce(self.side // self.size)


# ---- between the drawing and the camera ----------------------------------------------------------
# Random fields live on a fixed coarse grid and are enlarged, so a seed gives the same picture at
# every size.

NOISE_GRID = 48


def enlarge(field: np.ndarray, size: int) -> np.ndarray:
    """A (h, w) field as float32 (size, size), bicubic."""
    image = Image.fromarray(np.ascontiguousarray(field, dtype=np.float32))
    return np.asarray(image.resize((size, size), Image.Resampling.BICUBIC))


def smooth_field(dice: Dice, cells: int, size: int) -> np.ndarray:
    """Smooth noise (size, size), about -1..1, with about `cells` bumps a side."""
    return enlarge(dice.array(cells + 1, cells + 1) * 2.0 - 1.0, size)


def cloud(dice: Dice, cells: int, size: int, octaves: int = 3, fall: float = 0.5) -> np.ndarray:
    """Sum of smooth fields at doubling frequencies, about -1..1."""
    total = np.zeros((size, size), dtype=np.float32)
    weight, sum_of_weights = 1.0, 0.0
    for k in range(octaves):
        total += weight * smooth_field(dice, min(cells * 2**k, 96), size)
        sum_of_weights += weight
        weight *= fall
    return total / sum_of_weights


def grid(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Pixel centres in the unit square: u to the right, v down, float32 (size, size)."""
    c = (np.arange(size, dtype=np.float32) + 0.5) / size
    u, v = np.meshgrid(c, c)
    return u, v


def turned(image: Image.Image, degrees: float, zoom: float, dx: float, dy: float) -> Image.Image:
    """Turn and zoom about the centre, edges filled with the corner's colour."""
    w = image.width
    a = np.radians(degrees)
    c, s = float(np.cos(a)) / zoom, float(np.sin(a)) / zoom
    h = w / 2.0
    matrix = (c, s, h - c * h - s * h - dx * w, -s, c, h + s * h - c * h - dy * w)
    fill = image.getpixel((1, 1))
    return image.transform(
        image.size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR, fillcolor=fill
    )


def blurred(image: Image.Image, share: float) -> Image.Image:
    """Gaussian blur; the radius is a share of the side."""
    radius = share * image.width
    return image.filter(ImageFilter.GaussianBlur(radius)) if radius > 0.05 else image


def pixels(image: Image.Image) -> np.ndarray:
    """float32 (size, size, 3) in 0..255."""
    return np.asarray(image, dtype=np.float32)


def picture(values: np.ndarray) -> Image.Image:
    """The reverse of `pixels`; a grey (size, size) array becomes RGB."""
    if values.ndim == 2:
        values = np.repeat(values[:, :, None], 3, 2)
    return Image.fromarray(np.clip(values + 0.5, 0, 255).astype(np.uint8))


def shrink(values: np.ndarray, size: int) -> np.ndarray:
    """Box average of (k*size, k*size, 3) to (size, size, 3)."""
    k = values.shape[0] // size
    return values.reshape(size, k, size, k, -1).mean((1, 3))


def noisy(values: np.ndarray, dice: Dice, deviation: float, colour: float = 0.5) -> np.ndarray:
    """Add grain; `colour` is its share that differs between the channels."""
    size = values.shape[0]
    grey = enlarge(dice.normal(NOISE_GRID, NOISE_GRID), size)[:, :, None]
    out = values + deviation * (1.0 - colour) * grey
    if colour > 0:
        tint = dice.normal(3, NOISE_GRID, NOISE_GRID)
        out = out + deviation * colour * np.stack([enlarge(t, size) for t in tint], 2)
    return out


def lit(values: np.ndarray, dice: Dice, strength: float) -> np.ndarray:
    """Multiply by a linear gradient of light in a random direction."""
    u, v = grid(values.shape[0])
    a = dice.u(0, 2 * np.pi)
    ramp = (u - 0.5) * float(np.cos(a)) + (v - 0.5) * float(np.sin(a))
    return values * (1.0 + 2.0 * strength * ramp)[:, :, None]


def graded(values: np.ndarray, contrast: float, shift: float) -> np.ndarray:
    """Contrast about the mean, then brightness in grey levels."""
    mean = values.mean()
    return (values - mean) * contrast + mean + shift
