"""What replicates can establish before they run: smallest differences, and how many they take.

The chance that the last look alone is beyond the bound, from the noncentral t distribution: earlier
looks add a little to it. Differences and spreads have the same unit; the spread is the standard
deviation of a paired difference.
"""

import math

import numpy as np
from scipy import special

from noisetune.analysis.evidence import FEWEST, critical_t

POWER = 0.8
MOST = 200
"""More replicates than that are not looked at."""


def smallest_difference(n: int, spread: float, pairs: int = 1, level: float = 0.05) -> float:
    """The true difference that `n` replicates establish with a chance of 80 %, as the first of
    `pairs` in its family; inf where so few cannot."""
    bound = critical_t(n, level / pairs) if n >= FEWEST else math.inf
    if math.isinf(bound):
        return math.inf
    return float(special.nctdtrinc(n - 1, 1 - POWER, bound)) / math.sqrt(n) * spread


def replicates_for(
    difference: float, spread: float, pairs: int = 1, level: float = 0.05
) -> int | None:
    """How many replicates establish a true `difference` with 80 %; None for more than 200."""
    enough = (
        n
        for n in range(FEWEST, MOST + 1)
        if smallest_difference(n, spread, pairs, level) <= difference
    )
    return next(enough, None)


def largest_spread_for_equality(
    n: int, margin: float, pairs: int = 1, level: float = 0.05
) -> float:
    """The spread up to which `n` replicates of equal arms are declared equal with 80 %; or 0."""
    bound = critical_t(n, level / pairs) if n >= FEWEST else math.inf
    if math.isinf(bound):
        return 0.0
    low, high = 0.0, margin * math.sqrt(n)
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (
            (middle, high) if _equality(n, margin / middle, bound) >= POWER else (low, middle)
        )
    return low


def _equality(n: int, margin: float, bound: float) -> float:
    """The chance that the sequence of `n` equal arms of spread 1 lies within the `margin`."""
    shares = (np.arange(400) + 0.5) / 400
    # The sample deviation is a chi variable; given it, the mean must leave room for the half width.
    deviation = np.sqrt(special.chdtri(n - 1, 1 - shares) / (n - 1))
    room = margin * math.sqrt(n) - bound * deviation
    return float(np.where(room > 0, special.erf(room / math.sqrt(2)), 0.0).mean())
