"""What happens to a picture between the drawing and the camera: warp, light, blur, noise.

Random fields live on a fixed coarse grid and are enlarged, so a seed gives the same picture at
every size.
"""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageFilter

from .canvas import Canvas
from .dice import Dice

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
    if k == 1:
        return values
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


def scan(
    canvas: Canvas, dice: Dice, *, blur: float = 0.0, noise: float = 0.0, light: float = 0.0
) -> Image.Image:
    """Reduce a canvas and pass it through a plain camera with the given largest strengths."""
    image = blurred(canvas.reduced(), dice.u(0, blur))
    values = pixels(image)
    if light:
        values = lit(values, dice, dice.u(0, light))
    if noise:
        values = noisy(values, dice, dice.u(0, noise))
    return picture(values)
