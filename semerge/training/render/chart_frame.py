"""What all charts share: colours, the plotting area, axes, scribbled labels, the camera."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass

import numpy as np
from PIL import Image

from . import effects
from .canvas import Canvas, Colour, mix
from .dice import Dice


def hue(h: float, s: float, v: float) -> tuple[float, float, float]:
    """HSV in 0..1 to RGB in 0..255."""
    r, g, b = colorsys.hsv_to_rgb(h % 1.0, s, v)
    return r * 255, g * 255, b * 255


@dataclass
class Frame:
    """A canvas with a plotting area (x0, y0)-(x1, y1) and a colour theme."""

    canvas: Canvas
    dice: Dice
    clean: bool
    dark: bool
    paper: Colour
    ink: Colour
    colours: list[tuple[float, float, float]]
    x0: float
    y0: float
    x1: float
    y1: float
    stroke: float

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Chart coordinates (0..1, y upwards) to canvas coordinates."""
        return self.x0 + (self.x1 - self.x0) * x, self.y1 - (self.y1 - self.y0) * y

    def path(self, xs: np.ndarray, ys: np.ndarray) -> np.ndarray:
        """Chart coordinates (n,), (n,) to canvas points (n, 2)."""
        return np.stack([self.x0 + (self.x1 - self.x0) * xs, self.y1 - (self.y1 - self.y0) * ys], 1)

    def box(self, x0: float, y0: float, x1: float, y1: float, fill: Colour) -> None:
        """A filled box in chart coordinates."""
        self.canvas.poly([self.at(x0, y0), self.at(x1, y0), self.at(x1, y1), self.at(x0, y1)], fill)

    def box_edge(
        self, x0: float, y0: float, x1: float, y1: float, fill: Colour, width: float
    ) -> None:
        """A box's outline in chart coordinates."""
        corners = [self.at(x0, y0), self.at(x1, y0), self.at(x1, y1), self.at(x0, y1)]
        self.canvas.line(corners, fill, width, closed=True)


def palette(dice: Dice, dark: bool) -> list[tuple[float, float, float]]:
    """Six series colours: mixed hues, one hue in steps, or greys."""
    start = dice.unit()
    kind = dice.pick(("mixed", "mixed", "near", "one", "grey"))
    low, high = (0.6, 1.0) if dark else (0.35, 0.9)
    colours = []
    for k in range(6):
        v = dice.u(low, high)
        if kind == "mixed":
            colours.append(hue(start + k * 0.381, dice.u(0.35, 0.95), v))
        elif kind == "near":
            colours.append(hue(start + k * 0.07, dice.u(0.3, 0.9), v))
        else:
            level = low + (high - low) * ((k * 0.37 + start) % 1.0)
            colours.append(hue(start, 0.6 if kind == "one" else 0.03, level))
    return colours


def scribble(frame: Frame, x: float, y: float, length: float, height: float) -> None:
    """A label too small to read: a few short strokes, or real digits on a clean picture."""
    dice = frame.dice
    ink = mix(frame.paper, frame.ink, 0.75)
    if frame.clean and length < 0.12:
        frame.canvas.text(x, y, str(dice.i(1, 99)), ink, height * 0.8)
        return
    x0 = x - length / 2
    while x0 < x + length / 2 - 0.01:
        w = dice.u(0.012, 0.05)
        points = [(x0 + w * k / 4, y + (0.5 - dice.unit()) * height) for k in range(5)]
        frame.canvas.line(points, ink, max(0.004, height * 0.22), caps=False)
        x0 += w + dice.u(0.008, 0.02)


def new_frame(dice: Dice, size: int, clean: bool) -> Frame:
    """Choose a theme and margins, and paint the paper."""
    dark = dice.p(0.35)
    tint, level = dice.unit(), dice.unit()
    if dark:
        paper = hue(tint, 0.4 * dice.unit(), 0.05 + 0.2 * level)
        ink = hue(tint, 0.1, 0.75 + 0.25 * dice.unit())
    else:
        paper = hue(tint, 0.12 * dice.unit() ** 2, 0.86 + 0.14 * level)
        ink = hue(tint, 0.3, 0.3 * dice.unit())
    if clean:
        margins = [dice.u(0.1, 0.15) for _ in range(4)]
    else:
        margins = [dice.u(0.03, 0.2) for _ in range(4)]
    canvas = Canvas(size, paper)
    x0, y0, x1, y1 = margins[0], margins[1], 1 - margins[2], 1 - margins[3]
    if not clean and dice.p(0.3):  # a chart that is wide or tall
        cut = dice.u(0.1, 0.25)
        if dice.p(0.6):
            y0, y1 = y0 + cut * dice.unit(), y1 - cut * dice.unit()
        else:
            x0, x1 = x0 + cut * dice.unit(), x1 - cut * dice.unit()
    stroke = dice.u(0.008, 0.02)
    frame = Frame(
        canvas, dice, clean, dark, paper, ink, palette(dice, dark), x0, y0, x1, y1, stroke
    )
    if dice.p(0.2):  # a panel of its own colour
        panel = mix(paper, ink, dice.u(0.04, 0.15))
        canvas.rect(x0, y0, x1, y1, panel)
        frame.paper = panel
    return frame


def axes(frame: Frame, grid: bool = True) -> None:
    """Grid lines, axes, ticks and labels, each only sometimes."""
    dice, canvas = frame.dice, frame.canvas
    thin = dice.u(0.004, 0.01)
    faint = mix(frame.paper, frame.ink, dice.u(0.1, 0.35))
    ticks = dice.i(3, 6)
    if grid and dice.p(0.5):
        both = dice.p(0.5)
        for k in range(1, ticks + 1):
            y = k / ticks
            canvas.line([frame.at(0, y), frame.at(1, y)], faint, thin * 0.7, caps=False)
            if both:
                canvas.line([frame.at(y, 0), frame.at(y, 1)], faint, thin * 0.7, caps=False)
    line = mix(frame.paper, frame.ink, dice.u(0.5, 1.0))
    style = dice.pick(("corner", "corner", "box", "base", "none"))
    if style == "box":
        frame.box_edge(0, 0, 1, 1, line, thin)
    if style in ("corner", "base"):
        canvas.line([frame.at(0, 0), frame.at(1, 0)], line, thin, caps=False)
    if style == "corner":
        canvas.line([frame.at(0, 0), frame.at(0, 1)], line, thin, caps=False)
    if style != "none" and (frame.clean or dice.p(0.5)):
        for k in range(1, ticks):
            x, y = frame.at(k / ticks, 0)
            canvas.line([(x, y), (x, y + 0.018)], line, thin, caps=False)
            if frame.y1 < 0.93:
                scribble(frame, x, y + 0.048, 0.06, 0.03)
            x, y = frame.at(0, k / ticks)
            canvas.line([(x, y), (x - 0.018, y)], line, thin, caps=False)
            if frame.x0 > 0.07:
                scribble(frame, x - 0.052, y, 0.06, 0.03)


def extras(frame: Frame) -> None:
    """A title and a legend, sometimes."""
    dice, canvas = frame.dice, frame.canvas
    if frame.y0 > 0.07 and dice.p(0.45):
        scribble(frame, dice.u(0.35, 0.65), frame.y0 - 0.05, dice.u(0.25, 0.55), 0.045)
    if dice.p(0.2):
        x, y = dice.u(frame.x0, frame.x1 - 0.2), frame.y0 + dice.u(0.01, 0.1)
        for k in range(dice.i(1, 3)):
            canvas.rect(x, y + k * 0.06, x + 0.035, y + k * 0.06 + 0.035, frame.colours[k])
            scribble(frame, x + 0.11, y + k * 0.06 + 0.018, 0.1, 0.03)


def camera(frame: Frame) -> Image.Image:
    """The finished picture: turned, cropped, blurred and noisy unless it is a clean one."""
    dice, canvas = frame.dice, frame.canvas
    if frame.clean:
        return canvas.reduced()
    if dice.p(0.6):
        dice.unit()  # unused; dropping it would change every picture
        canvas.image = effects.turned(
            canvas.image, dice.n(5.0), dice.u(0.85, 1.25), dice.n(0.04), dice.n(0.04)
        )
    image = canvas.reduced()
    if dice.p(0.5):
        image = effects.blurred(image, dice.u(0.003, 0.017))
    values = effects.pixels(image)
    values = effects.graded(values, dice.u(0.45, 1.05), dice.n(18.0))
    if dice.p(0.35):
        values = effects.lit(values, dice, dice.u(0.05, 0.35))
    if dice.p(0.15):
        values = 255.0 - values
    values = effects.noisy(values, dice, dice.u(1.0, 16.0))
    return effects.picture(values)
