"""One number over the noise rates: how much a method gains, over all groups of a sweep.

Aggregates after Agarwal et al. 2021 (arXiv 2108.13264): groups are strata, and replicates are
drawn anew within each. Both arms of a group are drawn at the same seeds, as they are compared.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from noisetune.analysis.statistics import Interval

RESAMPLES = 2000
Values = NDArray[np.float64]
Stratum = tuple[Values, Values]
"""Accuracies (n,) of both arms of a group, at the same seeds."""


@dataclass(frozen=True)
class Gain:
    """`a` against `b` over `groups` of conditions: what one gains, with 95 % intervals.

    `gain` is the mean over groups of the mean difference; `improvement` the chance that a
    replicate of `a` is better than one of `b` of the same group, ties half; `iqm_a` and `iqm_b`
    the means of the middle half of all replicates of all groups. `replicates` is the fewest of a
    group.
    """

    groups: int
    replicates: int
    gain: Interval
    improvement: Interval
    iqm_a: Interval
    iqm_b: Interval


def paired_stratum(a: Mapping[int, float], b: Mapping[int, float]) -> Stratum:
    """Both arms at the seeds that they share."""
    seeds = sorted(a.keys() & b.keys())
    return np.array([a[seed] for seed in seeds]), np.array([b[seed] for seed in seeds])


def overall_gain(strata: Sequence[Stratum], level: float = 0.95) -> Gain | None:
    """The aggregates of some groups; None for none, or where one has fewer than two replicates."""
    if not strata or min(len(a) for a, _ in strata) < 2:
        return None
    drawn = _resampled(strata)

    def interval(statistic: Callable[[Sequence[Stratum]], Values]) -> Interval:
        value = float(statistic([(a[None], b[None]) for a, b in strata])[0])
        ends = np.quantile(statistic(drawn), [(1 - level) / 2, (1 + level) / 2])
        return Interval(value, float(ends[0]), float(ends[1]), sum(len(a) for a, _ in strata))

    return Gain(
        groups=len(strata),
        replicates=min(len(a) for a, _ in strata),
        gain=interval(mean_gain),
        improvement=interval(probability_of_improvement),
        iqm_a=interval(lambda pairs: interquartile_mean([a for a, _ in pairs])),
        iqm_b=interval(lambda pairs: interquartile_mean([b for _, b in pairs])),
    )


def mean_gain(strata: Sequence[Stratum]) -> Values:
    """Mean over groups of the mean difference: arms (draws, n) -> (draws,)."""
    gains: Values = np.mean([(a - b).mean(axis=1) for a, b in strata], axis=0)
    return gains


def probability_of_improvement(strata: Sequence[Stratum]) -> Values:
    """Mean over groups of the share of pairs (any seed of a, any of b) that a wins (draws,)."""
    shares: Values = np.mean([_wins(a, b) for a, b in strata], axis=0)
    return shares


def interquartile_mean(arms: Sequence[Values]) -> Values:
    """The mean of the middle half of all values, a quarter cut off at either end (draws,)."""
    values = np.sort(np.concatenate(arms, axis=1), axis=1)
    cut = values.shape[1] // 4
    middle: Values = values[:, cut : values.shape[1] - cut].mean(axis=1)
    return middle


def _wins(a: Values, b: Values) -> Values:
    gap = a[:, :, None] - b[:, None, :]
    wins: Values = ((gap > 0) + 0.5 * (gap == 0)).mean(axis=(1, 2))
    return wins


def _resampled(strata: Sequence[Stratum]) -> list[Stratum]:
    """Each group with replicates drawn anew, the same ones for both arms (draws, n)."""
    rng = np.random.default_rng(0)
    rows = [rng.integers(0, len(a), (RESAMPLES, len(a))) for a, _ in strata]
    return [(a[row], b[row]) for (a, b), row in zip(strata, rows, strict=True)]
