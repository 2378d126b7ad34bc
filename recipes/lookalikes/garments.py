"""Look-alikes of Fashion-MNIST: grey garments on black, filling the height or the width."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image

from recipes.lookalikes.plane import Plane
from recipes.lookalikes.strokes import curve
from semerge.data.rendered import drawing
from semerge.data.rendered.drawing import Colour, Dice

Mirror = list[tuple[float, float]]


def _grey(level: float) -> Colour:
    return (level, level, level)


def _both(half: Mirror) -> np.ndarray:
    """The outline from its right half (top to bottom), mirrored about x = 0.5."""
    right = np.array(half)
    left = right[::-1] * [-1, 1] + [1, 0]
    return np.concatenate([right, left])


def _top(c: Plane, d: Dice, g: float, kind: str) -> None:
    """T-shirt, pullover, coat, shirt or dress: a body with sleeves."""
    shoulder, neck = d.u(0.17, 0.24), d.u(0.07, 0.12)
    waist = d.u(0.15, 0.21)
    hem = d.u(0.93, 0.98)
    flare = waist + d.n(0.015)
    if kind == "dress":
        shoulder, waist = d.u(0.1, 0.16), d.u(0.07, 0.11)
        flare = d.u(0.13, 0.3)
    body = [(0.5 + neck, 0.04), (0.5 + shoulder, 0.09), (0.5 + shoulder * 0.92, 0.3)]
    body += [(0.5 + waist, 0.5), (0.5 + flare, hem)]
    long = kind in ("pullover", "coat") or (kind == "shirt" and d.p(0.6))
    none = (kind == "dress" and d.p(0.6)) or (kind == "shirt" and d.p(0.15))
    if not none:
        reach = d.u(0.78, 0.93) if long else d.u(0.26, 0.42)
        out = shoulder + (d.u(0.1, 0.18) if long else d.u(0.1, 0.2))
        wide = d.u(0.07, 0.1) if long else d.u(0.09, 0.14)
        for s in (-1, 1):
            sleeve = [(0.5 + s * shoulder * 0.85, 0.06), (0.5 + s * shoulder, 0.09)]
            sleeve += [(0.5 + s * out, reach), (0.5 + s * (out - wide), reach + 0.02)]
            sleeve += [(0.5 + s * shoulder * 0.8, 0.33)]
            c.poly(sleeve, _grey(g * 0.88))
            c.line([sleeve[4], sleeve[3]], _grey(g * 0.6), 0.008)
            if long and d.p(0.5):
                c.line([sleeve[2], sleeve[3]], _grey(g * 0.65), 0.02)
    c.poly(_both(body), _grey(g))
    _pattern(c, d, g, waist)
    depth = d.u(0.03, 0.1)
    c.poly(curve(np.array([(0.5 - neck, 0.035), (0.5, 0.04 + depth), (0.5 + neck, 0.035)])), _grey(
        0 if kind in ("tee", "dress") else g * 0.45))  # fmt: skip
    if kind == "coat":
        c.line([(0.5, 0.08), (0.5 + d.n(0.01), hem)], _grey(g * 0.35), 0.014)
        for s in (-1, 1):
            c.poly([(0.5 + s * neck, 0.03), (0.5 + s * 0.01, 0.3), (0.5 + s * (neck + 0.03), 0.18)],
                   _grey(g * 0.72))  # fmt: skip
            c.line([(0.5 + s * 0.08, 0.66), (0.5 + s * 0.14, 0.62)], _grey(g * 0.5), 0.012)
        for k in range(d.i(0, 5)):
            c.oval(0.53, 0.36 + k * 0.11, 0.01, fill=_grey(g * 0.4))
    if kind == "shirt":
        c.line([(0.5, 0.1), (0.5, hem)], _grey(g * 0.7), 0.01)
        for k in range(7):
            c.oval(0.5, 0.16 + k * 0.11, 0.009, fill=_grey(g * 0.5))
        for s in (-1, 1):
            c.poly(
                [(0.5 + s * neck, 0.03), (0.5, 0.1), (0.5 + s * 0.05, 0.16)],
                _grey(min(255, g * 1.12)),
            )
    if kind == "pullover":
        c.line([(0.5 - flare, hem - 0.05), (0.5 + flare, hem - 0.05)], _grey(g * 0.75), 0.01)
        c.line(curve(np.array([(0.5 - neck, 0.04), (0.5, 0.06 + depth), (0.5 + neck, 0.04)])),
               _grey(g * 0.75), 0.02)  # fmt: skip


def _pattern(c: Plane, d: Dice, g: float, waist: float) -> None:
    """Nothing, stripes, a print or folds on the body."""
    kind = d.i(0, 5)
    tone = _grey(np.clip(g + d.pick((-1, 1)) * d.u(30, 80), 10, 255))
    if kind == 0:
        for k in range(d.i(3, 8)):
            y = 0.2 + k * 0.09
            c.line([(0.5 - waist, y), (0.5 + waist, y)], tone, d.u(0.01, 0.04), caps=False)
    elif kind == 1:
        for _ in range(d.i(3, 10)):
            c.oval(0.5 + d.n(0.06), 0.38 + d.n(0.07), d.u(0.015, 0.05), d.u(0.015, 0.04), tone)
    elif kind in (2, 3):
        for _ in range(4):
            x = 0.5 + d.u(-1, 1) * waist * 0.8
            c.line([(x, d.u(0.3, 0.5)), (x + d.n(0.03), d.u(0.7, 0.92))], _grey(g * 0.85), 0.015)


def trouser(c: Plane, d: Dice, g: float) -> None:
    """Two legs."""
    hip, foot, gap = d.u(0.12, 0.18), d.u(0.06, 0.1), d.u(0.01, 0.05)
    spread = d.u(0.0, 0.06)
    for s in (-1, 1):
        leg = [(0.5, 0.03), (0.5 + s * hip * 0.85, 0.03), (0.5 + s * hip, 0.2)]
        leg += [(0.5 + s * (gap + 2 * foot * 0.8 + spread), 0.97), (0.5 + s * (gap + spread), 0.97)]
        leg += [(0.5, 0.3)]
        c.poly(leg, _grey(g))
        if d.p(0.5):
            x = 0.5 + s * (hip / 2)
            c.line([(x, 0.2), (0.5 + s * (gap + foot + spread), 0.95)], _grey(g * 0.8), 0.012)
    c.line([(0.5 - hip * 0.85, 0.06), (0.5 + hip * 0.85, 0.06)], _grey(g * 0.7), 0.02)
    c.line([(0.5, 0.05), (0.5, 0.3)], _grey(g * 0.6), 0.012)


def _shoe(c: Plane, d: Dice, g: float, kind: str) -> None:
    """Sandal, sneaker or ankle boot, the toe at the left, the sole at the bottom."""
    base = {"sandal": 0.68, "sneaker": 0.68, "boot": 0.92}[kind]
    top = base - d.u(0.26, 0.36) if kind != "boot" else d.u(0.08, 0.25)
    heel = (
        d.u(0.1, 0.22) if (kind == "boot" and d.p(0.35)) or (kind == "sandal" and d.p(0.4)) else 0
    )
    sole = _grey(g * d.u(0.5, 0.75) if d.p(0.5) else min(255, g * 1.25))
    if kind == "sandal":
        rise = heel * 1.2
        rim = [(0.04, base - 0.03), (0.3, base - 0.03), (0.62, base - 0.06 - rise / 2)]
        line = curve(np.array([*rim, (0.95, base - 0.06 - rise)]))
        c.line(line, _grey(g), d.u(0.045, 0.07))
        c.line(line + np.array([0, 0.035]), sole, 0.03)
        if heel:
            c.poly([(0.84, base - rise), (0.96, base - rise), (0.93, base + 0.03),
                    (0.87, base + 0.03)], sole)  # fmt: skip
        for k in range(d.i(2, 5)):
            x = 0.16 + k * 0.13
            loop = [
                (x, base - 0.04),
                (x + 0.06, base - d.u(0.12, 0.22) - rise / 3),
                (x + 0.16, base - 0.05),
            ]
            c.line(curve(np.array(loop)), _grey(g * d.u(0.7, 1.0)), d.u(0.02, 0.045))
        if d.p(0.7):
            back = [(0.72, base - 0.06 - rise * 0.6), (0.82, top), (0.94, base - 0.08 - rise)]
            c.line(curve(np.array(back)), _grey(g * 0.9), 0.03)
        return
    shaft = d.u(0.5, 0.62) if kind == "sneaker" else d.u(0.45, 0.56)
    upper = [(0.03, base - 0.03), (0.05, base - 0.14), (0.2, base - 0.2), (0.36, base - 0.26)]
    upper += [(shaft, top), (0.9, top - 0.01), (0.93, base - 0.3), (0.97, base - 0.1 - heel * 0.3)]
    upper += [(0.96, base - 0.02)]
    c.poly(curve(np.array(upper)), _grey(g))
    if heel:
        c.poly([(0.76, base - 0.05), (0.96, base - 0.05), (0.94, base + heel * 0.3),
                (0.84, base + heel * 0.3)], sole)  # fmt: skip
    c.line([(0.05, base), (0.95, base)], sole, d.u(0.04, 0.07))
    for k in range(d.i(2, 5)):
        x = 0.3 + k * 0.06
        y = base - 0.22 - k * 0.03 if kind == "sneaker" else base - 0.26 - k * 0.1
        x = x if kind == "sneaker" else shaft - 0.06 + 0.01 * k
        c.line([(x, y), (x + 0.09, y + 0.04)], _grey(g * 0.6 if g > 120 else g * 1.6), 0.014)
    if kind == "sneaker" and d.p(0.7):
        swoosh = [(0.4, base - 0.08), (0.62, base - 0.1), (0.86, base - 0.26)]
        c.line(curve(np.array(swoosh)), _grey(g * 0.55 if g > 120 else g * 1.8), d.u(0.02, 0.045))
    if kind == "boot" and d.p(0.5):
        c.line([(shaft, top + 0.03), (0.9, top + 0.03)], _grey(g * 0.65), 0.03)
        c.line([(0.72, top + 0.05), (0.74, base - 0.08)], _grey(g * 0.75), 0.014)


def bag(c: Plane, d: Dice, g: float) -> None:
    """A bag with a handle or a strap."""
    top, low = d.u(0.34, 0.5), d.u(0.82, 0.95)
    wide, narrow = d.u(0.38, 0.46), d.u(-0.06, 0.08)
    if d.p(0.85):
        reach = d.u(0.05, 0.2)
        half = d.u(0.14, 0.3)
        loop = [(0.5 - half, top + 0.04), (0.5 - half * 0.8, reach + 0.08), (0.5, reach)]
        loop += [(0.5 + half * 0.8, reach + 0.08), (0.5 + half, top + 0.04)]
        c.line(curve(np.array(loop)), _grey(g * 0.8), d.u(0.02, 0.05))
    c.poly(
        _both([(0.5 + wide - narrow, top), (0.5 + wide, low - 0.03), (0.5 + wide - 0.04, low)]),
        _grey(g),
    )
    kind = d.i(0, 2)
    if kind == 0:
        c.poly(
            _both([(0.5 + wide - narrow, top), (0.5 + wide - 0.08, top + (low - top) * 0.5)]),
            _grey(g * 0.82),
        )
        c.rect(
            0.47, top + (low - top) * 0.42, 0.53, top + (low - top) * 0.56, _grey(min(255, g * 1.4))
        )
    elif kind == 1:
        c.line(
            [(0.5 - wide + 0.03, top + 0.07), (0.5 + wide - 0.03, top + 0.07)],
            _grey(g * 0.6),
            0.016,
        )
    else:
        for s in (-1, 1):
            c.line([(0.5 + s * 0.2, top), (0.5 + s * 0.22, low)], _grey(g * 0.7), 0.025)


KINDS: tuple[Callable[[Plane, Dice, float], None], ...] = (
    lambda c, d, g: _top(c, d, g, "tee"),
    trouser,
    lambda c, d, g: _top(c, d, g, "pullover"),
    lambda c, d, g: _top(c, d, g, "dress"),
    lambda c, d, g: _top(c, d, g, "coat"),
    lambda c, d, g: _shoe(c, d, g, "sandal"),
    lambda c, d, g: _top(c, d, g, "shirt"),
    lambda c, d, g: _shoe(c, d, g, "sneaker"),
    bag,
    lambda c, d, g: _shoe(c, d, g, "boot"),
)


def draw(dice: Dice, label: int, size: int, clean: bool) -> Image.Image:
    """One garment of class `label`."""
    canvas = Plane(size)
    level = dice.u(150, 235) if clean else dice.u(60, 245)
    frame = canvas.place(0.5, 0.5, dice.u(0.95, 1.02), dice.u(0.96, 1.0), dice.n(1.0))
    KINDS[label](frame.place(-0.5, -0.5), dice, level)
    values = drawing.pixels(canvas.reduced())
    shade = 1.0 + dice.u(0.03, 0.1) * drawing.cloud(dice, 6, size, 3)
    shade = shade + dice.u(0.0, 0.1) * drawing.smooth_field(dice, 3, size)
    values = values * shade[:, :, None]
    if clean:
        return drawing.picture(values)
    image = drawing.blurred(drawing.picture(values), dice.u(0.007, 0.014))
    values = drawing.pixels(image)
    grain = dice.u(2, 14) * drawing.enlarge(dice.normal(32, 32), size)
    return drawing.picture(values + grain[:, :, None] * (values > 12))
