"""Look-alikes of CIFAR-10: plain drawings of ten things before plausible backgrounds."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image

from recipes.lookalikes import animals
from recipes.lookalikes.plane import Plane
from recipes.lookalikes.strokes import curve
from semerge.data.rendered import drawing
from semerge.data.rendered.drawing import Colour, Dice, mix

GLASS: Colour = (70.0, 90.0, 110.0)
TYRE: Colour = (30.0, 30.0, 32.0)
PAINTS = (
    (190, 30, 35),
    (40, 70, 150),
    (235, 235, 235),
    (35, 38, 42),
    (225, 180, 40),
    (130, 135, 140),
    (40, 110, 70),
)


def _wheel(c: Plane, x: float, y: float, r: float) -> None:
    c.oval(x, y, r, fill=TYRE)
    c.oval(x, y, r * 0.55, fill=(165, 168, 172))


def airplane(c: Plane, d: Dice) -> None:
    """An airliner or a jet from the side or from below."""
    skin = d.pick(((235, 238, 240), (150, 158, 165), (200, 205, 215), (90, 95, 100)))
    trim = d.pick(PAINTS)
    dark = mix(skin, (0, 0, 0), 0.3)
    if d.p(0.3):  # from below
        c.poly(
            [
                (-0.12, -0.05),
                (0.12, -0.48),
                (0.2, -0.46),
                (0.1, 0.0),
                (0.2, 0.46),
                (0.12, 0.48),
                (-0.12, 0.05),
            ],
            dark,
        )
        c.poly(
            [(0.34, 0.0), (0.46, -0.17), (0.5, -0.16), (0.46, 0.0), (0.5, 0.16), (0.46, 0.17)], dark
        )
        c.poly(
            curve(
                np.array(
                    [
                        (-0.5, 0),
                        (-0.4, -0.045),
                        (0.3, -0.045),
                        (0.5, 0),
                        (0.3, 0.045),
                        (-0.4, 0.045),
                        (-0.5, 0),
                    ]
                )
            ),
            skin,
        )
        return
    c.poly([(0.02, -0.03), (0.22, -0.25), (0.3, -0.25), (0.2, -0.02)], dark)
    c.poly([(0.34, -0.05), (0.44, -0.3), (0.52, -0.3), (0.48, -0.02)], trim)
    body = [
        (-0.5, 0.02),
        (-0.44, -0.05),
        (-0.3, -0.085),
        (0.3, -0.075),
        (0.5, -0.03),
        (0.32, 0.05),
        (-0.35, 0.08),
    ]
    c.poly(curve(np.array([*body, body[0]])), skin)
    c.line([(-0.42, 0.03), (0.4, 0.0)], trim, 0.018)
    for k in range(9):
        c.oval(-0.28 + k * 0.065, -0.035, 0.012, fill=GLASS)
    c.poly([(-0.46, -0.035), (-0.4, -0.055), (-0.38, -0.03)], GLASS)
    c.poly([(-0.08, 0.02), (0.12, 0.02), (0.26, 0.27), (0.17, 0.27)], dark)
    c.oval(0.02, 0.13, 0.075, 0.035, mix(skin, (0, 0, 0), 0.5))


def automobile(c: Plane, d: Dice) -> None:
    """A car from the side or from the front."""
    paint = d.pick(PAINTS)
    dark = mix(paint, (0, 0, 0), 0.35)
    if d.p(0.35):
        c.poly([(-0.3, -0.02), (-0.22, -0.26), (0.22, -0.26), (0.3, -0.02)], dark)
        c.poly([(-0.25, -0.03), (-0.19, -0.22), (0.19, -0.22), (0.25, -0.03)], GLASS)
        body = [(-0.4, 0.3), (-0.42, 0.06), (-0.32, -0.04), (0.32, -0.04), (0.42, 0.06), (0.4, 0.3)]
        c.poly(body, paint)
        for s in (-1, 1):
            c.rect(s * 0.34 - 0.06, 0.27, s * 0.34 + 0.06, 0.41, TYRE)
            c.oval(s * 0.31, 0.1, 0.065, 0.045, (250, 245, 210))
        c.rect(-0.2, 0.08, 0.2, 0.16, dark)
        c.rect(-0.1, 0.2, 0.1, 0.26, (235, 235, 225))
        return
    roof = d.u(-0.26, -0.17)
    c.poly(
        curve(np.array([(-0.26, 0.02), (-0.14, roof), (0.16, roof), (0.34, 0.02), (-0.26, 0.02)])),
        dark,
    )
    c.poly([(-0.2, 0.0), (-0.11, roof + 0.04), (0.0, roof + 0.03), (0.0, 0.0)], GLASS)
    c.poly([(0.03, 0.0), (0.03, roof + 0.03), (0.14, roof + 0.05), (0.26, 0.0)], GLASS)
    body = [(-0.48, 0.2), (-0.49, 0.08), (-0.3, 0.0), (0.34, -0.01), (0.47, 0.05), (0.49, 0.2)]
    c.poly(curve(np.array([*body, (0.0, 0.24), body[0]])), paint)
    c.rect(-0.46, 0.14, 0.46, 0.23, paint)
    c.line([(-0.45, 0.2), (0.45, 0.2)], dark, 0.025)
    c.oval(-0.45, 0.08, 0.035, 0.025, (250, 245, 200))
    for x in (-0.28, 0.29):
        _wheel(c, x, 0.22, 0.105)


def truck(c: Plane, d: Dice) -> None:
    """A lorry with a cab and a box, or a tipper."""
    paint, box = (
        d.pick(PAINTS),
        d.pick(((230, 232, 235), (200, 60, 50), (60, 100, 160), (240, 200, 60), (120, 125, 120))),
    )
    if d.p(0.75):
        c.rect(-0.16, -0.32, 0.5, 0.16, box)
        c.rect(-0.16, 0.1, 0.5, 0.16, mix(box, (0, 0, 0), 0.3))
        if d.p(0.5):
            c.rect(-0.05, -0.16, 0.38, -0.04, mix(box, d.pick(PAINTS), 0.7))
    else:
        c.poly([(-0.16, -0.14), (0.5, -0.2), (0.44, 0.16), (-0.12, 0.16)], box)
    c.rect(-0.46, 0.14, 0.5, 0.22, (60, 62, 66))
    c.poly([(-0.48, 0.2), (-0.48, -0.02), (-0.4, -0.22), (-0.2, -0.22), (-0.2, 0.2)], paint)
    c.poly([(-0.45, -0.02), (-0.385, -0.18), (-0.26, -0.18), (-0.26, -0.02)], GLASS)
    c.oval(-0.46, 0.1, 0.03, fill=(250, 245, 200))
    for x in (-0.33, 0.17, 0.37):
        _wheel(c, x, 0.25, 0.095)


def ship(c: Plane, d: Dice) -> None:
    """A steamer, a freighter or a sailing boat on water."""
    hull = d.pick(((40, 50, 70), (160, 40, 40), (235, 235, 235), (30, 32, 36), (90, 110, 90)))
    if d.p(0.35):
        mast = d.u(-0.06, 0.06)
        c.line([(mast, 0.2), (mast, -0.48)], (110, 85, 60), 0.022)
        sail = d.pick(((245, 242, 230), (220, 90, 60), (240, 220, 160)))
        c.poly([(mast + 0.02, -0.46), (mast + 0.34, 0.1), (mast + 0.02, 0.1)], sail)
        c.poly(
            [(mast - 0.02, -0.4), (mast - 0.28, 0.12), (mast - 0.02, 0.12)],
            mix(sail, (0, 0, 0), 0.12),
        )
        c.poly([(-0.36, 0.16), (0.38, 0.16), (0.28, 0.3), (-0.28, 0.3)], hull)
        return
    white = (235, 236, 232)
    c.rect(-0.26, -0.02, 0.3, 0.13, white)
    c.rect(-0.16, -0.13, 0.24, 0.0, mix(white, (0, 0, 0), 0.08))
    for k in range(8):
        c.oval(-0.21 + k * 0.065, 0.06, 0.016, fill=GLASS)
    funnel = d.pick(((200, 50, 40), (50, 55, 60), (230, 180, 50)))
    for k in range(d.i(1, 2)):
        c.rect(-0.04 + k * 0.14, -0.3, 0.05 + k * 0.14, -0.12, funnel)
        c.rect(-0.04 + k * 0.14, -0.3, 0.05 + k * 0.14, -0.25, (30, 30, 30))
    c.line([(-0.22, -0.02), (-0.22, -0.36)], (90, 90, 95), 0.015)
    c.poly([(-0.5, 0.08), (0.47, 0.12), (0.42, 0.3), (-0.38, 0.3)], hull)
    c.line([(-0.44, 0.2), (0.45, 0.22)], mix(hull, (255, 255, 255), 0.6), 0.014)


KINDS: tuple[Callable[[Plane, Dice], None], ...] = (
    airplane,
    automobile,
    animals.bird,
    animals.cat,
    animals.deer,
    animals.dog,
    animals.frog,
    animals.horse,
    ship,
    truck,
)

SKY = ((150, 190, 230), (205, 220, 232), (110, 160, 220), (225, 215, 205), (180, 190, 200))
GREEN = ((90, 130, 60), (120, 140, 70), (70, 105, 55), (150, 145, 90))
ROAD = ((125, 125, 128), (150, 145, 140), (95, 95, 100))
ROOM = (
    (190, 170, 150),
    (150, 120, 100),
    (200, 200, 205),
    (120, 100, 95),
    (170, 60, 60),
    (80, 100, 130),
)
SEA = ((50, 95, 140), (70, 125, 150), (60, 80, 110))


def _backdrop(d: Dice, label: int, size: int) -> Plane:
    """Sky, sea, road, meadow or room, with blurred shapes in it."""
    sky = d.pick(SKY)
    canvas = Plane(size, sky)
    if label == 0:
        for _ in range(d.i(0, 5)):
            canvas.oval(d.unit(), d.unit(), d.u(0.1, 0.3), d.u(0.03, 0.1), (240, 243, 246))
    else:
        horizon = d.u(0.3, 0.6)
        low = {1: ROAD, 9: ROAD, 8: SEA, 3: ROOM, 5: ROOM + GREEN}.get(label, GREEN)
        if label in (3, 5) or (label in (2, 6) and d.p(0.6)):
            canvas.rect(0, 0, 1, 1, d.pick(ROOM if label in (3, 5) else GREEN))
        for _ in range(d.i(2, 6)):
            colour = d.pick(GREEN if label != 8 else ((140, 150, 150), (120, 130, 120)))
            if label in (1, 9) and d.p(0.6):
                colour = d.pick(((150, 120, 105), (175, 165, 155), (110, 105, 110)))
            canvas.oval(
                d.unit(), horizon, d.u(0.1, 0.3), d.u(0.04, 0.25), mix(colour, sky, d.u(0, 0.4))
            )
        ground = d.pick(low)
        top = 0.66 if label == 8 else horizon + 0.1
        canvas.rect(0, top, 1, 1, ground)
        for _ in range(d.i(3, 14)):
            y = d.u(top, 1.0)
            x = d.unit()
            tone = mix(ground, d.pick(((255, 255, 255), (0, 0, 0))), d.u(0.05, 0.25))
            canvas.line([(x - d.u(0.03, 0.2), y), (x + d.u(0.03, 0.2), y)], tone, d.u(0.01, 0.03))
    canvas.image = drawing.blurred(canvas.image, d.u(0.01, 0.035))
    return canvas.redraw()


def draw(dice: Dice, label: int, size: int, clean: bool) -> Image.Image:
    """One drawing of class `label`."""
    canvas = _backdrop(dice, label, size)
    big = dice.u(0.78, 0.9) if clean else dice.u(0.62, 1.05)
    if label == 4:  # room for the antlers
        big *= 0.82
    x, y = 0.5 + dice.n(0.02), 0.5 + dice.n(0.02) + (0.08 if label == 4 else 0.0)
    turn = dice.n(10) if label == 0 else dice.n(2)
    flip = -1.0 if dice.p(0.5) else 1.0
    if not clean and label in (1, 7, 9, 4, 5):  # a shadow on the ground
        canvas.oval(x, y + 0.36 * big, 0.4 * big, 0.05 * big, (70, 72, 66))
    frame = canvas.place(x, y, flip * big, big * dice.u(0.92, 1.08), turn)
    KINDS[label](frame, dice)
    if label == 8:
        canvas.line([(0.0, y + 0.3 * big), (1.0, y + 0.3 * big)], dice.pick(SEA), 0.03, caps=False)
    image = canvas.reduced()
    if clean:
        return image
    image = drawing.blurred(image, dice.u(0.008, 0.016))
    values = drawing.lit(drawing.pixels(image), dice, dice.u(0, 0.35))
    values = values + dice.u(0, 16) * drawing.cloud(dice, 4, size, 4)[:, :, None]
    values = drawing.graded(values, dice.u(0.7, 1.15), dice.n(15))
    return drawing.picture(drawing.noisy(values, dice, dice.u(1, 7), 0.4))
