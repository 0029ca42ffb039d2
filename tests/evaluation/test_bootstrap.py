"""Figures and their intervals."""

import numpy as np
import pytest

from lcad_nodes.evaluation.bootstrap import Estimate, difference, estimate, mean, ratio


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


def test_samples_of_a_group_are_drawn_together() -> None:
    apart = [(float(n % 5),) for n in range(40)]
    groups = [f"{n}" for n in range(40) for _ in range(3)]
    together = [sample for sample in apart for _ in range(3)]
    once, thrice = estimate(apart, mean), estimate(together, mean, groups)
    assert (thrice.low, thrice.high) == pytest.approx((once.low, once.high), abs=0.15)
    assert thrice.count == 120
    narrow = estimate(together, mean)
    assert thrice.high - thrice.low > 1.5 * (narrow.high - narrow.low)
    # Larger groups weigh more, in every draw as in the figure.
    assert estimate([(1.0,), (1.0,), (4.0,)], mean, ["a", "a", "b"]).value == 2


def test_a_paired_difference_is_that_of_the_halves() -> None:
    samples = [(x + 1.0, x) for x in range(30)]
    found = estimate(samples, difference(mean))
    assert (found.value, found.low, found.high) == pytest.approx((1.0, 1.0, 1.0))
    assert estimate([(1, 1, 0, 2), (1, 3, 2, 2)], difference(ratio)).value == 0


def test_the_same_samples_give_the_same_interval() -> None:
    samples = [(float(n % 7),) for n in range(50)]
    assert estimate(samples, mean) == estimate(samples, mean)
    assert estimate([(2.0,)] * 9, mean) == Estimate(2.0, 2.0, 2.0, 9)


def test_no_samples() -> None:
    with pytest.raises(ValueError, match="list of samples is empty"):
        estimate([], mean)
