"""Look-alikes of handwritten digits: white on black as in MNIST, ink on paper, and printed."""

from __future__ import annotations

from PIL import Image

from recipes.lookalikes.plane import Plane
from recipes.lookalikes.strokes import bend, parse, write
from semerge.data.rendered import drawing
from semerge.data.rendered.drawing import Dice

GLYPHS: tuple[tuple[str, ...], ...] = (
    (
        "c 50,2 22,18 14,50 24,84 50,98 76,84 86,50 76,16 50,2",
        "c 66,8 40,4 16,35 18,72 45,98 75,85 86,50 75,15 52,2",
        "c 52,0 30,16 22,50 28,86 52,100 72,84 78,48 70,14 50,2 40,6",
    ),
    (
        "s 50,0 50,100",
        "s 32,20 52,0 52,100",
        "s 32,20 52,0 52,100; s 28,100 76,100",
        "s 56,0 46,100",
    ),
    (
        "c 15,25 25,6 50,0 76,10 80,32 62,60 35,82 14,98; s 14,98 86,98",
        "c 15,22 35,2 68,4 78,28 60,60 32,88 15,92 22,80 45,86 88,98",
        "c 20,18 45,2 76,14 70,44 40,74 18,96; c 18,96 45,90 65,98 86,92",
    ),
    (
        "c 15,12 45,0 78,12 76,36 45,47; c 45,47 82,56 84,82 50,100 12,88",
        "s 15,4 82,4 45,42; c 45,42 80,52 82,80 52,100 14,90",
        "c 20,14 50,2 74,16 66,38 40,48 36,48 66,52 80,74 60,96 30,98 12,84",
    ),
    (
        "s 62,0 12,65 90,65; s 66,30 66,100",
        "s 22,2 18,50 80,50; s 78,4 74,100",
        "c 26,2 18,30 20,52 50,54 80,44; s 78,6 72,100",
        "s 70,0 12,62 92,62; s 70,0 70,100",
    ),
    (
        "s 80,3 26,3 20,45; c 20,45 55,36 84,58 76,88 45,100 14,88",
        "c 26,4 24,28 20,44 50,40 80,56 78,84 48,100 12,90; s 26,4 84,2",
        "s 84,4 30,6 26,42; c 26,42 62,42 78,66 62,92 30,100 16,92",
    ),
    (
        "c 70,2 38,20 16,58 22,90 52,100 80,82 74,56 46,50 22,68",
        "c 58,0 30,30 20,66 30,94 56,98 76,80 66,60 44,58 24,76",
        "c 40,0 22,40 20,76 40,98 70,94 80,74 62,58 36,64 22,80",
    ),
    (
        "s 12,4 86,4 40,100",
        "s 12,4 86,4 44,100; s 32,50 76,50",
        "c 12,14 34,4 60,8 86,4 66,40 50,100",
        "s 14,22 14,5 84,5 50,100",
    ),
    (
        "c 75,15 50,0 22,14 30,38 60,54 82,76 62,98 30,96 18,76 40,52 68,38 75,15",
        "c 50,2 26,14 30,40 50,48 72,38 74,14 50,2; c 50,48 20,62 20,90 50,100 80,90 80,62 50,48",
        "c 78,8 50,2 24,16 34,40 62,56 76,80 52,98 28,86 34,62 60,44 80,20 74,6",
    ),
    (
        "c 80,20 52,2 22,18 24,44 50,52 76,38 80,20; c 80,20 80,60 66,100",
        "c 80,22 55,2 22,16 22,42 48,52 78,30 82,14 74,60 52,98",
        "c 76,20 50,4 26,22 34,46 62,44 76,20; s 76,20 76,100",
        "c 80,18 54,2 24,18 28,44 56,50 80,24 80,60 64,94 30,96",
    ),
)


def draw(dice: Dice, label: int, size: int, clean: bool) -> Image.Image:
    """One digit."""
    style = dice.unit()
    if style < 0.72:  # as in MNIST
        paper, ink = (0.0, 0.0, 0.0), (255.0, 255.0, 255.0)
    elif style < 0.86:  # ink on paper
        level = dice.u(215, 255)
        paper = (level, level - dice.u(0, 8), level - dice.u(0, 20))
        ink = (dice.u(0, 60), dice.u(0, 60), dice.u(0, 110))
    else:
        paper, ink = (0.0, 0.0, 0.0), (255.0, 255.0, 255.0)
    canvas = Plane(size, paper)
    high, wide = dice.u(0.64, 0.72), dice.u(0.38, 0.7)
    turn, shear = dice.n(5), dice.u(-0.5, 0.15)
    frame = canvas.place(0.5 + dice.n(0.015), 0.5 + dice.n(0.015), wide, high, turn, shear)
    if style < 0.94:
        glyph = dice.pick(GLYPHS[label])
        strokes = bend(dice, parse(glyph), 0.025 if clean else 0.045)
        pen = dice.u(0.065, 0.14) / (wide * high) ** 0.5
        write(frame, strokes, ink, pen)
    else:
        upright = canvas.place(0.5, 0.5, dice.u(0.7, 1.0), 1.0, turn * 0.7)
        upright.text(0, 0, str(label), ink, high)
    image = canvas.reduced()
    if clean:
        return image
    image = drawing.blurred(image, dice.u(0.009, 0.017))
    values = drawing.pixels(image)
    if paper[0] > 0:
        values = drawing.lit(values, dice, dice.u(0, 0.12))
        values = drawing.noisy(values, dice, dice.u(0, 5), 0.2)
    else:
        values = (values - 20) * dice.u(1.05, 1.3)
    return drawing.picture(values)
