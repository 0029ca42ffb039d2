"""Figures with confidence intervals: the bootstrap over scenes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import nan

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000
AT_A_TIME = 100
"""Resamples in memory, whose size is this times the scenes."""
CONFIDENCE = 0.95

Means = NDArray[np.float64]
Statistic = Callable[[Means], Means]
"""From means over scenes, ... x columns, to a figure, ..."""


@dataclass(frozen=True)
class Estimate:
    """A figure over scenes.

    Attributes:
        value: the figure.
        low: lower end of its 95 % confidence interval; NaN where it has none.
        high: upper end; NaN likewise.
        count: how many scenes, or pictures, it is over.
    """

    value: float
    low: float
    high: float
    count: int


def mean(means: Means) -> Means:
    """The mean of the first column."""
    return means[..., 0]


def ratio(means: Means) -> Means:
    """The first column's sum over the second's: a share of objects, over scenes of some each."""
    return means[..., 0] / means[..., 1]


def difference(statistic: Statistic) -> Statistic:
    """The figure of the first half of the columns less that of the second: a paired difference."""

    def apart(means: Means) -> Means:
        one, other = np.split(means, 2, axis=-1)
        return statistic(one) - statistic(other)

    return apart


def estimate(
    samples: Sequence[Sequence[float]], statistic: Statistic, groups: Sequence[str] | None = None
) -> Estimate:
    """A figure and its percentile interval (Efron 1979), scenes drawn again with replacement.

    Objects of one scene are drawn together, since they are not independent of each other, and so
    are samples of one group. The drawing has a fixed seed.

    Args:
        samples: what was measured, scenes x columns.
        statistic: the figure as a function of the columns' means.
        groups: which group each sample is of; None: each is one of its own.

    Raises:
        ValueError: there are no samples.
    """
    table = np.asarray(samples, dtype=np.float64)
    if not len(table):
        raise ValueError("There is nothing to estimate from: the list of samples is empty.")
    value = float(statistic(table.mean(axis=0)))
    _, group = np.unique(range(len(table)) if groups is None else groups, return_inverse=True)
    sizes = np.bincount(group)
    if len(sizes) < 2:  # nothing to draw from
        return Estimate(value, nan, nan, len(table))
    sums = np.zeros((len(sizes), table.shape[1]))
    np.add.at(sums, group, table)
    rng = np.random.default_rng(0)
    count, even = len(sizes), np.full(len(sizes), 1 / len(sizes))
    drawn = (rng.multinomial(count, even, AT_A_TIME) for _ in range(RESAMPLES // AT_A_TIME))
    figures = np.concatenate([statistic(some @ sums / (some @ sizes)[:, None]) for some in drawn])
    low, high = np.quantile(figures, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Estimate(value, float(low), float(high), len(table))
