"""Intervals of skewed values, of shares, and which replicates collapsed."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from noisetune.analysis.intervals import (
    clopper_pearson,
    collapsed,
    median_interval,
    studentised_bootstrap,
)
from noisetune.analysis.statistics import mean_interval

Draw = Callable[[np.random.Generator], NDArray[np.float64]]
SKEWED: dict[str, tuple[Draw, float]] = {
    "exponential": (lambda rng: 1 - rng.exponential(0.02, 8), 0.98),
    "gamma": (lambda rng: 1 - rng.gamma(2, 0.02, 8), 0.96),
    "log-normal": (lambda rng: -rng.lognormal(0, 0.5, 8), -float(np.exp(0.125))),
    "beta": (lambda rng: rng.beta(8, 1.5, 8), 8 / 9.5),
}


def coverage(name: str, samples: int) -> float:
    draw, mean = SKEWED[name]
    rng = np.random.default_rng(0)
    intervals = [mean_interval(draw(rng)) for _ in range(samples)]
    return float(np.mean([(low := each.low) is not None and (high := each.high) is not None
                          and low <= mean <= high for each in intervals]))  # fmt: skip


@pytest.mark.parametrize("name", SKEWED)
def test_eight_skewed_values_are_covered(name: str) -> None:
    assert coverage(name, 300) >= 0.9


@pytest.mark.long
@pytest.mark.parametrize("name", SKEWED)
def test_eight_skewed_values_are_covered_in_five_thousand_samples(name: str) -> None:
    share = coverage(name, 5_000)
    print(f"{name}: {100 * share:.1f} % of 5,000 samples of 8")
    assert share >= 0.9


def test_the_same_values_have_the_same_interval() -> None:
    values = np.random.default_rng(0).normal(size=9)
    assert studentised_bootstrap(values) == studentised_bootstrap(values)


def test_it_moves_and_stretches_with_the_values() -> None:
    values = np.random.default_rng(0).exponential(size=9)
    interval, moved = studentised_bootstrap(values), studentised_bootstrap(10 + 3 * values)
    assert interval is not None
    assert moved == pytest.approx([10 + 3 * end for end in interval])


def test_values_that_are_nearly_all_alike_have_no_such_interval() -> None:
    assert studentised_bootstrap(np.array([0.9] * 7 + [0.5])) is None


@given(st.integers(1, 30), st.data())
def test_the_interval_of_a_share_is_scipys(n: int, data: st.DataObject) -> None:
    count = data.draw(st.integers(0, n))
    low, high = clopper_pearson(count, n)
    exact = stats.binomtest(count, n).proportion_ci(method="exact")
    assert (low, high) == pytest.approx((exact.low, exact.high), abs=1e-9)


@given(values=st.lists(st.floats(-1e3, 1e3), max_size=40))
def test_the_interval_of_a_median_is_the_narrowest_that_holds_its_level(
    values: list[float],
) -> None:
    """From one value to another, so many places from both ends that a coin leaves 2.5 % outside."""
    sample, n = np.array(values), len(values)
    found = median_interval(sample)
    if n < 6:
        assert found is None
        return
    assert found is not None
    low, high = found
    assert low <= np.median(sample) <= high
    ordered, chance = sorted(values), stats.binom(n, 0.5)
    place = next(each for each in range(n) if chance.cdf(each) > 0.025)
    assert (low, high) == (ordered[place - 1], ordered[n - place])


def test_a_seed_far_below_the_others_collapsed() -> None:
    assert collapsed({1: 0.85, 2: 0.1, 3: 0.83, 4: 0.86}) == [2]
    assert collapsed({1: 0.1, 2: 0.85, 3: 0.1, 4: 0.11, 5: 0.86}) == [1, 3, 4]
    assert collapsed({1: 0.24, 2: 0.28, 3: 0.21}) == []
    assert collapsed({}) == []
