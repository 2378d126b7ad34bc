"""Simple drawn animals, standing to the left, about the origin within -0.5..0.5, feet at y 0.4."""

from __future__ import annotations

import numpy as np

from recipes.lookalikes.plane import Plane
from recipes.lookalikes.strokes import curve
from semerge.data.rendered.drawing import Colour, Dice, mix

BLACK: Colour = (25.0, 20.0, 20.0)


def _blob(c: Plane, points: list[tuple[float, float]], fill: Colour) -> None:
    """A closed smooth outline."""
    c.poly(curve(np.array([*points, points[0]])), fill)


def _legs(c: Plane, d: Dice, coat: Colour, x: tuple[float, ...], top: float, width: float) -> None:
    for k, at in enumerate(x):
        lean = d.n(0.04)
        shade = mix(coat, (0, 0, 0), 0.25 if k % 2 else 0.05)
        c.line([(at, top), (at + lean * 0.4, (top + 0.4) / 2), (at + lean, 0.4)], shade, width)


def _eye(c: Plane, x: float, y: float, r: float) -> None:
    c.oval(x, y, r, fill=(240, 235, 220))
    c.oval(x, y, r * 0.6, fill=BLACK)


def bird(c: Plane, d: Dice) -> None:
    """A perched or flying small bird."""
    coat = d.pick(((90, 110, 150), (150, 100, 60), (180, 60, 40), (70, 80, 60), (200, 180, 80),
                   (60, 60, 65), (205, 200, 190)))  # fmt: skip
    belly = mix(coat, (245, 235, 215), d.u(0.3, 0.8))
    beak = d.pick(((230, 150, 40), (60, 50, 45)))
    if d.p(0.3):  # in flight, wings up
        lift = d.u(0.25, 0.45)
        _blob(
            c,
            [(-0.3, 0.02), (-0.1, -0.08), (0.2, -0.02), (0.48, 0.06), (0.2, 0.1), (-0.1, 0.12)],
            coat,
        )
        _blob(
            c,
            [(-0.05, -0.04), (0.1, -lift), (0.35, -lift - 0.1), (0.22, -0.02)],
            mix(coat, BLACK, 0.3),
        )
        _blob(
            c,
            [(-0.1, 0.0), (-0.12, -lift * 0.9), (-0.02, -lift), (0.12, 0.02)],
            mix(coat, BLACK, 0.15),
        )
        c.oval(-0.32, -0.02, 0.1, fill=coat)
        c.poly([(-0.41, -0.05), (-0.52, 0.0), (-0.4, 0.03)], beak)
        _eye(c, -0.35, -0.04, 0.022)
        return
    tail = d.u(0.05, 0.3)
    c.poly([(0.15, 0.05), (0.5, tail), (0.46, tail + 0.1), (0.1, 0.2)], mix(coat, BLACK, 0.4))
    for x in (-0.04, 0.06):
        c.line([(x, 0.2), (x - 0.02, 0.4)], mix(beak, BLACK, 0.4), 0.022)
    _blob(
        c,
        [(-0.22, -0.1), (0.0, -0.15), (0.22, 0.02), (0.2, 0.16), (0.0, 0.27), (-0.2, 0.16)],
        belly,
    )
    _blob(c, [(-0.12, -0.12), (0.1, -0.1), (0.3, 0.08), (0.32, 0.16), (0.08, 0.12)], coat)
    c.oval(-0.2, -0.2, 0.14, 0.13, coat)
    c.poly([(-0.31, -0.25), (-0.5, -0.19), (-0.31, -0.14)], beak)
    _eye(c, -0.25, -0.23, 0.03)
    c.line([(-0.45, 0.41), (0.45, 0.41)], d.pick(((90, 65, 45), (70, 90, 50))), 0.05)


def cat(c: Plane, d: Dice) -> None:
    """A sitting cat from the front, or its head alone."""
    coat = d.pick(((120, 115, 110), (200, 140, 80), (50, 48, 50), (225, 220, 210), (140, 110, 85)))
    dark = mix(coat, BLACK, 0.4)
    big = d.p(0.45)
    f = c.place(0, 0.3, 1.55) if big else c
    if not big:
        c.line(curve(np.array([(0.2, 0.36), (0.42, 0.34), (0.44, 0.1), (0.36, 0.0)])), dark, 0.07)
        _blob(
            c,
            [(-0.1, -0.1), (0.12, -0.1), (0.26, 0.2), (0.24, 0.4), (-0.22, 0.4), (-0.2, 0.15)],
            coat,
        )
        c.oval(0, 0.2, 0.1, 0.18, mix(coat, (250, 245, 240), 0.5))
        for x in (-0.1, 0.1):
            c.oval(x, 0.37, 0.07, 0.045, mix(coat, (255, 255, 255), 0.25))
    y = -0.2
    for s in (-1, 1):
        f.poly([(s * 0.22, y - 0.05), (s * 0.22, y - 0.28), (s * 0.03, y - 0.14)], coat)
        f.poly([(s * 0.19, y - 0.09), (s * 0.19, y - 0.21), (s * 0.08, y - 0.13)], (205, 140, 130))
    f.oval(0, y, 0.235, 0.19, coat)
    if d.p(0.6):
        for k in (-1, 0, 1):
            f.line([(k * 0.06, y - 0.18), (k * 0.045, y - 0.08)], dark, 0.025)
    f.oval(0, y + 0.09, 0.11, 0.08, mix(coat, (255, 250, 245), 0.6))
    iris = d.pick(((190, 190, 60), (90, 160, 90), (220, 160, 40)))
    for s in (-1, 1):
        f.oval(s * 0.095, y - 0.01, 0.048, 0.04, iris)
        f.oval(s * 0.095, y - 0.01, 0.016, 0.036, BLACK)
        for k in (-1, 1):
            f.line(
                [(s * 0.06, y + 0.08), (s * 0.3, y + 0.08 + k * 0.035)],
                mix(coat, (255, 255, 255), 0.7),
                0.008,
            )
    f.poly([(-0.03, y + 0.05), (0.03, y + 0.05), (0, y + 0.085)], (200, 110, 110))


def dog(c: Plane, d: Dice) -> None:
    """A dog with hanging ears: its head, or standing."""
    coat = d.pick(((190, 140, 80), (95, 65, 45), (230, 220, 200), (45, 40, 40), (160, 120, 90)))
    ear = mix(coat, d.pick(((60, 40, 30), (20, 15, 15))), 0.6)
    if d.p(0.5):
        f = c.place(0, 0.05, 1.35)
        f.oval(0, -0.06, 0.24, 0.26, coat)
        for s in (-1, 1):
            _blob(
                f, [(s * 0.14, -0.29), (s * 0.32, -0.22), (s * 0.34, 0.08), (s * 0.24, 0.12)], ear
            )
            _eye(f, s * 0.095, -0.1, 0.034)
        f.oval(0, 0.1, 0.14, 0.13, mix(coat, (250, 240, 230), 0.6))
        f.oval(0, 0.03, 0.055, 0.042, BLACK)
        f.line([(0, 0.06), (0, 0.12)], BLACK, 0.014)
        if d.p(0.6):
            f.oval(0, 0.2, 0.045, 0.07, (225, 110, 120))
        return
    _legs(c, d, coat, (-0.2, -0.12, 0.2, 0.28), 0.1, 0.075)
    c.line(curve(np.array([(0.3, -0.02), (0.42, -0.12), (0.44, -0.28)])), coat, 0.05)
    _blob(
        c,
        [(-0.26, -0.1), (0.3, -0.1), (0.34, 0.06), (0.26, 0.17), (-0.22, 0.19), (-0.3, 0.05)],
        coat,
    )
    c.oval(-0.3, -0.18, 0.14, 0.13, coat)
    c.oval(-0.43, -0.13, 0.09, 0.065, mix(coat, (250, 240, 230), 0.3))
    c.oval(-0.5, -0.15, 0.028, fill=BLACK)
    _blob(c, [(-0.28, -0.3), (-0.18, -0.28), (-0.16, -0.08), (-0.24, -0.04)], ear)
    _eye(c, -0.36, -0.21, 0.024)


def _hoofed(c: Plane, d: Dice, coat: Colour, thick: float) -> None:
    _legs(c, d, coat, (-0.16, -0.09, 0.2, 0.27), 0.05, thick)
    _blob(c, [(-0.22, -0.12), (0.05, -0.09), (0.28, -0.13), (0.34, 0.0), (0.26, 0.1), (0.0, 0.12),
              (-0.2, 0.09)], coat)  # fmt: skip
    c.poly([(-0.08, -0.1), (-0.26, -0.38), (-0.36, -0.32), (-0.24, 0.04)], coat)


def deer(c: Plane, d: Dice) -> None:
    """A deer with antlers or large ears, in a reddish coat."""
    coat = d.pick(((165, 110, 65), (140, 95, 60), (120, 90, 65), (185, 135, 85)))
    _hoofed(c, d, coat, 0.042)
    _blob(c, [(-0.24, -0.44), (-0.3, -0.46), (-0.48, -0.32), (-0.46, -0.27), (-0.3, -0.29)], coat)
    c.oval(-0.17, -0.43, 0.07, 0.03, mix(coat, (230, 200, 180), 0.3))
    if d.p(0.65):
        bone = (105, 80, 60)
        for s in (0.0, 0.1):
            beam = [(-0.27 + s, -0.44), (-0.2 + s * 2, -0.6), (-0.24 + s * 2.2, -0.78)]
            c.line(curve(np.array(beam)), bone, 0.026)
            c.line([beam[1], (beam[1][0] - 0.11, beam[1][1] - 0.1)], bone, 0.022)
            c.line([beam[1], (beam[1][0] + 0.1, beam[1][1] - 0.1)], bone, 0.022)
    c.oval(0.33, -0.05, 0.045, 0.07, (240, 235, 225))
    if d.p(0.4):
        for _ in range(9):
            c.oval(d.u(-0.15, 0.25), d.u(-0.08, 0.04), 0.014, fill=(235, 220, 200))
    _eye(c, -0.34, -0.39, 0.018)
    c.oval(-0.47, -0.3, 0.02, fill=BLACK)


def horse(c: Plane, d: Dice) -> None:
    """A horse with mane and tail."""
    coat = d.pick(((120, 70, 40), (75, 50, 35), (40, 35, 35), (215, 205, 195), (165, 110, 70)))
    mane = mix(coat, d.pick(((15, 12, 12), (230, 215, 190))), 0.8)
    c.line(curve(np.array([(0.31, -0.1), (0.44, 0.0), (0.43, 0.25)])), mane, 0.075)
    _hoofed(c, d, coat, 0.06)
    _blob(c, [(-0.2, -0.1), (-0.05, -0.15), (-0.22, -0.42), (-0.36, -0.38), (-0.3, -0.1)], coat)
    _blob(
        c,
        [
            (-0.22, -0.46),
            (-0.34, -0.46),
            (-0.52, -0.24),
            (-0.47, -0.17),
            (-0.38, -0.2),
            (-0.26, -0.3),
        ],
        coat,
    )
    c.line(
        curve(np.array([(-0.28, -0.47), (-0.17, -0.38), (-0.1, -0.22), (-0.04, -0.12)])), mane, 0.07
    )
    c.poly([(-0.27, -0.44), (-0.24, -0.54), (-0.21, -0.42)], coat)
    _eye(c, -0.36, -0.38, 0.018)


def frog(c: Plane, d: Dice) -> None:
    """A sitting frog."""
    coat = d.pick(((90, 150, 50), (110, 125, 60), (130, 105, 70), (60, 120, 60), (150, 170, 60)))
    dark, pale = mix(coat, BLACK, 0.35), mix(coat, (245, 240, 200), 0.6)
    _blob(c, [(0.05, 0.1), (0.36, 0.02), (0.46, 0.24), (0.3, 0.36), (0.05, 0.34)], dark)
    _blob(c, [(-0.42, 0.0), (-0.3, -0.14), (-0.05, -0.16), (0.22, 0.02), (0.34, 0.26), (0.1, 0.35),
              (-0.25, 0.3), (-0.4, 0.14)], coat)  # fmt: skip
    _blob(c, [(-0.4, 0.08), (-0.2, 0.12), (-0.05, 0.2), (-0.1, 0.32), (-0.3, 0.26)], pale)
    c.line([(-0.22, 0.2), (-0.28, 0.38), (-0.38, 0.4)], coat, 0.07)
    c.line([(0.36, 0.32), (0.12, 0.39)], coat, 0.07)
    c.line(curve(np.array([(-0.43, 0.04), (-0.25, 0.1), (-0.1, 0.04)])), dark, 0.02)
    for x in (-0.3, -0.1):
        c.oval(x, -0.17, 0.085, 0.08, coat)
        c.oval(x - 0.01, -0.18, 0.056, fill=(235, 205, 70))
        c.oval(x - 0.01, -0.18, 0.035, 0.025, BLACK)
    for _ in range(d.i(0, 9)):
        c.oval(d.u(-0.1, 0.28), d.u(0.0, 0.24), d.u(0.015, 0.035), fill=dark)
