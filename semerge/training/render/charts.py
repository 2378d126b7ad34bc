"""The rendered task `charts`: which kind of chart is it?

Neighbouring kinds are drawn alike on purpose: histograms as bars without gaps, bars with error
bars beside box plots, pale areas beside lines, lines with markers beside scatter plots.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image

from .canvas import arc_points, mix
from .chart_frame import Frame, axes, camera, extras, hue, new_frame, scribble
from .chart_series import areas, lines, scatter
from .dice import Dice

CLASSES = (
    "bar chart",
    "line chart",
    "scatter plot",
    "pie chart",
    "histogram",
    "heat map",
    "box plot",
    "area chart",
)


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


def _flip(
    lying: bool, x0: float, y0: float, x1: float, y1: float
) -> tuple[float, float, float, float]:
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
            box = _flip(lying, *box)
            frame.box(*box, colour)
            if outline:
                frame.box_edge(*box, frame.ink, 0.008)
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
    edge = dice.pick(("none", "paper", "ink", "paper"))
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
            box = _flip(lying, a, 0.0, b, y[k])
            frame.box(*box, colour)
            if edge != "none":
                frame.box_edge(*box, frame.paper if edge == "paper" else frame.ink, 0.006)
    if dice.p(0.2):  # a density curve on top
        frame.canvas.line(
            frame.path(start + (end - start) * x, np.clip(y * 1.03, 0, 1)), frame.ink, 0.014
        )


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
            scribble(
                frame,
                cx + 1.15 * r * float(np.cos(m)),
                cy + 1.15 * ry * float(np.sin(m)),
                0.08,
                0.03,
            )
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
            frame.box(
                (b + gap) / cols,
                (a + gap) / rows,
                (b + 1 - gap) / cols,
                (a + 1 - gap) / rows,
                colour,
            )
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
        if filled:
            frame.box(*box, colour)
        frame.box_edge(*box, line, pen)
        seg((x - width / 2, median), (x + width / 2, median), pen * 1.5)
        for _ in range(dice.pick((0, 0, 1, 2))):
            y = dice.u(top, 1.0) if dice.p(0.6) else dice.u(0, bottom)
            spot = frame.at(*((y, x) if lying else (x, y)))
            canvas.oval(*spot, 0.012, fill=line)


KINDS: tuple[Callable[[Frame], None], ...] = (
    bars,
    lines,
    scatter,
    pie,
    histogram,
    heat,
    boxes,
    areas,
)


def draw(dice: Dice, label: int, size: int, clean: bool) -> Image.Image:
    """One chart of class `label`."""
    frame = new_frame(dice, size, clean)
    KINDS[label](frame)
    extras(frame)
    return camera(frame)
