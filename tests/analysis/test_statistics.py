import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from noisetune.analysis.statistics import (
    Interval,
    compare_all,
    holm,
    kendall,
    mean_interval,
    paired_difference,
    welch_difference,
)

shares = st.floats(0, 1)
p_lists = st.lists(st.none() | shares, max_size=12)


def test_mean_interval_by_hand() -> None:
    """Mean 2, standard error 1/sqrt(3), t(.975; 2) = 4.302653."""
    interval = mean_interval([1, 2, 3])
    half = 4.302653 / math.sqrt(3)
    assert (interval.mean, interval.n) == (2, 3)
    assert (interval.low, interval.high) == pytest.approx((2 - half, 2 + half))


def test_fewer_than_two_values_have_no_interval() -> None:
    assert mean_interval([]) == Interval(None, None, None, 0)
    assert mean_interval([0.5]) == Interval(0.5, None, None, 1)


def test_equal_values_have_an_interval_of_no_width() -> None:
    assert mean_interval([0.25, 0.25]) == Interval(0.25, 0.25, 0.25, 2)


def test_two_samples_of_unequal_variance_by_hand() -> None:
    """Standard error sqrt(1/3 + 4/3); (5/3)^2 / ((1/3)^2/2 + (4/3)^2/2) = 2.941 degrees."""
    difference = welch_difference([1, 2, 3], [2, 4, 6])
    assert (difference.mean, difference.n) == (-2, 3)
    half = stats.t.ppf(0.975, 2.941176) * math.sqrt(5 / 3)
    assert (difference.low, difference.high) == pytest.approx((-2 - half, -2 + half))


@pytest.mark.parametrize("sample", [[], [0.5], [0.5, 0.5]])
def test_a_sample_without_spread_has_no_difference_interval(sample: list[float]) -> None:
    for pair in ((sample, [0.1, 0.2]), ([0.1, 0.2], sample)):
        difference = welch_difference(*pair)
        assert (difference.low, difference.high) == (None, None)
        assert (difference.mean is None) == (not sample)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_value_that_is_not_finite_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        mean_interval([0.5, value])


@given(st.lists(st.floats(-10, 10), min_size=2, max_size=5), st.floats(0.5, 0.99))
def test_up_to_five_values_have_students_interval(values: list[float], level: float) -> None:
    assume(np.ptp(values) > 1e-6)
    expected = stats.ttest_1samp(values, 0).confidence_interval(level)
    interval = mean_interval(values, level)
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high), abs=1e-9)


@pytest.mark.parametrize("level", [0.5, 0.9, 0.95])
def test_mean_interval_covers_the_mean_as_often_as_it_says(level: float) -> None:
    samples = np.random.default_rng(0).normal(3, 2, (4000, 4))
    intervals = [mean_interval(sample, level) for sample in samples]
    covered = np.mean([one.low <= 3 <= one.high for one in intervals])
    assert covered == pytest.approx(level, abs=0.025)


def test_paired_difference_by_hand() -> None:
    """Differences .1, .2, .3: t = .2 / (.1 / sqrt(3)) = 3.4641, p = .0742 with 2 degrees."""
    a, b = {0: 0.6, 1: 0.8, 2: 0.9}, {2: 0.6, 1: 0.6, 0: 0.5}
    difference, p = paired_difference(a, b)
    assert (difference.mean, difference.n) == (pytest.approx(0.2), 3)
    assert p == pytest.approx(0.07418, abs=1e-5)
    assert p == pytest.approx(stats.ttest_rel([0.6, 0.8, 0.9], [0.5, 0.6, 0.6]).pvalue)


def test_only_shared_seeds_are_paired() -> None:
    a, b = {0: 0.5, 1: 0.9, 7: 0.0}, {1: 0.5, 0: 0.4, 8: 1.0}
    difference, _ = paired_difference(a, b)
    assert (difference.n, difference.mean) == (2, pytest.approx(0.25))


@pytest.mark.parametrize("b", [{}, {5: 0.1}, {0: 0.1, 5: 0.1}])
def test_fewer_than_two_shared_seeds_are_no_test(b: dict[int, float]) -> None:
    difference, p = paired_difference({0: 0.5, 1: 0.6}, b)
    assert (difference.n, difference.low, p) == (0 in b, None, None)


def test_equal_groups_differ_in_nothing() -> None:
    a = {0: 0.1 + 0.2, 1: 0.6}
    assert paired_difference(a, a)[1] == 1
    assert paired_difference(a, {0: 0.3, 1: 0.6})[1] == 1


def test_a_difference_without_variance_claims_no_certainty() -> None:
    difference, p = paired_difference({0: 0.9, 1: 0.8, 2: 0.3}, {0: 0.8, 1: 0.7, 2: 0.2})
    assert difference.mean == pytest.approx(0.1)
    assert p is None


@given(st.lists(st.tuples(shares, shares), min_size=2, max_size=8))
def test_swapping_the_groups_turns_the_sign_and_keeps_p(pairs: list[tuple[float, float]]) -> None:
    a = {seed: first for seed, (first, _) in enumerate(pairs)}
    b = {seed: second for seed, (_, second) in enumerate(pairs)}
    (there, p_there), (back, p_back) = paired_difference(a, b), paired_difference(b, a)
    assert (there.mean, there.low) == pytest.approx((-back.mean, -back.high))
    assert p_there == pytest.approx(p_back)


def test_holm_by_hand() -> None:
    """Of .01 .04 .03 .005: times 4 .02, times 3 .03, times 2 .06, and .04 lifted to .06."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_holm_leaves_none_and_does_not_count_it() -> None:
    assert holm([None, 0.02, None, 0.04]) == [None, 0.04, None, 0.04]
    assert holm([]) == []
    assert holm([None]) == [None]


@given(p_lists)
def test_holm_keeps_the_order_and_lies_between_raw_and_bonferroni(p_values) -> None:
    adjusted = holm(p_values)
    assert [p is None for p in adjusted] == [p is None for p in p_values]
    both = [pair for pair in zip(p_values, adjusted, strict=True) if pair[0] is not None]
    assert all(p <= q <= min(1, len(both) * p) for p, q in both)
    assert [q for _, q in sorted(both)] == sorted(q for _, q in both)


def test_holm_keeps_the_familywise_error_at_its_level() -> None:
    draws = np.random.default_rng(0).random((4000, 5))
    false_alarms = np.mean([min(holm(draw.tolist())) < 0.05 for draw in draws])
    assert false_alarms == pytest.approx(0.05, abs=0.012)


def test_compare_all_adjusts_over_every_pair() -> None:
    groups = {
        "simclr": {0: 0.80, 1: 0.83, 2: 0.81},
        "barlow": {0: 0.78, 1: 0.80, 2: 0.80},
        "none": {0: 0.60, 1: 0.66, 2: 0.59},
        "single": {0: 0.5},
    }
    pairs = [("simclr", "none"), ("simclr", "barlow"), ("simclr", "single")]
    compared = compare_all(groups, pairs)
    assert [(one.a, one.b) for one in compared] == pairs
    assert compared[0].difference.mean == pytest.approx(0.59 / 3)
    raw = [paired_difference(groups[a], groups[b])[1] for a, b in pairs]
    assert [one.p for one in compared] == raw
    assert [one.p_adjusted for one in compared] == pytest.approx([2 * raw[0], raw[1], None])


def test_a_group_that_is_not_to_be_tested_has_intervals_and_no_p() -> None:
    groups = {
        "a": {0: 0.80, 1: 0.83, 2: 0.81},
        "b": {0: 0.60, 1: 0.66, 2: 0.59},
        "c": {0: 0.70, 1: 0.71, 2: 0.69},
    }
    both, one = compare_all(groups, [("a", "b"), ("a", "c")], untested={"c"})
    assert both.p_adjusted == both.p == paired_difference(groups["a"], groups["b"])[1]
    assert (one.p, one.p_adjusted) == (None, None)
    assert one.difference == paired_difference(groups["a"], groups["c"])[0]


def test_kendall_by_hand() -> None:
    """Of six pairs, 5 agree and 1 does not."""
    assert kendall([1, 2, 3, 4], [1, 2, 4, 3]) == pytest.approx(4 / 6)
    assert kendall([1, 2, 3], [9, 5, 1]) == pytest.approx(-1)


@pytest.mark.parametrize(
    ("a", "b"), [([], []), ([1], [2]), ([1, 1], [1, 2]), ([1, 2, math.nan], [1, 2, 3])]
)
def test_kendall_of_no_ranking_is_none(a: list[float], b: list[float]) -> None:
    assert kendall(a, b) is None
