"""How well the noisy objective ranked trials."""

import pytest
from test_tables import trial

from noisetune.analysis.ranking import ranking_of, ranking_table
from noisetune.analysis.rendering import cells_of
from noisetune.records import TrialRecord

CLEAN = [0.6, 0.7, 0.8, 0.75, 0.9, 0.85, 0.65, 0.95]


def trials(objectives: list[float], clean: list[float] = CLEAN) -> list[TrialRecord]:
    return [
        trial(number=number, objective=value, accuracy={"noisy_best": accuracy})
        for number, (value, accuracy) in enumerate(zip(objectives, clean, strict=False))
    ]


def test_a_perfect_ranking_costs_nothing() -> None:
    found = ranking_of("x", trials([value / 2 for value in CLEAN]), True)
    assert found is not None
    assert (found.n, found.tau, found.low, found.high, found.behind) == (8, 1.0, 1.0, 1.0, 0.0)


def test_a_loss_is_better_where_it_is_lower() -> None:
    found = ranking_of("x", trials([1 - value for value in CLEAN]), False)
    assert found is not None
    assert (found.tau, found.behind) == (1.0, 0.0)


def test_what_was_chosen_may_be_behind() -> None:
    found = ranking_of("x", trials([0.9, 0.1, 0.2, 0.3, 0.15, 0.25, 0.12, 0.11]), True)
    assert found is not None
    assert found.behind == pytest.approx(0.35)
    assert found.tau is not None
    assert found.low is not None
    assert found.high is not None
    assert -1 <= found.low <= found.tau <= found.high <= 1


@pytest.mark.parametrize(("count", "tau", "interval"), [(2, False, False), (5, True, False)])
def test_few_trials_have_no_interval(count: int, tau: bool, interval: bool) -> None:
    found = ranking_of("x", trials(CLEAN[:count]), True)
    assert found is not None
    assert (found.tau is not None, found.low is not None) == (tau, interval)
    assert ranking_of("x", trials(CLEAN[:1]), True) is None


def test_the_table_has_a_row_for_each() -> None:
    found = ranking_of("x", trials(CLEAN), True)
    assert found is not None
    ((name, n, *rest),) = cells_of(ranking_table([found], "val/accuracy"))
    assert (name.plain, n.plain) == ("x", "8")
    assert [each.plain for each in rest] == ["+1.00", "+1.00 .. +1.00", "0.0"]
