import math
from dataclasses import dataclass
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from noisetune.records import MetricPoint
from noisetune.selection import (
    CHANGED,
    CLEAN,
    NOISY,
    WINDOW,
    best_epoch,
    best_trial,
    choose_epochs,
    group_of,
    is_grouping,
    label_wave,
    selection_resolution,
)


@dataclass(frozen=True)
class Trial:
    number: int
    value: float | None


def epochs(metric: str, *values: float | None) -> list[MetricPoint]:
    return [MetricPoint("finetune", step, {metric: value}) for step, value in enumerate(values, 1)]


@pytest.mark.parametrize(
    ("values", "best"),
    [((0.1, 0.5, 0.4), 2), ((0.5, 0.5, 0.5), 1), ((0.2, 0.4, 0.4), 2), ((None, 0.1), 2)],
)
def test_the_best_epoch_is_the_first_of_the_best(values: tuple[float, ...], best: int) -> None:
    assert best_epoch(epochs(NOISY, *values), NOISY).step == best


@pytest.mark.parametrize(
    ("changes", "stop"),
    [
        ((None,), 1),
        ((None, 0.5), 2),
        ((None, 0.5, 0.4, 0.3), 4),
        ((None, 0.5, 0.3, 0.6, 0.1), 3),
        # One epoch that rises is evened out by the two before it.
        ((None, 0.9, 0.5, 0.3, 0.4, 0.2), 6),
        ((None, 0.2, 0.0, 0.0, 0.0, 0.0), 5),
    ],
)
def test_label_wave_by_hand(changes: tuple[float, ...], stop: int) -> None:
    assert label_wave(epochs(CHANGED, *changes)).step == stop


shares = st.lists(st.integers(0, 20).map(lambda count: count / 20), max_size=12)


@given(shares)
def test_label_wave_is_the_lowest_average_before_the_first_that_is_higher(
    changes: list[float],
) -> None:
    """Each average by itself, exact."""
    counts = [round(20 * share) for share in changes]
    sums = [counts[max(0, end - WINDOW) : end] for end in range(1, len(counts) + 1)]
    averages = [sum(window) * 6 // len(window) for window in sums]  # 6: of 1, 2 and 3 epochs
    higher = [end for end in range(1, len(averages)) if averages[end] > min(averages[:end])]
    before = averages[: min(higher, default=len(averages))]
    expected = 2 + before.index(min(before)) if before else 1
    assert label_wave(epochs(CHANGED, None, *changes)).step == expected


def recorded(rows: list[tuple[float, float, float]]) -> list[MetricPoint]:
    """Epochs with all that is chosen by; in the first one nothing can have changed."""
    return [
        MetricPoint(
            "finetune",
            step,
            {NOISY: noisy, CLEAN: clean, CHANGED: change if step > 1 else None},
        )
        for step, (noisy, clean, change) in enumerate(rows, 1)
    ]


rows = st.lists(st.tuples(*[st.floats(0, 1)] * 3), min_size=1, max_size=8)


@given(rows.map(recorded))
def test_with_a_further_epoch_a_choice_stays_or_becomes_that_one(points: list[MetricPoint]) -> None:
    """So that what is kept of a choice can be kept when its epoch is there."""
    for end in range(2, len(points) + 1):
        before, now = choose_epochs(points[: end - 1]), choose_epochs(points[:end])
        for choice, point in now.items():
            assert point in (before[choice], points[end - 1])


def test_epochs_of_an_earlier_version_have_no_label_wave() -> None:
    old = epochs(NOISY, 0.1, 0.2)
    assert choose_epochs(old).keys() == {"last", "noisy_best", "oracle"}
    mixed = [*old, MetricPoint("finetune", 3, {NOISY: 0.1, CHANGED: None})]
    assert "label_wave" not in choose_epochs(mixed)


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
