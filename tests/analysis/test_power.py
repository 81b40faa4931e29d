"""What replicates can establish, against simulated sweeps."""

import math

import numpy as np
import pytest

from noisetune.analysis.power import (
    largest_spread_for_equality,
    replicates_for,
    smallest_difference,
)
from tests.analysis import simulated_sweeps as simulated


@pytest.mark.parametrize(("n", "pairs"), [(8, 1), (12, 6), (20, 12)])
def test_the_smallest_difference_is_established_in_eight_of_ten_sweeps(n: int, pairs: int) -> None:
    gap = smallest_difference(n, spread=4.0, pairs=pairs)
    # A single pair at the level of the first step, as the function states it.
    values = simulated.gaps(4_000, 1, n, mean=gap, sd=4.0)
    found = np.exp(simulated.difference_log_p(values))[:, 0, -1] <= 0.05 / pairs
    assert 0.78 <= found.mean() <= 0.9


def test_fewer_than_five_establish_nothing() -> None:
    assert smallest_difference(4, 1.0) == math.inf
    assert largest_spread_for_equality(4, 1.0) == 0


def test_more_replicates_establish_less() -> None:
    gaps = [smallest_difference(n, 4.0, 6) for n in range(6, 60)]
    assert gaps == sorted(gaps, reverse=True)


def test_so_many_replicates_are_just_enough() -> None:
    n = replicates_for(6.0, 4.0, pairs=6)
    assert n is not None
    assert smallest_difference(n, 4.0, 6) <= 6 < smallest_difference(n - 1, 4.0, 6)
    assert replicates_for(0.01, 4.0) is None


@pytest.mark.parametrize(("n", "pairs"), [(12, 1), (20, 6)])
def test_equal_arms_of_the_largest_spread_are_declared_equal_in_eight_of_ten(
    n: int, pairs: int
) -> None:
    spread = largest_spread_for_equality(n, 1.0, pairs)
    values = simulated.gaps(4_000, 1, n, mean=0.0, sd=spread)
    found = np.exp(simulated.equality_log_p(values, 1.0))[:, 0, -1] <= 0.05 / pairs
    assert 0.78 <= found.mean() <= 0.95
