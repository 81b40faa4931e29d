import math

import numpy as np
import pytest

from noisetune.selection import selection_resolution


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
