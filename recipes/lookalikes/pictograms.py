"""Small pictures on road signs. Each is drawn about the origin within about -0.5..0.5."""

from __future__ import annotations

import numpy as np

from recipes.lookalikes.plane import Plane
from semerge.data.rendered.drawing import Colour, arc_points

RED = (200.0, 20.0, 30.0)


def car(c: Plane, x: float, y: float, s: float, ink: Colour) -> None:
    """A car from behind."""
    f = c.place(x, y, s)
    f.poly([(-0.5, 0.3), (-0.5, 0), (-0.3, -0.08), (-0.22, -0.32), (0.22, -0.32), (0.3, -0.08),
            (0.5, 0), (0.5, 0.3)], ink)  # fmt: skip
    f.rect(-0.45, 0.28, -0.25, 0.45, ink)
    f.rect(0.25, 0.28, 0.45, 0.45, ink)


def truck(c: Plane, x: float, y: float, s: float, ink: Colour, hole: Colour) -> None:
    """A truck from the side, heading left."""
    f = c.place(x, y, s)
    f.rect(-0.2, -0.35, 0.5, 0.18, ink)
    f.poly([(-0.5, 0.18), (-0.5, -0.05), (-0.4, -0.25), (-0.24, -0.25), (-0.24, 0.18)], ink)
    f.rect(-0.5, 0.1, 0.5, 0.24, ink)
    for wheel in (-0.32, 0.25):
        f.oval(wheel, 0.28, 0.13, fill=ink)
        f.oval(wheel, 0.28, 0.05, fill=hole)


def arrow(c: Plane, points: list[tuple[float, float]], ink: Colour, width: float) -> None:
    """A bent arrow along `points`, its head at the last one."""
    p = np.asarray(points, dtype=np.float64)
    d = p[-1] - p[-2]
    d = d / np.hypot(*d)
    side = np.array([-d[1], d[0]])
    tip, base = p[-1] + d * width * 0.6, p[-1] - d * width * 1.1
    c.line(np.concatenate([p[:-1], [base]]), ink, width, caps=False)
    c.poly([tip, base + side * width * 1.35, base - side * width * 1.35], ink)


def walker(c: Plane, x: float, y: float, s: float, ink: Colour) -> None:
    """A walking person."""
    f = c.place(x, y, s)
    f.oval(0.02, -0.42, 0.09, fill=ink)
    f.line([(0.0, -0.28), (0.0, 0.08)], ink, 0.16)
    f.line([(0.0, 0.05), (0.2, 0.28), (0.22, 0.5)], ink, 0.09)
    f.line([(0.0, 0.05), (-0.1, 0.3), (-0.25, 0.48)], ink, 0.09)
    f.line([(0.0, -0.25), (0.22, -0.02)], ink, 0.07)
    f.line([(0.0, -0.25), (-0.2, 0.02)], ink, 0.07)


def caution(c: Plane, ink: Colour) -> None:
    """An exclamation mark."""
    c.poly([(-0.1, -0.5), (0.1, -0.5), (0.05, 0.18), (-0.05, 0.18)], ink)
    c.oval(0, 0.36, 0.1, fill=ink)


def crossing(c: Plane, ink: Colour) -> None:
    """Priority at the next crossing: a thick upright arrow with a thin bar."""
    c.poly([(-0.1, 0.5), (-0.1, -0.2), (-0.2, -0.2), (0, -0.5), (0.2, -0.2), (0.1, -0.2),
            (0.1, 0.5)], ink)  # fmt: skip
    c.line([(-0.35, 0.12), (0.35, 0.12)], ink, 0.11, caps=False)


def curve_left(c: Plane, ink: Colour) -> None:
    """One bend to the left."""
    path = [(0.12, 0.5), (0.14, 0.2), (0.05, -0.02), (-0.15, -0.12), (-0.38, -0.18)]
    arrow(c, path, ink, 0.16)


def double_curve(c: Plane, ink: Colour) -> None:
    """Two bends."""
    c.line([(0.1, 0.5), (0.1, 0.28), (-0.14, 0.08), (0.14, -0.16)], ink, 0.15, caps=False)
    arrow(c, [(0.14, -0.14), (-0.02, -0.3), (-0.04, -0.48)], ink, 0.14)


def bumps(c: Plane, ink: Colour) -> None:
    """Two humps."""
    left = arc_points(-0.24, 0.3, 0.25, 0.38, 180, 360, 14)
    right = arc_points(0.24, 0.3, 0.25, 0.38, 180, 360, 14)
    c.poly(np.concatenate([[(-0.55, 0.45)], left, right, [(0.55, 0.45)]]), ink)


def slippery(c: Plane, ink: Colour) -> None:
    """A sliding car with winding tracks."""
    tilted = c.place(0.0, -0.22, 0.7, 0.7, 14)
    car(tilted, 0, 0, 0.85, ink)
    for dx in (-0.18, 0.18):
        y = np.linspace(0.08, 0.5, 12)
        c.line(np.stack([dx + 0.09 * np.sin((y - 0.08) * 15), y], 1), ink, 0.07, caps=False)


def narrows(c: Plane, ink: Colour) -> None:
    """The road narrows on the right."""
    c.line([(-0.18, 0.5), (-0.18, -0.45)], ink, 0.13, caps=False)
    c.line([(0.26, 0.5), (0.26, 0.2), (0.06, -0.1), (0.06, -0.45)], ink, 0.13, caps=False)


def works(c: Plane, ink: Colour) -> None:
    """A person digging, and a heap."""
    c.oval(-0.02, -0.42, 0.09, fill=ink)
    c.line([(-0.04, -0.28), (-0.2, 0.02)], ink, 0.17)
    c.line([(-0.2, 0.05), (-0.08, 0.25), (-0.12, 0.5)], ink, 0.1)
    c.line([(-0.2, 0.05), (-0.32, 0.25), (-0.42, 0.5)], ink, 0.1)
    c.line([(0.0, -0.24), (0.12, -0.02), (-0.05, 0.05)], ink, 0.08)
    c.line([(-0.1, -0.02), (0.3, 0.3)], ink, 0.05)
    c.poly([(0.08, 0.5), (0.32, 0.14), (0.58, 0.5)], ink)


def lights(c: Plane, ink: Colour) -> None:
    """Traffic lights."""
    c.rect(-0.18, -0.5, 0.18, 0.5, (15, 15, 15))
    for k, colour in enumerate(((235, 30, 30), (250, 200, 30), (40, 190, 70))):
        c.oval(0, -0.31 + 0.31 * k, 0.125, fill=colour)


def pedestrian(c: Plane, ink: Colour) -> None:
    """A person on a crossing."""
    walker(c, 0.0, -0.06, 0.95, ink)
    for x in (-0.45, -0.15, 0.15, 0.45):
        c.line([(x * 0.9, 0.4), (x * 1.1, 0.54)], ink, 0.07, caps=False)


def children(c: Plane, ink: Colour) -> None:
    """Two children, running."""
    walker(c.place(-0.24, -0.02, 0.95, 0.95, 10), 0, 0, 1.0, ink)
    walker(c.place(0.28, 0.14, 0.75, 0.75, 14), 0, 0, 1.0, ink)


def bicycle(c: Plane, ink: Colour) -> None:
    """A bicycle."""
    for x in (-0.34, 0.34):
        c.ring(x, 0.15, 0.22, 0.22, ink, 0.07)
    c.line([(-0.34, 0.15), (-0.12, -0.2), (0.22, -0.2), (0.02, 0.15), (-0.34, 0.15)], ink, 0.06)
    c.line([(0.34, 0.15), (0.18, -0.36), (0.32, -0.36)], ink, 0.06)
    c.line([(-0.22, -0.3), (-0.04, -0.3)], ink, 0.07)
    c.line([(-0.12, -0.2), (0.02, 0.15)], ink, 0.06)


def snow(c: Plane, ink: Colour) -> None:
    """A snow crystal."""
    for a in (0.0, 60.0, 120.0):
        f = c.place(0, 0.05, 1.0, 1.0, a)
        f.line([(0, -0.48), (0, 0.48)], ink, 0.085)
        for s in (-1, 1):
            f.line([(-0.15, s * 0.44), (0, s * 0.26), (0.15, s * 0.44)], ink, 0.07)


def deer(c: Plane, ink: Colour) -> None:
    """A leaping deer, heading left."""
    f = c.place(0, 0.05, 1.0, 1.0, 14)
    f.oval(0.08, 0.0, 0.34, 0.15, fill=ink)
    f.line([(-0.18, -0.02), (-0.32, -0.28), (-0.48, -0.24)], ink, 0.13)
    f.line([(-0.32, -0.3), (-0.26, -0.5), (-0.38, -0.58)], ink, 0.05)
    f.line([(-0.28, -0.42), (-0.14, -0.52)], ink, 0.05)
    f.line([(-0.14, 0.08), (-0.36, 0.2), (-0.3, 0.36)], ink, 0.07)
    f.line([(-0.06, 0.1), (-0.22, 0.34), (-0.12, 0.46)], ink, 0.07)
    f.line([(0.34, 0.02), (0.46, 0.26), (0.38, 0.48)], ink, 0.08)
    f.line([(0.28, 0.06), (0.3, 0.3), (0.2, 0.46)], ink, 0.07)


def roundabout(c: Plane, ink: Colour) -> None:
    """Three arrows in a circle."""
    for a in (0.0, 120.0, 240.0):
        f = c.place(0, 0, 1, 1, a)
        path = arc_points(0, 0, 0.4, 0.4, 20, 108, 8)
        arrow(f, [(float(x), float(y)) for x, y in path], ink, 0.13)
