"""Figures and their intervals."""

from math import inf, isnan

import numpy as np
import pytest

from lcad_nodes.evaluation.bootstrap import Estimate, estimate, mean, ratio


def test_the_interval_of_a_mean_is_that_of_the_normal_distribution() -> None:
    values = np.random.default_rng(0).normal(5, 2, 400)
    found = estimate(values[:, None].tolist(), mean)
    half = 1.96 * values.std() / 20
    assert found.value == pytest.approx(values.mean())
    assert found.low == pytest.approx(values.mean() - half, abs=0.03)
    assert found.high == pytest.approx(values.mean() + half, abs=0.03)
    assert found.count == 400


def test_a_share_counts_objects_and_draws_scenes() -> None:
    together = [(3, 3), (0, 3)] * 30  # all of a scene's objects right, or none
    apart = [(1, 1), (0, 1)] * 90
    wide, narrow = estimate(together, ratio), estimate(apart, ratio)
    assert wide.value == narrow.value == 0.5
    assert wide.high - wide.low > 1.5 * (narrow.high - narrow.low)
    assert estimate([(1, 3), (1, 1)], ratio).value == 0.5


def test_the_same_samples_give_the_same_interval() -> None:
    samples = [(float(n % 7),) for n in range(50)]
    assert estimate(samples, mean) == estimate(samples, mean)
    assert estimate([(2.0,)] * 9, mean) == Estimate(2.0, 2.0, 2.0, 9)


def test_an_infinite_sample_leaves_no_interval() -> None:
    found = estimate([(inf,), (20.0,)], mean)
    assert found.value == inf
    assert isnan(found.low)
    assert isnan(found.high)


def test_no_samples() -> None:
    with pytest.raises(ValueError, match="list of samples is empty"):
        estimate([], mean)
