import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noisetune.curves import drop_from_peak, loss_escalation, overfits


def test_loss_escalation() -> None:
    assert loss_escalation([2.0, 1.0, 1.5]) == 1.5
    assert loss_escalation([2.0, 1.0]) == 1.0


@pytest.mark.parametrize("losses", [[], [1.0, 0.0], [1.0, math.nan], [math.nan, 1.0, math.inf]])
def test_loss_escalation_without_a_finite_ratio_is_none(losses: list[float]) -> None:
    assert loss_escalation(losses) is None


@pytest.mark.parametrize(
    ("test", "train", "overfit"),
    [
        ([2, 1, 1.5], [2, 1.5, 1], True),
        ([2, 1, 1.5], [2, 1, 1.5], False),  # both rise: it diverges
        ([2, 1.5, 1], [2, 1.5, 1], False),
        ([1, 3, 2], [2, 1, 1.5], True),  # compared over the stretch, not at each epoch
        ([1, 1, 2], [3, 2, 2], False),  # the rise starts at the second minimum
        ([1, math.inf], [2, 1], True),
        ([1, math.nan], [2, 1], False),
        ([], [], False),
    ],
)
def test_overfits(test: list[float], train: list[float], overfit: bool) -> None:
    assert overfits(test, train) is overfit


def test_overfits_refuses_losses_of_different_lengths() -> None:
    with pytest.raises(ValueError, match="2 test and 1 training"):
        overfits([1, 2], [1])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=9))
def test_the_drop_is_what_the_best_epoch_has_over_the_last(accuracies: list[float]) -> None:
    drop = drop_from_peak(accuracies)
    assert 0 <= drop <= 1
    assert (drop == 0) == (accuracies[-1] == max(accuracies))
    assert drop_from_peak([*accuracies, max(accuracies)]) == 0
