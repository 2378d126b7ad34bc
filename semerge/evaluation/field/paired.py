"""Is one way better than another on the same samples, or is it chance? Two answers to that.

Both look at each sample under both ways, so what makes a sample hard for either cancels out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

DRAWS = 2000
LEVEL = 0.95  # the share of the draws that an interval holds
SEED = 0

Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Paired:
    """One way against another. Accuracies are fractions.

    difference: of the averages over tasks, each of which counts the same; low, high: its bootstrap
    interval. only_first, only_second: samples that one of the two alone gets right. p: of McNemar's
    exact test on these two counts; there every sample counts the same, so where tasks differ in
    size it weighs them otherwise than `difference` does.
    """

    difference: float
    low: float
    high: float
    only_first: int
    only_second: int
    p: float


def paired(first: Bools, second: Bools, tasks: NDArray[np.integer]) -> Paired:
    """Compare two ways. first, second: which samples each gets right, bool (N,). tasks: a number
    for each sample's task, (N,). Raises ValueError where there is no sample, or the lengths differ.
    """
    if not len(first) == len(second) == len(tasks) > 0:
        raise ValueError("a comparison needs the same samples, one at least, under both ways")
    gains = first.astype(np.int64) - second
    low, high = interval(gains, tasks)
    means = [gains[tasks == task].mean() for task in np.unique(tasks)]
    wins, losses = int((gains > 0).sum()), int((gains < 0).sum())
    return Paired(float(np.mean(means)), low, high, wins, losses, mcnemar(wins, losses))


def interval(
    gains: NDArray[np.int64],
    tasks: NDArray[np.integer],
    level: float = LEVEL,
    draws: int = DRAWS,
    seed: int = SEED,
) -> tuple[float, float]:
    """Percentile bootstrap interval of the average over tasks of the mean gain ("An Introduction
    to the Bootstrap", Efron and Tibshirani, 1993, chapter 13), stratified: samples are drawn again,
    with replacement, within each task.

    gains: (N,) of 1, 0 and -1. A draw of n samples out of n enters by how many of each of the three
    it holds, and these counts are multinomial; so they are what is drawn.
    """
    random = np.random.default_rng(seed)
    means = np.zeros(draws)
    names = np.unique(tasks)
    for task in names:
        own = gains[tasks == task]
        shares = [(own == value).mean() for value in (-1, 1)]
        counts = random.multinomial(len(own), [*shares, max(0.0, 1.0 - sum(shares))], size=draws)
        means += (counts[:, 1] - counts[:, 0]) / len(own)
    outside = (1.0 - level) / 2
    low, high = np.quantile(means / len(names), [outside, 1.0 - outside])
    return float(low), float(high)


def mcnemar(only_first: int, only_second: int) -> float:
    """McNemar's exact test (1947), two-sided: how likely it is that fair coins, one for each sample
    that only one of two ways gets right, fall at least as unevenly. 1 where there are none.

    Whole numbers until the last division, so no size of counts loses a digit.
    """
    n, least = only_first + only_second, min(only_first, only_second)
    ways = below = 1
    for i in range(least):
        ways = ways * (n - i) // (i + 1)  # n over i + 1
        below += ways
    return min(1.0, 2 * below / 2**n)
