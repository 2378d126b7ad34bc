"""Pictures that this project renders itself, seeded: two whole tasks, and look-alikes of six.

Everything here is a function of (task, label, seed, size). Only numpy and Pillow are needed.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

import numpy as np
from PIL import Image

from . import charts, textures
from .dice import Dice

CLASSES: dict[str, tuple[str, ...]] = {"charts": charts.CLASSES, "textures": textures.CLASSES}
"""Class names of the tasks that exist only as renderings."""

GENERATED = ("charts", "textures")
"""Tasks whose training and test sets are rendered."""

LOOKALIKES = ("mnist", "fashion_mnist", "cifar10", "eurosat", "gtsrb", "omniglot_alphabets")
"""Real tasks that have drawn look-alikes, for a small share of training and for the examples."""

# task -> (module, number of classes); the order gives each task its own stream of chance
_TASKS: dict[str, tuple[str, int]] = {
    "charts": ("charts", 8),
    "textures": ("textures", 8),
    "mnist": ("digits", 10),
    "fashion_mnist": ("garments", 10),
    "cifar10": ("scenes", 10),
    "eurosat": ("land", 10),
    "gtsrb": ("signs", 43),
    "omniglot_alphabets": ("letters", 8),
}
_SPLITS = {"train": 20_250_611, "val": 20_250_612, "test": 20_250_613}


def class_count(task: str) -> int:
    """How many classes `task` has. ValueError for a task that is not rendered."""
    if task not in _TASKS:
        raise ValueError(f"unknown task {task!r}; rendered are {', '.join(_TASKS)}")
    return _TASKS[task][1]


def render(task: str, label: int, seed: int, size: int, clean: bool = False) -> Image.Image:
    """One picture: RGB, size x size pixels.

    The same (task, label, seed) gives the same picture at every size from 48 to 384, up to
    resampling. `clean=True` leaves most corruption out; it is meant for examples on a screen.
    ValueError for an unknown task, a label out of range, a negative seed or a size below 16.
    """
    count = class_count(task)
    if not 0 <= label < count:
        raise ValueError(f"label {label} is out of range for {task}: 0 to {count - 1}")
    if seed < 0 or size < 16:
        raise ValueError("seed must not be negative and size not below 16")
    module = import_module(f".{_TASKS[task][0]}", __name__)
    draw: Callable[[Dice, int, int, bool], Image.Image] = module.draw
    return draw(Dice(list(_TASKS).index(task), label, seed), label, size, clean)


def split_seed(split: str) -> int:
    """The seed of "train", "val" or "test": their pictures never share a stream of chance."""
    if split not in _SPLITS:
        raise ValueError(f"unknown split {split!r}; known are {', '.join(_SPLITS)}")
    return _SPLITS[split]


def dataset(task: str, n: int, seed: int, size: int = 48) -> tuple[np.ndarray, np.ndarray]:
    """n pictures with balanced classes: uint8 (n, size, size, 3) and int64 (n,).

    Sample i has label i mod C and depends on (task, seed, i) alone, so a longer set begins with a
    shorter one. Labels come in turn: shuffle where order matters.
    """
    count = class_count(task)
    x = np.empty((n, size, size, 3), dtype=np.uint8)
    y = np.arange(n, dtype=np.int64) % count
    for i in range(n):
        x[i] = np.asarray(render(task, int(y[i]), (seed << 32) + i, size))
    return x, y


__all__ = [
    "CLASSES",
    "GENERATED",
    "LOOKALIKES",
    "class_count",
    "dataset",
    "render",
    "split_seed",
]
