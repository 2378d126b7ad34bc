"""Look-alikes of German road signs: plates, digits, arrows and pictograms before a blurred street.

Labels follow the 43 classes of GTSRB.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from recipes.lookalikes import pictograms as p
from recipes.lookalikes.plane import Plane
from semerge.data.rendered import drawing
from semerge.data.rendered.drawing import Colour, Dice, arc_points

WHITE: Colour = (245.0, 245.0, 245.0)
BLACK: Colour = (18.0, 18.0, 18.0)
GREY: Colour = (150.0, 150.0, 150.0)
RED: Colour = (205.0, 25.0, 35.0)
BLUE: Colour = (15.0, 75.0, 170.0)
YELLOW: Colour = (250.0, 190.0, 20.0)

LIMITS = {0: "20", 1: "30", 2: "50", 3: "60", 4: "70", 5: "80", 7: "100", 8: "120"}
DANGERS = {
    11: p.crossing,
    18: p.caution,
    19: p.curve_left,
    20: p.curve_left,
    21: p.double_curve,
    22: p.bumps,
    23: p.slippery,
    24: p.narrows,
    25: p.works,
    26: p.lights,
    27: p.pedestrian,
    28: p.children,
    29: p.bicycle,
    30: p.snow,
    31: p.deer,
}


def _ring(c: Plane) -> None:
    c.oval(0, 0, 1.0, fill=(225, 225, 225))
    c.oval(0, 0, 0.97, fill=RED)
    c.oval(0, 0, 0.73, fill=WHITE)


def _end(c: Plane) -> None:
    c.oval(0, 0, 1.0, fill=(60, 60, 60))
    c.oval(0, 0, 0.95, fill=WHITE)


def _bars(c: Plane) -> None:
    """The diagonal bars of the signs that end a rule."""
    f = c.place(0, 0, 1, 1, -45)
    for k in (-2, -1, 0, 1, 2):
        f.line([(-0.9, k * 0.1), (0.9, k * 0.1)], (50, 50, 50), 0.055, caps=False)


def _rounded(points: list[tuple[float, float]], cut: float) -> np.ndarray:
    """A polygon with its corners cut off."""
    q = np.asarray(points, dtype=np.float64)
    out = []
    for k in range(len(q)):
        before, here, after = q[k - 1], q[k], q[(k + 1) % len(q)]
        out += [here + (before - here) * cut, here + (before + after - 2 * here) * cut * 0.25,
                here + (after - here) * cut]  # fmt: skip
    return np.array(out)


def _triangle(c: Plane, up: bool) -> None:
    s = 1.0 if up else -1.0
    outer = [(0.0, -s * 1.0), (1.08, s * 0.86), (-1.08, s * 0.86)]
    c.poly(_rounded(outer, 0.07), RED)
    inner = [(x * 0.66, y * 0.66 + s * 0.09) for x, y in outer]
    c.poly(_rounded(inner, 0.04), WHITE)


def _blue(c: Plane) -> None:
    c.oval(0, 0, 1.0, fill=(235, 235, 235))
    c.oval(0, 0, 0.95, fill=BLUE)


def _digits(c: Plane, text: str, ink: Colour) -> None:
    narrow = 0.62 if len(text) == 3 else 0.9
    f = c.place(0, 0, narrow, 1.0)
    for dx in (-0.025, 0.025):  # drawn twice: bold
        f.text(dx, 0, text, ink, 0.62)


def plate(c: Plane, label: int) -> None:
    """The sign `label` in a frame whose unit is the sign's radius."""
    if label in LIMITS:
        _ring(c)
        _digits(c, LIMITS[label], BLACK)
    elif label == 6:
        _end(c)
        _digits(c, "80", GREY)
        _bars(c)
    elif label in (9, 10, 41, 42):
        over, second = label in (9, 41), label > 40
        (_end if second else _ring)(c)
        left: Colour = GREY if second else RED
        right: Colour = (120, 120, 120) if second else BLACK
        if over:
            p.car(c, -0.32, 0.02, 0.56, left)
        else:
            p.truck(c, -0.26, 0.0, 0.66, left, WHITE)
        p.car(c, 0.34, 0.06, 0.5, right)
        if second:
            _bars(c)
    elif label in DANGERS:
        _triangle(c, up=True)
        mirrored = c.place(0, 0.26, -0.78 if label == 20 else 0.78, 0.78)
        DANGERS[label](mirrored, BLACK)
    elif label == 12:
        c.poly(_rounded([(0, -1.05), (1.05, 0), (0, 1.05), (-1.05, 0)], 0.06), WHITE)
        c.poly(_rounded([(0, -0.7), (0.7, 0), (0, 0.7), (-0.7, 0)], 0.04), YELLOW)
    elif label == 13:
        _triangle(c, up=False)
    elif label == 14:
        eight = arc_points(0, 0, 1.05, 1.05, 22.5, 382.5, 9)[:-1]
        c.poly(eight, WHITE)
        c.poly(eight * 0.93, RED)
        f = c.place(0, 0, 0.8, 1.0)
        for dx in (-0.02, 0.02):
            f.text(dx, 0, "STOP", WHITE, 0.58)
    elif label == 15:
        _ring(c)
    elif label == 16:
        _ring(c)
        p.truck(c, 0, 0, 0.95, BLACK, WHITE)
    elif label == 17:
        c.oval(0, 0, 1.0, fill=WHITE)
        c.oval(0, 0, 0.96, fill=RED)
        c.rect(-0.7, -0.17, 0.7, 0.17, WHITE)
    elif label == 32:
        _end(c)
        _bars(c)
    else:
        _blue(c)
        _arrows(c, label)


def _arrows(c: Plane, label: int) -> None:
    """White arrows of the mandatory signs 33 to 40."""
    w = 0.21
    left_handed = label in (34, 37, 39)
    f = c.place(0, 0, -1.0 if left_handed else 1.0, 1.0)
    if label in (33, 34):
        bent = [(-0.25, 0.6), (-0.25, 0.05), (-0.1, -0.2), (0.1, -0.24), (0.5, -0.24)]
        p.arrow(f, bent, WHITE, w)
    elif label == 35:
        p.arrow(f, [(0, 0.65), (0, -0.6)], WHITE, w)
    elif label in (36, 37):
        p.arrow(f, [(-0.22, 0.65), (-0.22, -0.58)], WHITE, w * 0.9)
        p.arrow(f, [(-0.22, 0.6), (-0.2, 0.2), (0.0, 0.05), (0.55, 0.05)], WHITE, w * 0.9)
    elif label in (38, 39):
        p.arrow(f, [(-0.48, -0.48), (0.45, 0.45)], WHITE, w)
    else:
        p.roundabout(c.place(0, 0, 1.25), WHITE)


def _street(dice: Dice, size: int) -> Plane:
    """A blurred street: sky, houses, trees."""
    sky = dice.pick(
        ((190, 205, 225), (225, 228, 230), (120, 130, 140), (90, 100, 80), (60, 65, 70))
    )
    canvas = Plane(size, sky)
    for _ in range(dice.i(3, 9)):
        x, y = dice.u(-0.1, 1.1), dice.u(0.0, 1.2)
        colour = dice.pick(((50, 70, 40), (90, 80, 60), (150, 130, 110), (40, 45, 50),
                            (200, 195, 185), (120, 60, 45), (70, 90, 60)))  # fmt: skip
        if dice.p(0.6):
            canvas.oval(x, y, dice.u(0.08, 0.35), dice.u(0.08, 0.35), colour)
        else:
            w, h = dice.u(0.05, 0.3), dice.u(0.1, 0.5)
            canvas.rect(x - w, y - h, x + w, y + h, colour)
    canvas.image = drawing.blurred(canvas.image, dice.u(0.02, 0.06))
    return canvas.redraw()


def draw(dice: Dice, label: int, size: int, clean: bool) -> Image.Image:
    """One road sign of class `label`."""
    canvas = _street(dice, size)
    if dice.p(0.5):
        canvas.line([(0.5, 0.5), (0.5 + dice.n(0.03), 1.1)], (110, 110, 110), dice.u(0.03, 0.06))
    radius = dice.u(0.36, 0.42) if clean else dice.u(0.25, 0.46)
    x, y = 0.5 + dice.n(0.02), 0.5 + dice.n(0.02)
    if clean:
        frame = canvas.place(x, y, radius, radius, dice.n(1.5))
    else:
        frame = canvas.place(x, y, radius * dice.u(0.85, 1.02), radius, dice.n(4), dice.n(0.05))
    plate(frame, label)
    image = canvas.reduced()
    if clean:
        return image
    image = drawing.blurred(image, dice.u(0.008, 0.03) if dice.p(0.75) else dice.u(0.03, 0.045))
    values = drawing.lit(drawing.pixels(image), dice, dice.u(0, 0.3))
    gain = dice.u(0.12, 0.5) if dice.p(0.45) else dice.u(0.5, 1.25)
    tint = np.array([dice.u(0.9, 1.1), dice.u(0.93, 1.05), dice.u(0.9, 1.15)])
    values = (drawing.graded(values, dice.u(0.6, 1.1), 0.0) * gain) * tint
    values = drawing.noisy(values, dice, dice.u(0.5, 6.0), 0.4)
    return drawing.picture(values)
