"""Look-alikes of EuroSAT: tiles of land from above, 640 m a side, in muted satellite colours."""

from __future__ import annotations

import numpy as np
from PIL import Image

from recipes.lookalikes.plane import Plane
from recipes.lookalikes.strokes import curve
from semerge.data.rendered import drawing
from semerge.data.rendered.drawing import Colour, Dice, mix

FIELDS = (
    (165, 120, 105),
    (130, 100, 90),
    (185, 150, 130),
    (70, 90, 75),
    (95, 100, 85),
    (120, 130, 110),
)
MEADOWS = ((45, 80, 72), (55, 90, 78), (50, 75, 80), (65, 95, 85))
DRY = ((130, 115, 105), (110, 105, 95), (95, 90, 85), (80, 85, 80))
WOODS = ((35, 62, 68), (38, 60, 75), (30, 68, 58), (42, 58, 80))
WATER = ((38, 62, 95), (30, 50, 85), (60, 100, 110), (35, 75, 95))


def _vary(dice: Dice, colour: Colour, amount: float) -> Colour:
    shift = dice.n(amount)
    return tuple(c + shift + dice.n(amount / 3) for c in colour)


def _parcels(
    canvas: Plane, dice: Dice, colours: tuple, rows: tuple[int, int], spread: float, hedge: float
) -> None:
    """Strips of fields, cut at random places, in one frame turned at random."""
    frame = canvas.place(0.5, 0.5, 1, 1, dice.u(0, 180))
    y = -0.8
    while y < 0.8:
        h = 1.6 / dice.i(*rows)
        x = -0.8 - dice.unit() * 0.3
        tilt = dice.n(0.02)
        while x < 0.8:
            w = h * dice.u(0.5, 2.5)
            colour = _vary(dice, dice.pick(colours), spread)
            corners = [(x, y - tilt), (x + w, y + tilt), (x + w, y + h + tilt), (x, y + h - tilt)]
            frame.poly(corners, colour)
            if dice.p(hedge):
                frame.line(corners[:2], mix(colour, (30, 50, 50), 0.6), 0.012, caps=False)
            x += w
        y += h


def _way(dice: Dice, bend: float) -> np.ndarray:
    """A winding line across the tile: points (n, 2)."""
    a = dice.u(0, 6.3)
    along, side = np.array([np.cos(a), np.sin(a)]), np.array([-np.sin(a), np.cos(a)])
    offset = dice.n(0.12)
    points = [
        0.5 + along * t + side * (offset + dice.n(bend)) for t in (-0.9, -0.5, -0.2, 0.1, 0.4, 0.9)
    ]
    return curve(np.array(points), 10)


def _houses(canvas: Plane, dice: Dice, cells: int, big: bool) -> None:
    """Blocks of roofs along a grid of streets."""
    frame = canvas.place(0.5, 0.5, 1, 1, dice.u(0, 90), dice.n(0.1))
    street = (125, 122, 125) if big else (115, 112, 108)
    step = 1.5 / cells
    block = dice.i(2, 4)
    for r in range(cells):
        for c in range(cells):
            x, y = -0.75 + c * step, -0.75 + r * step
            if not big and (r % block == 0 or dice.p(0.12)):
                continue
            if dice.p(0.2):
                continue
            if big:
                roof = dice.pick(
                    (
                        (215, 215, 220),
                        (170, 175, 185),
                        (140, 145, 160),
                        (190, 180, 170),
                        (90, 95, 105),
                    )
                )
                w, h = step * dice.u(0.4, 0.95), step * dice.u(0.3, 0.95)
            else:
                roof = dice.pick(
                    (
                        (185, 135, 120),
                        (160, 120, 110),
                        (175, 165, 160),
                        (140, 130, 130),
                        (205, 180, 165),
                    )
                )
                w, h = step * dice.u(0.45, 0.75), step * dice.u(0.45, 0.75)
            tint = _vary(dice, roof, 12)
            frame.rect(x + 0.012, y + 0.012, x + w + 0.012, y + h + 0.012, (45, 55, 62))
            frame.rect(x, y, x + w, y + h, tint)
            if big and dice.p(0.4):
                frame.rect(x, y, x + w, y + h / 2, mix(tint, (255, 255, 255), 0.25))
    for _ in range(2 if big else 3):
        y = -0.75 + dice.i(0, cells) * step - step * 0.12
        frame.line([(-0.9, y), (0.9, y)], street, 0.022 if not big else 0.03, caps=False)
        frame.line([(y, -0.9), (y, 0.9)], street, 0.02, caps=False)


def _scrub(canvas: Plane, dice: Dice) -> None:
    for _ in range(dice.i(15, 60)):
        spot = _vary(dice, (60, 75, 65), 10)
        canvas.oval(dice.unit(), dice.unit(), dice.u(0.006, 0.025), dice.u(0.006, 0.02), spot)
    if dice.p(0.5):
        canvas.line(_way(dice, 0.15), (165, 150, 135), 0.012)


def _rows(canvas: Plane, dice: Dice) -> None:
    """Orchards and vineyards: parcels with rows of dark spots."""
    for _ in range(dice.i(3, 6)):
        f = canvas.place(dice.unit(), dice.unit(), 1, 1, dice.u(0, 180))
        w, h = dice.u(0.12, 0.28), dice.u(0.12, 0.28)
        f.rect(-w, -h, w, h, _vary(dice, (165, 135, 115), 14))
        step = dice.u(0.028, 0.045)
        y = -h + step / 2
        while y < h:
            f.line([(-w, y), (w, y)], _vary(dice, (95, 100, 80), 8), step * 0.42, caps=False)
            y += step


def ground(dice: Dice, label: int, size: int) -> tuple[Plane, float]:
    """The drawn tile and the strength of its fine texture."""
    if label == 9:
        return Plane(size, _vary(dice, dice.pick(WATER), 8)), 2.0
    if label == 1:
        return Plane(size, _vary(dice, dice.pick(WOODS), 6)), 7.0
    canvas = Plane(size, _vary(dice, dice.pick(DRY), 8))
    if label == 0:
        _parcels(canvas, dice, FIELDS, (3, 6), 12, 0.3)
        return canvas, 4.0
    if label == 2:
        canvas.rect(0, 0, 1, 1, _vary(dice, dice.pick(DRY), 14))
        _scrub(canvas, dice)
        return canvas, 12.0
    if label == 3:
        _parcels(canvas, dice, FIELDS + MEADOWS if dice.p(0.6) else WOODS + MEADOWS, (3, 6), 9, 0.4)
        road = _way(dice, 0.05)
        pale = _vary(dice, (165, 165, 172), 15)
        canvas.line(road, mix(pale, (60, 70, 70), 0.6), 0.062)
        for shift in (-0.013, 0.013):
            canvas.line(road + shift, pale, dice.u(0.014, 0.024))
        if dice.p(0.6):
            canvas.line(_way(dice, 0.08), pale, 0.02)
        return canvas, 6.0
    if label == 4:
        canvas.rect(0, 0, 1, 1, _vary(dice, (100, 108, 112), 10))
        _houses(canvas, dice, dice.i(4, 7), big=True)
        return canvas, 8.0
    if label == 5:
        _parcels(canvas, dice, MEADOWS, (2, 4), 5, 0.5)
        for _ in range(dice.i(0, 8)):
            canvas.oval(dice.unit(), dice.unit(), dice.u(0.01, 0.03), fill=(32, 58, 58))
        return canvas, 4.0
    if label == 6:
        _parcels(canvas, dice, ((165, 130, 110), (140, 120, 100), (120, 115, 95)), (4, 7), 10, 0.3)
        _rows(canvas, dice)
        return canvas, 9.0
    if label == 7:
        canvas.rect(0, 0, 1, 1, _vary(dice, (90, 100, 90), 8))
        _houses(canvas, dice, dice.i(12, 18), big=False)
        return canvas, 9.0
    _parcels(canvas, dice, FIELDS + MEADOWS + WOODS, (3, 5), 8, 0.3)
    bed, water = _way(dice, 0.12), _vary(dice, dice.pick(WATER), 8)
    width = dice.u(0.09, 0.24)
    canvas.line(bed, (45, 68, 62), width + 0.05)
    canvas.line(bed, water, width)
    return canvas, 4.0


def draw(dice: Dice, label: int, size: int, clean: bool) -> Image.Image:
    """One tile of class `label`."""
    canvas, rough = ground(dice, label, size)
    image = drawing.blurred(canvas.reduced(), 0.004 if clean else dice.u(0.007, 0.012))
    values = drawing.pixels(image)
    fine = drawing.enlarge(dice.normal(64, 64), size) * rough * dice.u(0.5, 1.0)
    broad = drawing.cloud(dice, 3, size, 4) * rough * dice.u(0.6, 1.6)
    values = values + (fine + broad)[:, :, None]
    if not clean:  # haze and exposure differ between scenes
        haze = dice.u(0.0, 0.35)
        values = values * (1 - haze) + haze * np.array([75.0, 92.0, 105.0])
        values = values * dice.u(0.75, 1.2)
    return drawing.picture(values)
