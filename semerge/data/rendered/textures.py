"""The rendered task `textures`: which pattern covers the picture?

Each pattern is a function of warped plane coordinates. Neighbours are alike on purpose: bricks and
chequers, weave and chequers, zigzag and stripes, cracks and marble.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from semerge.data.rendered import drawing
from semerge.data.rendered.charts import hue
from semerge.data.rendered.drawing import Dice, oversampling

Field = np.ndarray  # float32 (side, side)
TABLE = 64  # cells a side of the tables of per-cell chance


def _edge(x: Field, width: float) -> Field:
    """A soft step from 0 to 1 around x = 0."""
    return np.clip(x / width + 0.5, 0.0, 1.0)


def _cells(table: np.ndarray, a: Field, b: Field) -> Field:
    """Per-cell values of a (TABLE, TABLE) table at integer cell coordinates."""
    return table[np.int64(a) % TABLE, np.int64(b) % TABLE].astype(np.float32)


def striped(dice: Dice, u: Field, v: Field) -> tuple[Field, Field]:
    """Parallel stripes; some double, some soft."""
    f = dice.u(4, 13)
    duty = dice.u(0.3, 0.7)
    phase = (u * f) % 1.0
    t = _edge(np.abs(phase - 0.5) - duty / 2, dice.u(0.05, 0.5))
    double = dice.p(0.35)
    return t, (np.floor(u * f) % 2) * 0.6 * t if double else np.zeros_like(t)


def dotted(dice: Dice, u: Field, v: Field) -> tuple[Field, Field]:
    """Dots on a square, staggered or shaken grid."""
    f = dice.u(4, 10)
    a, b = u * f, v * f
    if dice.p(0.5):
        a = a + 0.5 * (np.floor(b) % 2)
    ca, cb = np.floor(a), np.floor(b)
    shake = dice.pick((0.0, 0.1, 0.2))
    jitter = dice.array(2, TABLE, TABLE) - 0.5
    da = a - ca - 0.5 - 2 * shake * _cells(jitter[0], ca, cb)
    db = b - cb - 0.5 - 2 * shake * _cells(jitter[1], ca, cb)
    radius = dice.u(0.2, 0.4 - shake * 0.5)
    sizes = 1.0 - dice.pick((0.0, 0.3)) * _cells(dice.array(TABLE, TABLE), ca, cb)
    distance = np.sqrt(da * da + db * db)
    t = _edge(radius * sizes - distance, dice.u(0.05, 0.2))
    if dice.p(0.2):
        t = t - _edge(radius * 0.5 * sizes - distance, 0.08)
    return t, np.zeros_like(t)


def chequered(dice: Dice, u: Field, v: Field) -> tuple[Field, Field]:
    """Chequers: squares, lozenges, or gingham in three tones."""
    f = dice.u(3, 9)
    a, b = u * f * dice.u(0.7, 1.4), v * f
    if dice.p(0.25):
        a, b = a + b * 0.7, b - a * 0.7
    soft = dice.u(0.05, 0.25)
    x, y = _edge(np.abs(a % 2 - 1) - 0.5, soft), _edge(np.abs(b % 2 - 1) - 0.5, soft)
    if dice.p(0.25):
        return (x + y) / 2, np.zeros_like(x)
    t = x + y - 2 * x * y
    tones = _cells(dice.array(TABLE, TABLE), np.floor(a), np.floor(b))
    return t, dice.pick((0.0, 0.3)) * tones


def zigzag(dice: Dice, u: Field, v: Field) -> tuple[Field, Field]:
    """Stripes along a triangle wave."""
    g = dice.u(2.5, 7)
    f = dice.u(4, 10)
    wave = np.abs((v * g) % 1.0 - 0.5)
    height = dice.u(0.55, 1.3)
    phase = (u * f + 2 * height * wave * f / g) % 1.0
    t = _edge(np.abs(phase - 0.5) - dice.u(0.3, 0.65) / 2, dice.u(0.05, 0.3))
    return t, np.zeros_like(t)


def woven(dice: Dice, u: Field, v: Field) -> tuple[Field, Field]:
    """Strands that go over and under each other, shaded across their width."""
    f = dice.u(4, 9)
    a, b = u * f, v * f
    ca, cb = np.floor(a), np.floor(b)
    over = (ca + cb) % 2
    if dice.p(0.3):  # twill: over two, under two
        over = np.floor((ca + cb) / 2) % 2
    fa, fb = a - ca - 0.5, b - cb - 0.5
    across = np.where(over > 0, fa, fb)
    along = np.where(over > 0, fb, fa)
    width = dice.u(0.34, 0.46)
    strand = _edge(width - np.abs(across), 0.08)
    shade = 1.0 - 1.6 * across * across - dice.u(0.3, 1.4) * along * along
    tone = dice.pick((0.0, 0.0, 0.35)) * over
    t = strand * np.clip(shade, 0, 1)
    return t, tone * strand


def _voronoi(dice: Dice, u: Field, v: Field, n: int) -> Field:
    """Distance between the nearest and the second nearest of n points."""
    points = dice.array(n, 2).astype(np.float32) * 1.5 - 0.25
    nearest = np.full_like(u, 9.0)
    second = np.full_like(u, 9.0)
    for x, y in points:
        d = (u - x) ** 2 + (v - y) ** 2
        second = np.minimum(second, np.maximum(nearest, d))
        nearest = np.minimum(nearest, d)
    return np.sqrt(second) - np.sqrt(nearest)


def cracked(dice: Dice, u: Field, v: Field) -> tuple[Field, Field]:
    """Thin dark lines between irregular plates."""
    side = u.shape[0]
    rough = dice.u(0.01, 0.05)
    u = u + rough * drawing.cloud(dice, 8, side, 2)
    v = v + rough * drawing.cloud(dice, 8, side, 2)
    gap = _voronoi(dice, u, v, dice.i(12, 40))
    width = dice.u(0.012, 0.035) * (1 + 0.6 * drawing.smooth_field(dice, 4, side))
    t = _edge(width - gap, 0.015)
    if dice.p(0.5):
        fine = _voronoi(dice, u, v, dice.i(40, 60))
        t = np.maximum(t, 0.6 * _edge(width * 0.4 - fine, 0.012))
    return t, 0.35 * (drawing.cloud(dice, 5, side, 3) * 0.5 + 0.5) * (1 - t)


def marbled(dice: Dice, u: Field, v: Field) -> tuple[Field, Field]:
    """Veins and swirls: waves bent by turbulence."""
    side = u.shape[0]
    turbulence = drawing.cloud(dice, dice.i(3, 5), side, 4, 0.6)
    second = drawing.cloud(dice, dice.i(2, 4), side, 3)
    phase = u * dice.u(4, 12) + dice.u(3, 7) * turbulence + 2 * second
    wave = np.sin(phase * 2)
    if dice.p(0.5):  # sharp veins
        t = 1 - np.abs(wave) ** dice.u(0.4, 0.9)
    else:
        t = wave * 0.5 + 0.5
    return t, 0.3 * (second * 0.5 + 0.5)


def bricked(dice: Dice, u: Field, v: Field) -> tuple[Field, Field]:
    """Rows of bricks, each row shifted, with mortar between."""
    rows = dice.u(4, 10)
    long = dice.u(1.5, 2.8)
    b = v * rows
    row = np.floor(b)
    a = u * rows / long + dice.u(0.3, 0.7) * (row % 2)
    column = np.floor(a)
    fa, fb = a - column, b - row
    mortar = dice.u(0.05, 0.13)
    edge = np.minimum(np.minimum(fa, 1 - fa) * long, np.minimum(fb, 1 - fb))
    t = _edge(mortar - edge, 0.08)
    tones = _cells(dice.array(TABLE, TABLE), column, row)
    return t, dice.u(0.15, 0.7) * tones * (1 - t)


KINDS = (striped, dotted, chequered, zigzag, woven, cracked, marbled, bricked)
CLASSES = tuple(kind.__name__ for kind in KINDS)


def _colours(dice: Dice, clean: bool) -> list[np.ndarray]:
    """Ground, figure and a third colour; the contrast of the first two may be low."""
    h, s = dice.unit(), dice.unit()
    level = dice.u(60, 200)
    low, high = (90, 140) if clean else (24, 60) if dice.p(0.4) else (60, 150)
    gap = dice.u(low, high)
    sign = dice.pick((-1, 1)) if 60 < level < 190 else (1 if level < 128 else -1)
    first = np.array(hue(h, 0.7 * s, 1.0)) * level / 200
    second = np.array(hue(h + dice.pick((0.0, 0.08, 0.5, dice.unit())), 0.7 * dice.unit(), 1.0))
    second = second / second.mean() * np.clip(first.mean() + sign * gap, 8, 250)
    third = np.array(hue(dice.unit(), 0.5 * dice.unit(), 1.0)) * dice.u(0.3, 1)
    third = third * first.mean() / third.mean()
    return [first, second, (first + second + third) / 3]


def draw(dice: Dice, label: int, size: int, clean: bool) -> Image.Image:
    """One texture of class `label`."""
    side = size * (2 if oversampling(size) == 3 else 1)
    u, v = drawing.grid(side)
    warp = dice.u(0.0, 0.02 if clean else 0.07) * dice.pick((0.0, 1.0, 1.0))
    angle = dice.n(0.5) if KINDS[label] is bricked else dice.u(0, np.pi)
    zoom = dice.u(0.8, 1.3) if not clean else 0.9
    wu = u - 0.5 + warp * drawing.smooth_field(dice, 3, side)
    wv = v - 0.5 + warp * drawing.smooth_field(dice, 3, side)
    keystone = 1.0 + (0.0 if clean else dice.n(0.15)) * wu
    c, s = float(np.cos(angle)) * zoom, float(np.sin(angle)) * zoom
    pu = (c * wu - s * wv) * keystone + 0.5
    pv = (s * wu + c * wv) * keystone + 0.5
    t, extra = KINDS[label](dice, pu.astype(np.float32), pv.astype(np.float32))
    ground, figure, third = _colours(dice, clean)
    t, extra = t[:, :, None], np.clip(extra, 0, 1)[:, :, None]
    values = ground + (figure - ground) * t
    values = values + (third - values) * extra
    values = drawing.shrink(values.astype(np.float32), size)
    return _camera(dice, values, size, clean)


def _camera(dice: Dice, values: np.ndarray, size: int, clean: bool) -> Image.Image:
    """Stains, shadows, light, blur and noise."""
    if clean:
        return drawing.picture(values)
    if dice.p(0.4):
        stain = drawing.cloud(dice, dice.i(2, 4), size, 3)[:, :, None]
        values = values + dice.u(8, 40) * stain
    if dice.p(0.3):  # a shadow with a straight edge
        u, v = drawing.grid(size)
        a = dice.u(0, 6.3)
        side = (u - 0.5) * float(np.cos(a)) + (v - 0.5) * float(np.sin(a)) + dice.n(0.2)
        values = values * (1 - dice.u(0.2, 0.5) * _edge(side, 0.05))[:, :, None]
    values = drawing.lit(values, dice, dice.u(0.0, 0.5))
    if dice.p(0.5):
        image = drawing.blurred(drawing.picture(values), dice.u(0.004, 0.02))
        values = drawing.pixels(image)
    values = drawing.noisy(values, dice, dice.u(2.0, 18.0))
    return drawing.picture(values)
