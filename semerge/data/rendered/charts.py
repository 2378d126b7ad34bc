"""Charts of eight kinds, with frames, axes and the marks of whoever drew on them."""

from __future__ import annotations

import colorsys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image

from semerge.data.rendered import drawing
from semerge.data.rendered.drawing import Canvas, Colour, Dice, arc_points, mix

# ---- what all charts share -----------------------------------------------------------------------


def hue(h: float, s: float, v: float) -> tuple[float, float, float]:
    """HSV in 0..1 to RGB in 0..255."""
    r, g, b = colorsys.hsv_to_rgb(h % 1.0, s, v)
    return r * 255, g * 255, b * 255


Box = tuple[float, float, float, float]  # x0, y0, x1, y1


@dataclass
class Frame:
    """A canvas with a plotting area (x0, y0)-(x1, y1) and a colour theme."""

    canvas: Canvas
    dice: Dice
    clean: bool
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

    def box(
        self, box: Box, fill: Colour | None, edge: Colour | None = None, pen: float = 0
    ) -> None:
        """A box in chart coordinates, filled, outlined or both."""
        x0, y0, x1, y1 = box
        corners = [self.at(x0, y0), self.at(x1, y0), self.at(x1, y1), self.at(x0, y1)]
        if fill is not None:
            self.canvas.poly(corners, fill)
        if edge is not None:
            self.canvas.line(corners, edge, pen, closed=True)


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
    low, high = (0.1, 0.15) if clean else (0.03, 0.2)
    canvas = Canvas(size, paper)
    x0, y0 = dice.u(low, high), dice.u(low, high)
    x1, y1 = 1 - dice.u(low, high), 1 - dice.u(low, high)
    if not clean and dice.p(0.3):  # a chart that is wide or tall
        cut = dice.u(0.1, 0.25)
        if dice.p(0.6):
            y0, y1 = y0 + cut * dice.unit(), y1 - cut * dice.unit()
        else:
            x0, x1 = x0 + cut * dice.unit(), x1 - cut * dice.unit()
    stroke = dice.u(0.008, 0.02)
    frame = Frame(canvas, dice, clean, paper, ink, palette(dice, dark), x0, y0, x1, y1, stroke)
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
        frame.box((0, 0, 1, 1), None, line, thin)
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
        canvas.image = drawing.turned(
            canvas.image, dice.n(5.0), dice.u(0.85, 1.25), dice.n(0.04), dice.n(0.04)
        )
    image = canvas.reduced()
    if dice.p(0.5):
        image = drawing.blurred(image, dice.u(0.003, 0.017))
    values = drawing.pixels(image)
    values = drawing.graded(values, dice.u(0.45, 1.05), dice.n(18.0))
    if dice.p(0.35):
        values = drawing.lit(values, dice, dice.u(0.05, 0.35))
    if dice.p(0.15):
        values = 255.0 - values
    values = drawing.noisy(values, dice, dice.u(1.0, 16.0))
    return drawing.picture(values)


# ---- charts of series ----------------------------------------------------------------------------


def _curve(dice: Dice, n: int, low: float, high: float) -> np.ndarray:
    """A series (n,) between low and high: a walk, a wave, or a trend."""
    kind = dice.i(0, 3)
    x = np.linspace(0, 1, n)
    if kind == 0:
        y = np.cumsum(dice.normal(n))
    elif kind == 1:
        y = np.sin(x * dice.u(4, 16) + dice.u(0, 6)) + 0.25 * dice.normal(n)
    elif kind == 2:
        y = dice.pick((-1, 1)) * x ** dice.u(0.5, 2.5) * 3 + 0.4 * dice.normal(n)
    else:
        y = dice.array(n)
    y = (y - y.min()) / (np.ptp(y) + 1e-9)
    a = dice.u(low, (low + high) / 2)
    b = dice.u(a + 0.25 * (high - low), high)
    return a + (b - a) * y


def lines(frame: Frame) -> None:
    """One to four lines, some with markers or as steps."""
    dice = frame.dice
    axes(frame)
    n = dice.pick((5, 8, 12, 20, 40))
    markers = n <= 12 and dice.p(0.5)
    step = dice.p(0.12)
    for j in range(dice.pick((1, 1, 2, 3, 4))):
        x, y = np.linspace(0.02, 0.98, n), _curve(dice, n, 0.05, 0.95)
        points = frame.path(x, y)
        width = frame.stroke * dice.u(0.8, 1.6)
        if markers:
            for q in points:
                _marker(frame, q, frame.colours[j], frame.stroke * 1.6, j)
            width *= 0.7
        if step:
            points = frame.path(np.repeat(x, 2)[1:], np.repeat(y, 2)[:-1])
        frame.canvas.line(points, frame.colours[j], width)


def areas(frame: Frame) -> None:
    """Filled down to the base line: single, overlaid or stacked; pale with a line, or solid."""
    dice = frame.dice
    axes(frame)
    n = dice.pick((5, 8, 12, 20, 40))
    x = np.linspace(0, 1, n)
    series = dice.pick((1, 1, 2, 3))
    stacked = series > 1 and dice.p(0.7)
    pale = dice.u(0.15, 0.5) if dice.p(0.5) else dice.u(0.7, 1.0)
    curves = [_curve(dice, n, 0.12, 0.95 / (series if stacked else 1)) for _ in range(series)]
    if stacked:
        curves = list(np.cumsum(curves, 0))[::-1]
    else:
        curves.sort(key=lambda c: -float(c.mean()))
    for j, y in enumerate(curves):
        points = frame.path(x, np.clip(y, 0, 1))
        base = [frame.at(1, 0), frame.at(0, 0)]
        fill = mix(frame.paper, frame.colours[j], pale)
        frame.canvas.poly(np.concatenate([points, base]), fill)
        if pale < 0.6 or dice.p(0.3):
            frame.canvas.line(points, frame.colours[j], frame.stroke)


def _marker(frame: Frame, at: np.ndarray, colour: Colour, r: float, kind: int) -> None:
    x, y = float(at[0]), float(at[1])
    canvas = frame.canvas
    if kind % 4 == 0:
        canvas.oval(x, y, r, fill=colour)
    elif kind % 4 == 1:
        canvas.rect(x - r * 0.85, y - r * 0.85, x + r * 0.85, y + r * 0.85, colour)
    elif kind % 4 == 2:
        canvas.poly([(x, y - r * 1.2), (x + r, y + r * 0.8), (x - r, y + r * 0.8)], colour)
    else:
        canvas.line([(x - r, y - r), (x + r, y + r)], colour, r * 0.6, caps=False)
        canvas.line([(x - r, y + r), (x + r, y - r)], colour, r * 0.6, caps=False)


def scatter(frame: Frame) -> None:
    """Points: clouds, trends, bands, bubbles; some with a trend line."""
    dice = frame.dice
    axes(frame)
    first = dice.i(0, 3)
    kind = dice.i(0, 3)
    bubbles = dice.p(0.2)
    groups = dice.pick((1, 1, 2, 3))
    slope = dice.pick((-1, 1))
    for j in range(groups):
        n = dice.i(12, 60) // groups + 4
        x = dice.array(n)
        if kind == 0:
            x = np.clip(dice.u(0.2, 0.8) + 0.13 * dice.normal(n), 0, 1)
            y = np.clip(dice.u(0.2, 0.8) + 0.13 * dice.normal(n), 0, 1)
        elif kind == 1:
            y = 0.5 + slope * (x - 0.5) * dice.u(0.5, 1) + dice.u(0.05, 0.15) * dice.normal(n)
        elif kind == 2:
            y = 0.5 + 0.3 * np.sin(x * 6 + dice.u(0, 6)) + 0.08 * dice.normal(n)
        else:
            y = dice.array(n)
        r = frame.stroke * dice.u(0.9, 2.0)
        for q in frame.path(0.03 + 0.94 * x, np.clip(0.03 + 0.94 * y, 0.02, 0.98)):
            size = r * (dice.u(0.6, 3.2) if bubbles else 1.0)
            _marker(frame, q, frame.colours[j], size, first + (0 if bubbles else j))
    if kind == 1 and dice.p(0.4):
        ends = [frame.at(0.05, 0.5 - slope * 0.35), frame.at(0.95, 0.5 + slope * 0.35)]
        frame.canvas.line(ends, frame.ink, frame.stroke * 0.6)


# ---- the task: which kind of chart is it? --------------------------------------------------------
# Neighbouring kinds are drawn alike on purpose: histograms as bars without gaps, bars with error
# bars beside box plots, pale areas beside lines, lines with markers beside scatter plots.


def _heights(dice: Dice, n: int) -> np.ndarray:
    """Bar heights: free, sorted, or bell-shaped."""
    values = 0.12 + 0.85 * dice.array(n)
    kind = dice.unit()
    if kind < 0.2:
        values = np.sort(values)
    elif kind < 0.4:
        values = np.sort(values)[::-1]
    elif kind < 0.55:
        values = 0.1 + 0.85 * np.exp(-(((np.arange(n) / (n - 1) - dice.u(0.3, 0.7)) / 0.3) ** 2))
    return values


def _flip(lying: bool, x0: float, y0: float, x1: float, y1: float) -> Box:
    """A box with x and y exchanged where the chart lies."""
    return (y0, x0, y1, x1) if lying else (x0, y0, x1, y1)


def bars(frame: Frame) -> None:
    """Separate bars: single, grouped or stacked, upright or lying, some with error bars."""
    dice = frame.dice
    axes(frame)
    lying = dice.p(0.35)
    n = dice.i(3, 10)
    kind = dice.pick(("plain", "plain", "plain", "grouped", "stacked"))
    gap = dice.u(0.12, 0.55)
    many = dice.p(0.3)
    errors = kind == "plain" and dice.p(0.2)
    outline = dice.p(0.25)
    parts = 1 if kind == "plain" else dice.i(2, 3)
    if kind == "grouped":
        n = min(n, 5)
    tops = _heights(dice, n)
    for k in range(n):
        left, width = (k + gap / 2) / n, (1 - gap) / n
        base = 0.0
        for j in range(parts):
            colour = frame.colours[(k if many and parts == 1 else j) % 6]
            if kind == "grouped":
                top = max(0.08, tops[k] * dice.u(0.5, 1.0))
                box = (left + width * j / parts, 0.0, left + width * (j + 0.92) / parts, top)
            elif kind == "stacked":
                top = base + tops[k] / parts * dice.u(0.6, 1.0)
                box = (left, base, left + width, top)
                base = top
            else:
                box = (left, 0.0, left + width, tops[k])
            frame.box(_flip(lying, *box), colour, frame.ink if outline else None, 0.008)
        if errors:
            e = dice.u(0.03, 0.12)
            m = left + width / 2
            for seg in (
                ((m, tops[k] - e), (m, tops[k] + e)),
                ((m - width / 5, tops[k] + e), (m + width / 5, tops[k] + e)),
            ):
                ends = [frame.at(*(reversed(q) if lying else q)) for q in seg]
                frame.canvas.line(ends, frame.ink, 0.01, caps=False)


def histogram(frame: Frame) -> None:
    """Touching bins of a distribution, one or two of them, outlined or not."""
    dice = frame.dice
    axes(frame)
    n = dice.i(8, 26)
    x = (np.arange(n) + 0.5) / n
    two = dice.p(0.2)
    edge = dice.pick((None, frame.paper, frame.ink, frame.paper))
    lying = dice.p(0.15)
    start, end = (0.0, 1.0) if dice.p(0.5) else (dice.u(0, 0.15), dice.u(0.85, 1.0))
    for j in range(2 if two else 1):
        kind = dice.i(0, 3)
        centre, spread = dice.u(0.25, 0.75), dice.u(0.12, 0.3)
        y = np.exp(-0.5 * ((x - centre) / spread) ** 2)
        if kind == 1:
            y = x ** dice.u(0.3, 2) * np.exp(-x * dice.u(3, 9))
        elif kind == 2:
            y = y + dice.u(0.4, 1) * np.exp(-0.5 * ((x - dice.unit()) / (spread / 2)) ** 2)
        elif kind == 3:
            y = 0.6 + 0.4 * dice.array(n)
        y = y * (1 + 0.22 * dice.normal(n))
        y = np.clip(y, 0.02 * y.max(), None)
        y = y / y.max() * dice.u(0.7, 0.97)
        colour = frame.colours[j] if j == 0 else mix(frame.paper, frame.colours[j], 0.7)
        for k in range(n):
            a, b = start + (end - start) * k / n, start + (end - start) * (k + 1) / n
            frame.box(_flip(lying, a, 0.0, b, y[k]), colour, edge, 0.006)
    if dice.p(0.2):  # a density curve on top
        curve = frame.path(start + (end - start) * x, np.clip(y * 1.03, 0, 1))
        frame.canvas.line(curve, frame.ink, 0.014)


def pie(frame: Frame) -> None:
    """Slices of a disc: full, as a ring, tilted, or with one slice pulled out."""
    dice, canvas = frame.dice, frame.canvas
    if dice.p(0.12):
        axes(frame)
    n = dice.i(2, 8)
    shares = dice.array(n) + 0.15
    angles = np.concatenate([[0.0], np.cumsum(shares / shares.sum())]) * 360 + dice.u(0, 360)
    cx, cy = (frame.x0 + frame.x1) / 2 + dice.n(0.04), (frame.y0 + frame.y1) / 2 + dice.n(0.04)
    r = min(frame.x1 - frame.x0, frame.y1 - frame.y0) / 2 * dice.u(0.65, 1.05)
    ry = r * (dice.u(0.55, 0.8) if dice.p(0.25) else 1.0)
    ring = dice.u(0.35, 0.7) if dice.p(0.35) else 0.0
    pulled = dice.i(0, n - 1) if dice.p(0.25) else -1
    gaps = dice.p(0.5)
    if ry < r:  # the rim of a tilted disc
        for k in range(8):
            shade = mix(frame.colours[0], (0, 0, 0), 0.4)
            canvas.oval(cx, cy + r * 0.02 * (8 - k), r, ry, fill=shade)
    for k in range(n):
        a, b = angles[k], angles[k + 1]
        m = np.radians((a + b) / 2)
        out = r * 0.12 if k == pulled else 0.0
        px, py = cx + out * float(np.cos(m)), cy + out * float(np.sin(m))
        colour = frame.colours[k % 6] if n <= 6 else hue(k / n, 0.6, dice.u(0.5, 1))
        edge = arc_points(px, py, r, ry, a, b, n=max(4, int((b - a) / 6)))
        slice_ = np.concatenate([[(px, py)], edge])
        canvas.poly(slice_, colour)
        if gaps:
            canvas.line(slice_, frame.paper, 0.012, closed=True)
        if dice.p(0.15):
            x, y = cx + 1.15 * r * float(np.cos(m)), cy + 1.15 * ry * float(np.sin(m))
            scribble(frame, x, y, 0.08, 0.03)
    if ring:
        canvas.oval(cx, cy, r * ring, ry * ring, fill=frame.paper)


def heat(frame: Frame) -> None:
    """A matrix of coloured cells: smooth, random or with a strong diagonal."""
    dice, canvas = frame.dice, frame.canvas
    rows, cols = dice.i(3, 13), dice.i(4, 14)
    kind = dice.i(0, 2)
    if kind == 2:
        rows = cols
    r, c = np.mgrid[0:rows, 0:cols]
    if kind == 0:
        z = dice.array(rows, cols)
    elif kind == 1:
        z = np.sin(r / rows * dice.u(2, 6) + dice.u(0, 6)) + np.cos(c / cols * dice.u(2, 6))
        z = z + 0.3 * dice.normal(rows, cols)
    else:
        z = np.exp(-np.abs(r - c) / cols * dice.u(2, 6)) + 0.35 * dice.array(rows, cols)
    z = (z - z.min()) / (np.ptp(z) + 1e-9)
    low = mix(frame.paper, frame.colours[0], dice.u(0, 0.4))
    high = frame.colours[1] if dice.p(0.5) else mix(frame.colours[0], frame.ink, 0.4)
    middle = frame.paper if dice.p(0.3) else mix(low, high, 0.5)
    gap = dice.pick((0.0, 0.0, 0.04, 0.1))
    for a in range(rows):
        for b in range(cols):
            t = float(z[a, b])
            colour = mix(low, middle, t * 2) if t < 0.5 else mix(middle, high, t * 2 - 1)
            x0, x1 = (b + gap) / cols, (b + 1 - gap) / cols
            frame.box((x0, (a + gap) / rows, x1, (a + 1 - gap) / rows), colour)
    if dice.p(0.35) and frame.x1 < 0.9:
        x = frame.x1 + 0.03
        for k in range(12):
            y0 = frame.y0 + (frame.y1 - frame.y0) * k / 12
            canvas.rect(x, y0, x + 0.04, y0 + (frame.y1 - frame.y0) / 12, mix(high, low, k / 11))
    if dice.p(0.6):
        for a in range(rows):
            scribble(frame, frame.x0 - 0.05, frame.at(0, (a + 0.5) / rows)[1], 0.05, 0.025)


def boxes(frame: Frame) -> None:
    """Boxes with a median, whiskers and outliers; upright or lying."""
    dice, canvas = frame.dice, frame.canvas
    axes(frame)
    n = dice.i(2, 8)
    lying, filled, many = dice.p(0.35), dice.p(0.65), dice.p(0.4)
    width = dice.u(0.35, 0.75) / n
    line = frame.ink if dice.p(0.7) else frame.colours[1]
    pen = dice.u(0.007, 0.014)
    low_start = dice.p(0.2)  # boxes near the base line look like bars

    def seg(a: tuple[float, float], b: tuple[float, float], w: float) -> None:
        ends = [frame.at(*(q[::-1] if lying else q)) for q in (a, b)]
        canvas.line(ends, line, w, caps=False)

    for k in range(n):
        x = (k + 0.5) / n
        q1 = dice.u(0.08, 0.25) if low_start else dice.u(0.2, 0.5)
        q3 = q1 + dice.u(0.12, 0.35)
        median = q1 + (q3 - q1) * dice.u(0.2, 0.8)
        bottom, top = max(0.02, q1 - dice.u(0.05, 0.25)), min(0.98, q3 + dice.u(0.06, 0.3))
        for a, b in ((bottom, q1), (q3, top)):
            seg((x, a), (x, b), pen)
        for y in (bottom, top):
            seg((x - width / 4, y), (x + width / 4, y), pen)
        colour = frame.colours[k % 6 if many else 0]
        box = _flip(lying, x - width / 2, q1, x + width / 2, q3)
        frame.box(box, colour if filled else None, line, pen)
        seg((x - width / 2, median), (x + width / 2, median), pen * 1.5)
        for _ in range(dice.pick((0, 0, 1, 2))):
            y = dice.u(top, 1.0) if dice.p(0.6) else dice.u(0, bottom)
            spot = frame.at(*((y, x) if lying else (x, y)))
            canvas.oval(*spot, 0.012, fill=line)


KINDS: dict[str, Callable[[Frame], None]] = {
    "bar chart": bars,
    "line chart": lines,
    "scatter plot": scatter,
    "pie chart": pie,
    "histogram": histogram,
    "heat map": heat,
    "box plot": boxes,
    "area chart": areas,
}
CLASSES = tuple(KINDS)


def draw(dice: Dice, label: int, size: int, clean: bool) -> Image.Image:
    """One chart of class `label`."""
    frame = new_frame(dice, size, clean)
    KINDS[CLASSES[label]](frame)
    extras(frame)
    return camera(frame)
