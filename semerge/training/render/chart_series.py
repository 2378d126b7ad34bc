"""Charts of series: lines, areas and points."""

from __future__ import annotations

import numpy as np

from .canvas import Colour, mix
from .chart_frame import Frame, axes
from .dice import Dice


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
