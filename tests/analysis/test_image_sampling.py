"""The sampling error of the test set, against plain bootstraps and known cases."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from noisetune.analysis.image_sampling import interval_over_images
from noisetune.analysis.statistics import Interval


def right(replicates: int, images: int, share: float, seed: int) -> list[np.ndarray]:
    return list(np.random.default_rng(seed).random((replicates, images)) < share)


@given(
    replicates=st.integers(1, 5), images=st.integers(2, 60), share=st.floats(0, 1),
    seed=st.integers(0, 99), paired=st.booleans(),
)  # fmt: skip
def test_it_is_the_bootstrap_over_images(
    replicates: int, images: int, share: float, seed: int, paired: bool
) -> None:
    """Values with their numbers are drawn as images by their place are."""
    a = right(replicates, images, share, seed)
    b = right(2, images, 0.5, seed + 100) if paired else None
    gain = np.mean(a, axis=0) - (np.mean(b, axis=0) if b is not None else 0.0)
    places = np.random.default_rng(1).integers(images, size=(4000, images))
    low, high = np.quantile(gain[places].mean(axis=1), [0.025, 0.975])
    found = interval_over_images(a, b)
    assert found.mean == pytest.approx(gain.mean())
    assert found.n == images
    # Quantiles of two finite bootstraps, of steps of 1/(images * replicates).
    near = 0.25 * (high - low) + 1.01 / images
    assert (found.low, found.high) == pytest.approx((low, high), abs=near)


def test_of_two_thousand_images_it_is_about_a_point() -> None:
    """sqrt(.85 * .15 / 2000) = .8 points, however many replicates agree."""
    same = right(1, 2000, 0.85, 0) * 8
    found = interval_over_images(same)
    assert found.low is not None
    assert found.high is not None
    p = found.mean or 0.0
    assert found.high - found.low == pytest.approx(2 * 1.96 * (p * (1 - p) / 2000) ** 0.5, rel=0.05)


def test_both_arms_meet_the_same_images() -> None:
    """Arms that are right on the same images differ by nothing, whatever is drawn."""
    arm = right(3, 500, 0.7, 0)
    assert interval_over_images(arm, arm) == Interval(0.0, 0.0, 0.0, 500)
    better = [each | (np.arange(500) < 5) for each in arm]
    alone, difference = interval_over_images(better), interval_over_images(better, arm)
    assert None not in (alone.low, alone.high, difference.low, difference.high)
    assert difference.high - difference.low < (alone.high - alone.low) / 5  # type: ignore[operator]


def test_a_seed_repeats_it_and_another_hardly_moves_it() -> None:
    arm = right(3, 360, 0.8, 0)
    first, again, other = (interval_over_images(arm, seed=seed) for seed in (3, 3, 4))
    assert first == again
    assert (first.low, first.high) == pytest.approx((other.low, other.high), abs=0.005)


def test_intervals_cover_the_accuracy_on_all_images() -> None:
    """Of 400 draws of 360 images at 85 %: 95 % of intervals, within what 400 can tell."""
    covered = 0
    for seed in range(400):
        found = interval_over_images(right(1, 360, 0.85, seed), resamples=1000)
        covered += (found.low or 0.0) <= 0.85 <= (found.high or 1.0)
    assert 0.92 <= covered / 400 <= 0.98


def test_fewer_than_two_images_have_no_interval() -> None:
    assert interval_over_images([np.array([True])]) == Interval(1.0, None, None, 1)
    assert interval_over_images([np.zeros(0, dtype=bool)]) == Interval(None, None, None, 0)


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        ([], None, "replicates: shapes"),
        ([np.ones(3, bool), np.ones(4, bool)], None, "they must be of the same images"),
        ([np.ones((2, 3), bool)], None, "they must be of the same images"),
        ([np.ones(3, bool)], [np.ones(4, bool)], "a and b: 3 and 4 images"),
    ],
)
def test_other_images_are_refused(
    a: list[np.ndarray], b: list[np.ndarray] | None, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        interval_over_images(a, b)
