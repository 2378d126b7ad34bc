"""Paired statistics: small tables worked out by hand, and every possible draw written down."""

from __future__ import annotations

import itertools
from math import prod

import numpy as np
import pytest

from semerge.evaluation.field.paired import DRAWS, interval, mcnemar, paired

# ---- McNemar -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "second", "p"),
    [
        (0, 0, 1.0),  # no coin
        (1, 0, 1.0),  # one coin always falls so
        (3, 0, 0.25),  # 2 of 8
        (5, 1, 14 / 64),  # 2 (1 + 6) of 64
        (10, 2, 158 / 4096),  # 2 (1 + 12 + 66) of 4096
        (4, 4, 1.0),  # twice the lower half is above 1
    ],
)
def test_mcnemar_by_hand(first: int, second: int, p: float) -> None:
    assert mcnemar(first, second) == mcnemar(second, first) == p


@pytest.mark.parametrize("n", range(1, 11))
def test_mcnemar_equals_counting_all_falls_of_the_coins(n: int) -> None:
    heads = [sum(coins) for coins in itertools.product((0, 1), repeat=n)]
    for first in range(n + 1):
        uneven = abs(first - n / 2)
        share = sum(abs(one - n / 2) >= uneven for one in heads) / len(heads)
        assert mcnemar(first, n - first) == pytest.approx(share, abs=1e-15)


def test_mcnemar_of_many_samples_is_a_number() -> None:
    assert mcnemar(20_000, 20_000) == 1.0
    assert mcnemar(20_000, 0) == 0.0  # 2 ** -19999, below the smallest float
    # the normal distribution beyond (|500 - 600| - 1) / sqrt(1100) = 2.985 deviations
    assert mcnemar(500, 600) == pytest.approx(0.00283, rel=0.02)


# ---- the interval --------------------------------------------------------------------------------


def every_draw(gains: np.ndarray, tasks: np.ndarray) -> np.ndarray:
    """The average over tasks of all n^n draws of each task, all combinations of them."""
    own = [gains[tasks == task] for task in np.unique(tasks)]
    means = [[np.mean(one) for one in itertools.product(x, repeat=len(x))] for x in own]
    assert prod(map(len, means)) < 50_000
    return np.array([np.mean(one) for one in itertools.product(*means)])


@pytest.mark.parametrize("level", [0.5, 0.8, 0.9, 0.95])
def test_the_interval_is_that_of_all_draws(level: float) -> None:
    """Tasks of 4 and of 2 samples: 256 x 4 draws. Their means take few values, and enough draws by
    chance show exactly the one at which the whole distribution passes each end of the interval."""
    gains, tasks = np.array([1, 1, 0, -1, 1, 0]), np.array([0, 0, 0, 0, 1, 1])
    ends = np.array([(1 - level) / 2, (1 + level) / 2])
    wanted = np.quantile(every_draw(gains, tasks), ends, method="inverted_cdf")
    assert interval(gains, tasks, level, draws=100_000) == pytest.approx(tuple(wanted))


def test_where_nothing_varies_there_is_no_width() -> None:
    tasks = np.array([0, 0, 1, 1, 1])
    assert interval(np.array([1, 1, 0, 0, 0]), tasks) == (0.5, 0.5)
    assert interval(np.zeros(5, dtype=int), tasks) == (0.0, 0.0)
    assert interval(-np.ones(5, dtype=int), tasks) == (-1.0, -1.0)


def test_the_width_shrinks_with_the_root_of_the_samples() -> None:
    """One task, gains of 1, 0 and -1 in equal parts: a variance of 2/3 a sample."""
    for n in (300, 30_000):
        low, high = interval(np.tile([1, 0, -1], n // 3), np.zeros(n, dtype=int))
        assert high - low == pytest.approx(2 * 1.96 * (2 / 3 / n) ** 0.5, rel=0.08)
        assert low < 0 < high


def test_the_same_seed_draws_the_same() -> None:
    gains, tasks = np.tile([1, 0, 0, -1, 1], 20), np.repeat([0, 1, 2, 3], 25)
    assert interval(gains, tasks) == interval(gains, tasks)
    assert interval(gains, tasks) != interval(gains, tasks, seed=1)
    assert DRAWS == 2000


# ---- both ----------------------------------------------------------------------------------------


def test_two_ways_by_hand() -> None:
    """Task 0: right 3 of 4 against 1 of 4, one of them lost: a gain of 1/2. Task 1: the same. Each
    counts the same, whatever its size."""
    first = np.array([1, 1, 1, 0, 1, 0], dtype=bool)
    second = np.array([0, 0, 0, 1, 1, 0], dtype=bool)
    found = paired(first, second, np.array([0, 0, 0, 0, 7, 7]))
    assert found.difference == pytest.approx((3 / 4 - 1 / 4 + 0) / 2)
    assert (found.only_first, found.only_second, found.p) == (3, 1, 10 / 16)
    assert found.low <= found.difference <= found.high
    other = paired(second, first, np.array([0, 0, 0, 0, 7, 7]))
    assert (other.difference, other.p) == (-found.difference, found.p)
    assert (other.only_first, other.only_second) == (1, 3)


@pytest.mark.parametrize("n", [0, 2])
def test_other_samples_are_refused(n: int) -> None:
    with pytest.raises(ValueError, match="the same samples"):
        paired(np.ones(n, dtype=bool), np.ones(3 * (n > 0), dtype=bool), np.zeros(n, dtype=int))
