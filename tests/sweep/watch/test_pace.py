"""How long the rest of a sweep takes, from what epochs and trials took."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noisetune.records import TrialRecord
from noisetune.sweep.watch.pace import Pace, Running

SECONDS = st.floats(0.1, 1000)


def running(stage: str = "starting", step: int = 0, since: float = 0.0, **epochs: int) -> Running:
    config = {name: {"epochs": number} for name, number in epochs.items()}
    trial = TrialRecord("t", "c", {}, "search", 0, "running", {}, config)
    return Running(trial, since, stage, step)


def pace(trials: list[float] = [], **epochs: list[float]) -> Pace:  # noqa: B006
    made = Pace()
    made.trials.extend(trials)
    for stage, seconds in epochs.items():
        for each in seconds:
            made.epoch(stage, each)
    return made


def hours(seconds: float) -> float:
    return pytest.approx(seconds / 3600)  # type: ignore[no-any-return]


def test_nothing_is_said_before_something_was_measured() -> None:
    assert Pace().hours_left([running(finetune=4)], 3, 1, 0.0) is None
    assert Pace().hours_left([], 3, 1, 0.0) is None
    assert Pace().hours_left([], 0, 1, 0.0) == (0.0, 0.0)


def test_what_runs_has_its_epochs_to_go_and_those_of_the_stage_after() -> None:
    measured = pace(pretrain=[2.0], finetune=[10.0])
    trial = running("pretrain", 3, pretrain=5, finetune=4)
    assert measured.hours_left([trial], 0, 1, 0.0) == (hours(44), hours(44))
    trial = running("finetune", 1, pretrain=5, finetune=4)
    assert measured.hours_left([trial], 0, 1, 0.0) == (hours(30), hours(30))


def test_before_a_trial_ended_those_to_come_have_the_epochs_of_one_that_runs() -> None:
    measured, trial = pace(finetune=[10.0]), running("finetune", 1, finetune=4)
    assert measured.hours_left([trial], 2, 1, 0.0) == (hours(30 + 80), hours(110))


def test_trials_to_come_take_what_trials_took_on_all_slots() -> None:
    measured = pace([10.0, 20.0, 30.0, 40.0, 50.0])
    assert measured.hours_left([], 6, 2, 0.0) == (hours(60), hours(120))
    begun = running("detect", 0, since=5.0)
    assert measured.hours_left([begun], 0, 1, 10.0) == (hours(15), hours(35))


def test_it_is_no_sooner_over_than_what_runs_longest() -> None:
    measured = pace([1.0], finetune=[100.0])
    trials = [running("finetune", 0, finetune=4), running("finetune", 3, finetune=4)]
    assert measured.hours_left(trials, 2, 2, 0.0) == (hours(400), hours(400))


@given(st.lists(SECONDS, min_size=1, max_size=9), st.integers(0, 50), st.integers(1, 9))
def test_the_range_has_two_ends_in_order(trials: list[float], to_come: int, slots: int) -> None:
    found = pace(trials).hours_left([], to_come, slots, 0.0)
    assert found is not None
    low, high = found
    assert 0 <= low <= high
    assert min(trials) * to_come / slots / 3600 <= high * (1 + 1e-9)
    assert low <= max(trials) * to_come / slots / 3600 * (1 + 1e-9)
