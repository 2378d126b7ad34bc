"""Drawn look-alikes of six real tasks, for a small share of training and for the examples.

They are drawn as the two rendered tasks of `semerge.data.rendered` are, each with a stream of
chance of its own; `PAINTERS` knows all eight.
"""

from __future__ import annotations

from collections.abc import Mapping

from recipes.lookalikes import digits, garments, land, letters, scenes, signs
from semerge.data import rendered
from semerge.data.rendered import Painter

PAINTERS: Mapping[str, Painter] = {
    **rendered.PAINTERS,
    "mnist": Painter(2, 10, digits.draw),
    "fashion_mnist": Painter(3, 10, garments.draw),
    "cifar10": Painter(4, 10, scenes.draw),
    "eurosat": Painter(5, 10, land.draw),
    "gtsrb": Painter(6, 43, signs.draw),
    "omniglot_alphabets": Painter(7, 8, letters.draw),
}
LOOKALIKES = tuple(task for task in PAINTERS if task not in rendered.PAINTERS)
"""Real tasks that have drawn look-alikes."""
