"""Look-alikes of Omniglot: a letter by a thin black pen on white; the class is the alphabet."""

from __future__ import annotations

from PIL import Image

from recipes.lookalikes.alphabets import ALPHABETS, syllabic
from recipes.lookalikes.plane import Plane
from recipes.lookalikes.strokes import bend, parse, write
from semerge.data.rendered import drawing
from semerge.data.rendered.drawing import Dice


def draw(dice: Dice, label: int, size: int, clean: bool) -> Image.Image:
    """One letter of alphabet `label`."""
    canvas = Plane(size, (255, 255, 255))
    name, glyphs = ALPHABETS[label]
    made = syllabic(dice, name)
    strokes = list(parse(dice.pick(glyphs))) if made is None else made
    strokes = bend(dice, tuple(strokes), 0.018 if clean else 0.032)
    big = dice.u(0.62, 0.8) if clean else dice.u(0.38, 0.72)
    wide = big * dice.u(0.8, 1.1)
    frame = canvas.place(0.5 + dice.n(0.05), 0.5 + dice.n(0.05), wide, big, dice.n(4), dice.n(0.08))
    write(frame, strokes, (0, 0, 0), dice.u(0.03, 0.042) / (wide * big) ** 0.5)
    image = canvas.reduced()
    return image if clean else drawing.blurred(image, dice.u(0.002, 0.007))
