"""Evidence in paired differences that holds at every look, as a sweep grows.

The mixture sequential t-test: under "the mean is `null`", for normal differences of any variance,
the likelihood ratio of the t statistic under a normal prior on the effect size is a test
supermartingale, so that it ever exceeds 1/alpha with probability at most alpha (Ville 1939; Lai
1976; Wang and Ramdas 2025, arXiv 2501.03982). Pure functions of arrays whose last axis is the
replicates in their order; all are vectorised over the axes before it.
"""

import math

import numpy as np
from numpy.typing import NDArray

from noisetune.selection import ROUNDING

Values = NDArray[np.float64]

PRIOR = 1.0
"""Variance of the prior on the effect size: mean over standard deviation of the differences."""

FEWEST = 5
"""Replicates under which there is no verdict."""


def log_evidence(differences: Values, null: float = 0.0) -> Values:
    """Logarithm of the e-process against "the mean is `null`", after each replicate (..., n).

    Of differences that are all alike it is 0: they tell of no variance, and so of nothing.
    """
    count = np.arange(1, differences.shape[-1] + 1)
    gap = differences - null
    explained = np.cumsum(gap, axis=-1) ** 2 / count
    left = np.cumsum(gap**2, axis=-1) - explained
    varies = _spread(differences) > ROUNDING
    ratio = explained / np.where(varies, np.maximum(left, ROUNDING**2), 1.0)
    spread = 1 + PRIOR * count
    log = (count * (np.log1p(ratio) - np.log1p(ratio / spread)) - np.log(spread)) / 2
    return np.where(varies, log, 0.0)


def log_p(evidence: Values) -> Values:
    """Logarithm of the anytime p after each replicate: one over the largest evidence so far.

    Looks before the fifth replicate count as none.
    """
    counted = np.where(_enough(evidence), np.maximum(evidence, 0.0), 0.0)
    return -np.maximum.accumulate(counted, axis=-1)


def difference_log_p(differences: Values) -> Values:
    """Anytime p (log) of "the mean is 0", after each replicate."""
    return log_p(log_evidence(differences))


def equality_log_p(differences: Values, margin: float) -> Values:
    """Anytime p (log) of "the mean is `margin` or more from 0", after each replicate.

    The mean must lie inside, and the evidence speak against both edges. Where it is outside, its
    own e-process is at least that of the edge which the sample mean has to pass.
    """
    inside = np.abs(_means(differences)) < margin
    edges = np.minimum(log_evidence(differences, margin), log_evidence(differences, -margin))
    return log_p(np.where(inside, edges, 0.0))


def confidence_sequence(differences: Values, level: float = 0.95) -> tuple[float, float] | None:
    """An interval of the mean (n,) that holds at `level` at every look, not at this one alone.

    None where there are fewer than two replicates, or where they are alike. It is infinite while
    the replicates are too few for any bound.
    """
    if len(differences) < 2 or np.ptp(differences) <= ROUNDING:
        return None
    mean, n = float(differences.mean()), len(differences)
    half = critical_t(n, 1 - level) * float(differences.std(ddof=1)) / math.sqrt(n)
    return mean - half, mean + half


def critical_t(n: int, alpha: float) -> float:
    """The |t| of `n` differences at which the evidence reaches 1/alpha; inf where none does."""
    spread = 1 + PRIOR * n
    ratio = (math.sqrt(spread) / alpha) ** (2 / n)
    if ratio >= spread:
        return math.inf
    return math.sqrt((n - 1) * (ratio - 1) / (1 - ratio / spread))


def _means(differences: Values) -> Values:
    return np.cumsum(differences, axis=-1) / np.arange(1, differences.shape[-1] + 1)


def _spread(differences: Values) -> Values:
    """Largest minus smallest so far."""
    largest = np.maximum.accumulate(differences, axis=-1)
    spread: Values = largest - np.minimum.accumulate(differences, axis=-1)
    return spread


def _enough(evidence: Values) -> NDArray[np.bool_]:
    return np.arange(1, evidence.shape[-1] + 1) >= FEWEST
