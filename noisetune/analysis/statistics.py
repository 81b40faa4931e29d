"""How sure a comparison is: intervals, paired tests, ties and rankings.

Pure functions over floats. Intervals hold at their level for roughly normal values. They need
`scipy.special` alone: `scipy.stats` takes three times as long to import, and tables wait for it.
"""

import math
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from noisetune.analysis.intervals import studentised_bootstrap
from noisetune.selection import ROUNDING

FEW = 5
"""Up to so many values are shown one by one."""


@dataclass(frozen=True)
class Interval:
    """A mean with its confidence interval; `low` and `high` are None for fewer than two values.

    `mean` is None when there are no values at all.
    """

    mean: float | None
    low: float | None
    high: float | None
    n: int


@dataclass(frozen=True)
class Comparison:
    """Group `a` minus group `b`, paired by replicate; `p_adjusted` is Holm's over all compared."""

    a: str
    b: str
    difference: Interval
    p: float | None
    p_adjusted: float | None


def mean_interval(values: Iterable[float], level: float = 0.95) -> Interval:
    """The interval of a mean: bootstrap-t, which covers skewed values, from six values on.

    Up to five it is Student's t, since resamples of so few are too much alike, and so it is where
    nearly all values are equal. Equal values give an interval of no width.

    Raises ValueError for a value that is not finite: leave diverged replicates out, and say so.
    """
    sample = np.array(list(values), dtype=np.float64)
    if not np.isfinite(sample).all():
        raise ValueError(f"values: {sample.tolist()} must all be finite")
    if len(sample) < 2:
        return Interval(float(sample[0]) if len(sample) else None, None, None, len(sample))
    mean = float(sample.mean())
    drawn = studentised_bootstrap(sample, level) if len(sample) > FEW else None
    low, high = drawn or _student(sample, level)
    return Interval(mean, low, high, len(sample))


def welch_difference(a: Sequence[float], b: Sequence[float], level: float = 0.95) -> Interval:
    """Mean of `a` minus mean of `b`, two independent samples of unequal variance (Welch 1947).

    `n` is the size of the smaller one. `low` and `high` are None where one has fewer than two
    values, or does not vary; `mean` is None where one has none.
    """
    first, second = mean_interval(a), mean_interval(b)
    n = min(first.n, second.n)
    if first.mean is None or second.mean is None:
        return Interval(None, None, None, n)
    gap = first.mean - second.mean
    if n < 2 or min(np.ptp(a), np.ptp(b)) <= ROUNDING:
        return Interval(gap, None, None, n)
    squares = [_standard_error(np.array(each, dtype=np.float64)) ** 2 for each in (a, b)]
    freedom = sum(squares) ** 2 / sum(
        square**2 / (len(each) - 1) for square, each in zip(squares, (a, b), strict=True)
    )
    half = float(special.stdtrit(freedom, (1 + level) / 2)) * math.sqrt(sum(squares))
    return Interval(gap, gap - half, gap + half, n)


def paired_difference(
    a: Mapping[int, float], b: Mapping[int, float], level: float = 0.95
) -> tuple[Interval, float | None]:
    """Mean of a - b over the replicate seeds they share, and the two-sided p of the paired t test.

    Both hold for a number of replicates that was fixed beforehand, not at every look.

    p is None with fewer than two shared seeds. Where the differences do not vary, t is 0/0 or
    infinite: p is 1 when they are all zero (nothing differs), and None otherwise, since replicates
    that agree to the last digit do not estimate a variance and p = 0 would claim certainty.
    """
    seeds = sorted(a.keys() & b.keys())
    differences = np.array([a[seed] - b[seed] for seed in seeds], dtype=np.float64)
    if len(seeds) < 2:
        return mean_interval(differences, level), None
    interval = Interval(float(differences.mean()), *_student(differences, level), len(seeds))
    if np.ptp(differences) > ROUNDING:
        t = abs(float(differences.mean())) / _standard_error(differences)
        return interval, float(2 * special.stdtr(len(seeds) - 1, -t))
    return interval, 1.0 if np.abs(differences).max() <= ROUNDING else None


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm's step-down adjustment (Holm 1979), in the order given; None stays, uncounted."""
    tested = sorted((p, place) for place, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, (p, place) in enumerate(tested):
        largest = max(largest, min(1.0, (len(tested) - rank) * p))
        adjusted[place] = largest
    return adjusted


def compare_all(
    groups: Mapping[str, Mapping[int, float]],
    pairs: Sequence[tuple[str, str]],
    level: float = 0.95,
    untested: Container[str] = (),
) -> list[Comparison]:
    """Each pair of groups (label -> replicate seed -> score), p adjusted over all the pairs.

    A pair with one of the `untested` groups has an interval and no p.
    """
    differences = []
    for a, b in pairs:
        interval, p = paired_difference(groups[a], groups[b], level)
        differences.append((interval, None if a in untested or b in untested else p))
    adjusted = holm([p for _, p in differences])
    return [
        Comparison(a, b, interval, p, p_adjusted)
        for (a, b), (interval, p), p_adjusted in zip(pairs, differences, adjusted, strict=True)
    ]


def kendall(a: Sequence[float], b: Sequence[float]) -> float | None:
    """Kendall's tau-b of two rankings, -1..1; None for fewer than two, constant or nan values."""
    if len(a) < 2:
        return None
    first, second = (np.array(each, dtype=np.float64) for each in (a, b))
    if np.isnan(first).any() or np.isnan(second).any():
        return None
    # Which of each pair of values is larger, in each of the two rankings (Kendall 1945, tau-b).
    one, other = (
        (each[:, None] > each).astype(int) - (each[:, None] < each) for each in (first, second)
    )
    untied = math.sqrt(np.abs(one).sum() * np.abs(other).sum())
    return float((one * other).sum() / untied) if untied else None


def _student(sample: NDArray[np.float64], level: float) -> tuple[float, float]:
    mean = float(sample.mean())
    half = float(special.stdtrit(len(sample) - 1, (1 + level) / 2)) * _standard_error(sample)
    return mean - half, mean + half


def _standard_error(sample: NDArray[np.float64]) -> float:
    return float(sample.std(ddof=1)) / math.sqrt(len(sample))
