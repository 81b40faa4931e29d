"""Aggregates over groups of conditions, against rliable's."""

import numpy as np
import pytest
from rliable import metrics

from noisetune.analysis.over_conditions import (
    Stratum,
    interquartile_mean,
    mean_gain,
    overall_gain,
    paired_stratum,
    probability_of_improvement,
)


def strata(groups: int = 4, n: int = 8, gain: float = 0.05, seed: int = 0) -> list[Stratum]:
    rng = np.random.default_rng(seed)
    levels = np.linspace(0.9, 0.3, groups)
    shared = rng.normal(0, 0.03, (groups, n))
    own = rng.normal(0, 0.02, (2, groups, n))
    return [
        (level + gain + shared[k] + own[0, k], level + shared[k] + own[1, k])
        for k, level in enumerate(levels)
    ]


def one(pairs: list[Stratum]) -> list[Stratum]:
    return [(a[None], b[None]) for a, b in pairs]


@pytest.mark.parametrize("n", [5, 8, 10])
def test_the_interquartile_mean_is_rliables(n: int) -> None:
    arms = [a for a, _ in strata(n=n)]
    expected = metrics.aggregate_iqm(np.stack(arms, axis=1))
    assert interquartile_mean([each[None] for each in arms])[0] == pytest.approx(expected)


def test_the_probability_of_improvement_is_rliables() -> None:
    pairs = strata(gain=0.02)
    a, b = (np.stack(arms, axis=1) for arms in zip(*pairs, strict=True))
    expected = metrics.probability_of_improvement(a, b)
    assert probability_of_improvement(one(pairs))[0] == pytest.approx(expected)
    tied = [(np.full((1, 3), 0.5), np.full((1, 3), 0.5))]
    assert probability_of_improvement(tied)[0] == 0.5


def test_the_mean_gain_weighs_groups_alike() -> None:
    unequal = [(np.array([[1.0]]), np.array([[0.0]])), (np.zeros((1, 9)), np.zeros((1, 9)))]
    assert mean_gain(unequal)[0] == 0.5


def test_the_intervals_hold_the_value_and_pairing_narrows_that_of_the_gain() -> None:
    pairs = strata()
    paired = overall_gain(pairs)
    apart = overall_gain([(a, np.roll(b, 3)) for a, b in pairs])
    assert paired is not None
    assert apart is not None
    for each in (paired.gain, paired.improvement, paired.iqm_a, paired.iqm_b):
        assert each.low is not None
        assert each.high is not None
        assert each.mean is not None
        assert each.low <= each.mean <= each.high
    assert width(paired.gain.low, paired.gain.high) < width(apart.gain.low, apart.gain.high)
    assert overall_gain(pairs) == paired
    assert (paired.groups, paired.replicates) == (4, 8)


def width(low: float | None, high: float | None) -> float:
    assert low is not None
    assert high is not None
    return high - low


def test_the_interval_of_the_gain_covers_it() -> None:
    found = [overall_gain(strata(gain=0.05, seed=seed)) for seed in range(150)]
    inside = [
        each is not None and (each.gain.low or 0) <= 0.05 <= (each.gain.high or 0) for each in found
    ]
    assert np.mean(inside) >= 0.88


def test_both_arms_at_the_seeds_that_they_share() -> None:
    a, b = paired_stratum({1: 0.5, 2: 0.6, 4: 0.7}, {4: 0.1, 2: 0.2, 3: 0.3})
    assert a.tolist() == [0.6, 0.7]
    assert b.tolist() == [0.2, 0.1]


def test_a_group_of_one_replicate_has_no_aggregate() -> None:
    assert overall_gain([]) is None
    assert overall_gain([(np.array([0.5]), np.array([0.4]))]) is None
