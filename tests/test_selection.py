import math
from dataclasses import dataclass
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from noisetune.selection import best_trial, group_of, is_grouping, selection_resolution


@dataclass(frozen=True)
class Trial:
    number: int
    value: float | None


values = st.lists(st.none() | st.floats(-1, 1), max_size=8)
trials = values.map(lambda drawn: list(map(Trial, range(len(drawn)), drawn)))


@given(trials, st.booleans(), st.randoms())
def test_the_best_trial_is_the_earliest_of_the_best(
    trials: list[Trial], maximize: bool, random: Random
) -> None:
    shuffled = random.sample(trials, len(trials))
    best = best_trial(shuffled, lambda trial: trial.value, maximize)
    worth = [(trial.value or 0.0) * (1 if maximize else -1) for trial in trials]
    assert best == (trials[worth.index(max(worth))] if trials else None)


@pytest.mark.parametrize(
    ("field", "grouping"),
    [
        ("noise.rate", True),
        ("data.name", True),
        ("data", True),
        ("database", False),
        ("pretrain.data", False),
    ],
)
def test_data_and_noise_are_what_is_compared_within(field: str, grouping: bool) -> None:
    assert is_grouping(field) is grouping
    assert group_of({field: 1}) == ({field: 1} if grouping else {})


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
