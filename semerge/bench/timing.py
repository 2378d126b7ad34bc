"""Times that can be compared: every case on every sample, in turn, over and over."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median

import torch

Case = Callable[[int], object]  # does one thing with sample i


@dataclass(frozen=True)
class Times:
    """Seconds by case and sample: each the median over the rounds."""

    seconds: Mapping[str, tuple[float, ...]]

    def total(self, *names: str) -> float:
        """Over all samples, of one case or of several together."""
        return sum(sum(self.seconds[name]) for name in names)

    def mean_ms(self, *names: str) -> float:
        """Milliseconds a sample."""
        return 1e3 * self.total(*names) / len(self.seconds[names[0]])

    def ratio(self, over: str, under: str) -> float:
        """How many times as long `over` takes as `under`, on the same samples."""
        return self.total(over) / self.total(under)


def interleaved(
    cases: Mapping[str, Case],
    samples: int,
    rounds: int,
    progress: Callable[[str], None] = lambda text: None,
) -> Times:
    """Time all cases on samples 0 .. samples - 1.

    In a round every case takes every sample, one case after the other on the same sample, so that
    whatever else the machine does meets all of them alike. The first round is thrown away: it
    fills caches and memory.
    """
    found: dict[str, list[list[float]]] = {name: [[] for _ in range(samples)] for name in cases}
    for number in range(rounds + 1):
        progress(f"round {number} of {rounds}")
        for i in range(samples):
            for name, case in cases.items():
                began = time.perf_counter()
                case(i)
                if torch.cuda.is_initialized():  # a GPU answers before it has worked
                    torch.cuda.synchronize()
                spent = time.perf_counter() - began
                if number:
                    found[name][i].append(spent)
    return Times({name: tuple(map(median, rows)) for name, rows in found.items()})
