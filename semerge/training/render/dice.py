"""Seeded chance: every random choice of the renderer goes through one small class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")


class Dice:
    """Random numbers from a tuple of integers, the same on every machine.

    Only uniform doubles are taken from numpy. Everything else (integers, normal numbers, picks)
    is computed here, because numpy does not promise a stable stream for its distributions.
    """

    def __init__(self, *key: int) -> None:
        sequence = np.random.SeedSequence([int(k) for k in key])
        self._generator = np.random.Generator(np.random.PCG64(sequence))
        self._buffer = self._generator.random(128)
        self._next = 0

    def unit(self) -> float:
        """One number in [0, 1)."""
        if self._next == len(self._buffer):
            self._buffer = self._generator.random(128)
            self._next = 0
        self._next += 1
        return float(self._buffer[self._next - 1])

    def u(self, low: float, high: float) -> float:
        """Uniform in [low, high)."""
        return low + (high - low) * self.unit()

    def i(self, low: int, high: int) -> int:
        """An integer from low to high, both included."""
        return low + int(self.unit() * (high - low + 1))

    def p(self, probability: float) -> bool:
        """True with the given probability."""
        return self.unit() < probability

    def pick(self, items: Sequence[T]) -> T:
        """One of the items."""
        return items[int(self.unit() * len(items))]

    def n(self, deviation: float) -> float:
        """Roughly normal with mean 0 (four uniform numbers summed)."""
        return (self.unit() + self.unit() + self.unit() + self.unit() - 2.0) * 1.732 * deviation

    def array(self, *shape: int) -> np.ndarray:
        """Uniform float64 array in [0, 1)."""
        return self._generator.random(shape)

    def normal(self, *shape: int) -> np.ndarray:
        """Roughly normal float64 array, mean 0, deviation 1."""
        return (self._generator.random((*shape, 4)).sum(-1) - 2.0) * 1.732

    def rest(self, *key: int) -> Dice:
        """A new, independent stream that depends on this one's next number."""
        return Dice(int(self.unit() * 2**53), *key)
