"""Evidence at every look: against a plain computation, and its error rates in simulated sweeps."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

from noisetune.analysis.evidence import (
    FEWEST,
    confidence_sequence,
    critical_t,
    difference_log_p,
    equality_log_p,
    log_evidence,
)
from tests.analysis import simulated_sweeps as simulated

SWEEPS, LOOKS = 1_000, 20
PAIRS = (6, 12)
SHAPES: tuple[simulated.Shape, ...] = ("normal", "skewed", "collapsing")


@pytest.mark.parametrize("n", [2, 5, 9])
def test_the_evidence_is_the_mixture_of_noncentral_t_likelihoods(n: int) -> None:
    values = np.random.default_rng(n).normal(0.4, 1.0, n)
    t = stats.ttest_1samp(values, 0.0).statistic

    def weighted(effect: float) -> float:
        likelihood = stats.nct.pdf(t, n - 1, effect * math.sqrt(n))
        return float(likelihood * stats.norm.pdf(effect))

    mixture, _ = integrate.quad(weighted, -12, 12, limit=300)
    expected = math.log(mixture / stats.t.pdf(t, n - 1))
    assert log_evidence(values)[-1] == pytest.approx(expected, abs=1e-6)


def test_the_evidence_does_not_change_with_the_unit_or_the_sign() -> None:
    values = np.random.default_rng(0).normal(1.0, 1.0, 12)
    assert log_evidence(values * -100) == pytest.approx(log_evidence(values))


def test_differences_that_are_alike_are_no_evidence() -> None:
    assert np.all(log_evidence(np.full(10, 0.3)) == 0)
    assert np.all(difference_log_p(np.full(10, 0.3)) == 0)


def test_an_anytime_p_only_falls_and_begins_at_the_fifth_replicate() -> None:
    p = difference_log_p(np.random.default_rng(1).normal(2.0, 1.0, (50, 20)))
    assert np.all(np.diff(p, axis=-1) <= 0)
    assert np.all(p[:, : FEWEST - 1] == 0)
    assert np.any(p[:, FEWEST - 1] < 0)


@given(st.integers(5, 60), st.floats(0.001, 0.5))
def test_the_critical_t_is_where_the_evidence_reaches_its_bound(n: int, alpha: float) -> None:
    bound = critical_t(n, alpha)
    if math.isinf(bound):
        return
    base = np.linspace(-1, 1, n)
    values = base / base.std(ddof=1) + bound / math.sqrt(n)
    assert log_evidence(values)[-1] == pytest.approx(-math.log(alpha), abs=1e-6)


def test_the_sequence_holds_what_the_evidence_does_not_speak_against() -> None:
    values = np.random.default_rng(2).normal(0.3, 1.0, 15)
    interval = confidence_sequence(values)
    assert interval is not None
    for edge in interval:
        assert log_evidence(values, edge)[-1] == pytest.approx(math.log(20), abs=1e-6)
    assert confidence_sequence(values[:1]) is None
    assert confidence_sequence(np.full(4, 0.1)) is None
    assert confidence_sequence(values[:2]) == (-math.inf, math.inf)


def test_equality_needs_evidence_against_both_edges() -> None:
    narrow, wide = (np.random.default_rng(3).normal(0, sd, 20) for sd in (0.3, 3.0))
    assert equality_log_p(narrow, 1.0)[-1] < math.log(0.01)
    assert equality_log_p(wide, 1.0)[-1] > math.log(0.05)
    assert equality_log_p(narrow + 2, 1.0)[-1] == 0


def false_claims(shape: simulated.Shape, pairs: int, sweeps: int) -> float:
    rng = np.random.default_rng(pairs)
    values = simulated.differences(
        sweeps, pairs, LOOKS, rng, lambda size: simulated.arms(shape, size, rng)
    )
    return simulated.ever_in_a_table(simulated.claimed(values))


@pytest.mark.parametrize("pairs", PAIRS)
@pytest.mark.parametrize("shape", SHAPES)
def test_tables_of_equal_methods_seldom_ever_claim(shape: simulated.Shape, pairs: int) -> None:
    assert false_claims(shape, pairs, SWEEPS) <= 0.05


@pytest.mark.long
@pytest.mark.parametrize("pairs", PAIRS)
@pytest.mark.parametrize("shape", SHAPES)
def test_ten_thousand_tables_of_equal_methods(shape: simulated.Shape, pairs: int) -> None:
    rate = false_claims(shape, pairs, 10_000)
    print(f"{shape}, {pairs} pairs, every look to {LOOKS}: {100 * rate:.1f} % of tables ever claim")
    assert rate <= 0.05


@pytest.mark.parametrize(("pairs", "latest"), [(6, 12), (12, 14)])
def test_a_gap_of_one_and_a_half_spreads_is_claimed_in_time(pairs: int, latest: int) -> None:
    rejected = simulated.claimed(simulated.gaps(SWEEPS, pairs, 30, mean=6, sd=4))
    assert np.median(simulated.stops(rejected)) <= latest


@pytest.mark.parametrize("pairs", [1, *PAIRS])
def test_a_gap_of_the_margin_is_seldom_declared_equal(pairs: int) -> None:
    at_margin = simulated.gaps(SWEEPS, pairs, 40, mean=1.0, sd=0.8)
    assert simulated.ever_in_a_table(simulated.declared_equal(at_margin, 1.0)) <= 0.05


@pytest.mark.parametrize("pairs", [1, *PAIRS])
def test_equal_methods_of_a_small_spread_are_declared_equal_by_twenty(pairs: int) -> None:
    equal = simulated.gaps(SWEEPS, pairs, LOOKS, mean=0.0, sd=0.8)
    assert simulated.declared_equal(equal, 1.0)[..., -1].mean() >= 0.8


@pytest.mark.long
def test_ten_thousand_sweeps_in_figures() -> None:
    """Also what is measured and not bounded: equal means of unequal shapes."""
    for pairs in (1, *PAIRS):
        rejected = simulated.claimed(simulated.gaps(10_000, pairs, 30, mean=6, sd=4))
        at_margin = simulated.gaps(10_000, pairs, 40, mean=1.0, sd=0.8)
        false = simulated.ever_in_a_table(simulated.declared_equal(at_margin, 1.0))
        equal = simulated.gaps(10_000, pairs, LOOKS, mean=0.0, sd=0.8)
        declared = simulated.declared_equal(equal, 1.0)[..., -1].mean()
        print(
            f"{pairs} pairs: gap 6, sd 4: median stop {np.median(simulated.stops(rejected)):.0f}; "
            f"gap of the margin: {100 * false:.1f} % of tables ever equal; "
            f"no gap, spread .8: {100 * declared:.0f} % of pairs equal by {LOOKS}"
        )
        assert false <= 0.05
        assert declared >= 0.8
    for pairs in PAIRS:
        print(f"{pairs} pairs of equal mean, one arm collapsing: {unequal_shapes(pairs):.2f} claim")


def unequal_shapes(pairs: int, sweeps: int = 10_000) -> float:
    """The share of tables that claim where baselines collapse in a tenth of their seeds, and the
    methods, of the same mean, never do."""
    rng = np.random.default_rng(pairs)
    mean = 80 * 0.9 + 10 * 0.1
    values = simulated.differences(
        sweeps,
        pairs,
        LOOKS,
        rng,
        lambda size: mean + 3 * rng.normal(size=size),
        lambda size: simulated.arms("collapsing", size, rng),
    )
    return simulated.ever_in_a_table(simulated.claimed(values))
