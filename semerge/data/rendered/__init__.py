"""Pictures that this project renders itself, seeded: two whole tasks.

Everything here is a function of (task, label, seed, size). Only numpy and Pillow are needed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from PIL import Image

from semerge.data.rendered import charts, textures
from semerge.data.rendered.drawing import Dice


@dataclass(frozen=True)
class Painter:
    """What draws one task: `draw(dice, label, size, clean)`, for so many classes. Each task has a
    stream of chance of its own."""

    stream: int
    classes: int
    draw: Callable[[Dice, int, int, bool], Image.Image]


CLASSES: dict[str, tuple[str, ...]] = {"charts": charts.CLASSES, "textures": textures.CLASSES}
"""Class names of the tasks that exist only as renderings."""

GENERATED = ("charts", "textures")
"""Tasks whose training and test sets are rendered."""

PAINTERS: Mapping[str, Painter] = {
    "charts": Painter(0, len(charts.CLASSES), charts.draw),
    "textures": Painter(1, len(textures.CLASSES), textures.draw),
}
_SPLITS = {"train": 20_250_611, "val": 20_250_612, "test": 20_250_613}


def class_count(task: str, painters: Mapping[str, Painter] = PAINTERS) -> int:
    """How many classes `task` has. ValueError for a task that is not rendered."""
    if task not in painters:
        raise ValueError(f"unknown task {task!r}; rendered are {', '.join(painters)}")
    return painters[task].classes


def render(
    task: str,
    label: int,
    seed: int,
    size: int,
    clean: bool = False,
    painters: Mapping[str, Painter] = PAINTERS,
) -> Image.Image:
    """One picture: RGB, size x size pixels.

    The same (task, label, seed) gives the same picture at every size from 48 to 384, up to
    resampling. `clean=True` leaves most corruption out; it is meant for examples on a screen.
    ValueError for an unknown task, a label out of range, a negative seed or a size below 16.
    """
    count = class_count(task, painters)
    if not 0 <= label < count:
        raise ValueError(f"label {label} is out of range for {task}: 0 to {count - 1}")
    if seed < 0 or size < 16:
        raise ValueError("seed must not be negative and size not below 16")
    painter = painters[task]
    return painter.draw(Dice(painter.stream, label, seed), label, size, clean)


def split_seed(split: str) -> int:
    """The seed of "train", "val" or "test": their pictures never share a stream of chance."""
    if split not in _SPLITS:
        raise ValueError(f"unknown split {split!r}; known are {', '.join(_SPLITS)}")
    return _SPLITS[split]


def dataset(
    task: str, n: int, seed: int, size: int = 48, painters: Mapping[str, Painter] = PAINTERS
) -> tuple[np.ndarray, np.ndarray]:
    """n pictures with balanced classes: uint8 (n, size, size, 3) and int64 (n,). Sample i has label
    i mod C and depends on (task, seed, i) alone, so a longer set begins with a shorter one. Labels
    come in turn: shuffle where order matters."""
    count = class_count(task, painters)
    x = np.empty((n, size, size, 3), dtype=np.uint8)
    y = np.arange(n, dtype=np.int64) % count
    for i in range(n):
        x[i] = np.asarray(render(task, int(y[i]), (seed << 32) + i, size, painters=painters))
    return x, y
