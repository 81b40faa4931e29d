import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from noisetune.analysis.statistics import (
    Interval,
    clean_slope,
    compare_all,
    diagonally_dominant,
    holm,
    kendall,
    mean_interval,
    paired_difference,
    selection_resolution,
    tied,
)

shares = st.floats(0, 1)
p_lists = st.lists(st.none() | shares, max_size=12)


def symmetric(rate: float, classes: int) -> np.ndarray:
    matrix = np.full((classes, classes), rate / (classes - 1))
    np.fill_diagonal(matrix, 1 - rate)
    return matrix


PAIR_FLIP = [[0.7, 0.3, 0.0], [0.0, 0.6, 0.4], [0.2, 0.0, 0.8]]


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


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_value_that_is_not_finite_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        mean_interval([0.5, value])


@given(st.lists(st.floats(-10, 10), min_size=2, max_size=20), st.floats(0.5, 0.99))
def test_mean_interval_agrees_with_scipy(values: list[float], level: float) -> None:
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


def test_clean_slope_by_hand() -> None:
    """Rows give .7 - .15, .6 - .2 and .8 - .1."""
    assert clean_slope(PAIR_FLIP) == pytest.approx((0.55 + 0.4 + 0.7) / 3)
    assert clean_slope(PAIR_FLIP, [2, 1, 1]) == pytest.approx((2 * 0.55 + 0.4 + 0.7) / 4)


@given(st.floats(0, 0.99), st.integers(2, 20), st.integers(0, 99))
def test_clean_slope_of_symmetric_noise_is_the_formula_at_any_prior(
    rate: float, classes: int, seed: int
) -> None:
    prior = np.random.default_rng(seed).dirichlet(np.ones(classes))
    expected = pytest.approx(1 - rate - rate / (classes - 1), abs=1e-9)
    assert clean_slope(symmetric(rate, classes)) == expected
    assert clean_slope(symmetric(rate, classes), prior) == expected


@pytest.mark.parametrize("matrix", [PAIR_FLIP, symmetric(0.6, 3), symmetric(0.8, 3)])
def test_clean_slope_is_what_a_simulation_measures(matrix) -> None:
    rng = np.random.default_rng(0)
    true = rng.integers(0, 3, 400_000)
    noisy = (rng.random(len(true))[:, None] > np.cumsum(matrix, axis=1)[true]).sum(axis=1)

    def agreement(clean_accuracy: float) -> float:
        wrong = rng.random(len(true)) >= clean_accuracy
        guess = np.where(wrong, (true + rng.integers(1, 3, len(true))) % 3, true)
        return float(np.mean(guess == noisy))

    assert (agreement(0.9) - agreement(0.4)) / 0.5 == pytest.approx(clean_slope(matrix), abs=0.01)


def test_absent_classes_are_left_out_of_a_noise_matrix() -> None:
    matrix = [[0.9, 0.1, 0.0], [None, None, None], [0.0, 0.4, 0.6]]
    assert clean_slope(matrix) == pytest.approx((0.85 + 0.4) / 2)
    assert clean_slope(matrix, [3, 5, 1]) == pytest.approx((3 * 0.85 + 0.4) / 4)
    assert diagonally_dominant(matrix)


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        ([[1.0]], "shape"),
        ([[0.5, 0.5]], "shape"),
        ([[0.5, 0.4], [0, 1]], "sum to 1"),
        ([[None, 1.0], [0, 1]], "sum to 1"),
        ([[None, None], [None, None]], "one must occur"),
    ],
)
def test_a_matrix_that_is_none_is_refused(matrix, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        clean_slope(matrix)


@pytest.mark.parametrize(
    ("matrix", "dominant"),
    [
        (np.eye(4), True),
        (PAIR_FLIP, True),
        (symmetric(0.65, 3), True),
        (symmetric(2 / 3, 3), False),
        (symmetric(0.7, 3), False),
        ([[0.4, 0.35, 0.25], [0.0, 0.5, 0.5], [0.0, 0.0, 1.0]], False),
    ],
)
def test_diagonally_dominant(matrix, dominant: bool) -> None:
    assert diagonally_dominant(matrix) is dominant


def test_selection_resolution_by_hand() -> None:
    """At .5 of 10,000 labels the error is .005; a slope of .25 makes it 2 points."""
    assert selection_resolution(0.5, 10_000, 0.25) == pytest.approx(0.02)
    assert selection_resolution(0.9, 100, 1.0) == pytest.approx(0.03)


@pytest.mark.parametrize("slope", [0.0, -0.1, 1e-17])
def test_noisy_labels_that_say_nothing_resolve_nothing(slope: float) -> None:
    assert selection_resolution(0.5, 100, slope) == math.inf


@pytest.mark.parametrize("accuracy", [0.0, 1.0])
def test_a_perfect_score_of_a_finite_sample_is_not_certain(accuracy: float) -> None:
    assert selection_resolution(accuracy, 99, 1.0) == pytest.approx(0.01)
    assert 0 < selection_resolution(accuracy, 99, 1.0) < selection_resolution(2 / 99, 99, 1.0)


@pytest.mark.parametrize("accuracy", [0.3, 0.8])
def test_selection_resolution_is_the_spread_of_estimates(accuracy: float) -> None:
    drawn = np.random.default_rng(0).binomial(500, accuracy, 20_000) / 500
    assert selection_resolution(accuracy, 500, 0.5) == pytest.approx(drawn.std() / 0.5, rel=0.02)


def test_tied_are_those_within_the_resolution_of_the_best() -> None:
    scores = {"a": 0.80, "b": 0.79, "c": 0.70, "d": math.nan}
    assert tied(scores, 0.01, "maximize") == {"a", "b"}
    assert tied(scores, 0.1, "minimize") == {"a", "b", "c"}
    assert tied(scores, 0.0, "minimize") == {"c"}
    assert tied(scores, math.inf, "maximize") == {"a", "b", "c"}
    assert tied({"x": math.inf, "y": math.inf}, 0.1, "minimize") == {"x", "y"}
    assert tied({}, 0.1, "maximize") == set()


@given(st.dictionaries(st.text(max_size=3), shares, min_size=1), shares)
def test_the_best_is_always_among_the_tied(scores: dict[str, float], resolution: float) -> None:
    negated = {name: -score for name, score in scores.items()}
    names = tied(scores, resolution, "maximize")
    assert max(scores, key=scores.__getitem__) in names
    assert names == tied(negated, resolution, "minimize")


def test_kendall_by_hand() -> None:
    """Of six pairs, 5 agree and 1 does not."""
    assert kendall([1, 2, 3, 4], [1, 2, 4, 3]) == pytest.approx(4 / 6)
    assert kendall([1, 2, 3], [9, 5, 1]) == pytest.approx(-1)


@pytest.mark.parametrize(
    ("a", "b"), [([], []), ([1], [2]), ([1, 1], [1, 2]), ([1, 2, math.nan], [1, 2, 3])]
)
def test_kendall_of_no_ranking_is_none(a: list[float], b: list[float]) -> None:
    assert kendall(a, b) is None
