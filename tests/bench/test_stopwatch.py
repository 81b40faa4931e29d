"""What the benchmarks of the engine measure with."""

import time
from typing import Any

import optuna
import pytest

from noisetune.bench.bare import growth
from noisetune.bench.engine import OPTUNA, Setting, engine_sweep
from noisetune.bench.stopwatch import timed_calls


class Worker:
    def outer(self, value: int) -> int:
        return self.inner(value) + 1

    def inner(self, value: int) -> int:
        if value < 0:
            raise ValueError(value)
        return value


def test_calls_are_timed_one_by_one_and_give_what_they_gave() -> None:
    both = {"outer": (Worker, "outer"), "inner": (Worker, "inner")}
    with timed_calls(both) as calls:
        assert Worker().outer(2) == 3
        assert Worker().inner(5) == 5
        with pytest.raises(ValueError, match="-1"):
            Worker().outer(-1)
    assert {name: len(seconds) for name, seconds in calls.items()} == {"outer": 2, "inner": 3}
    # What is within another is no longer than it.
    assert 0 <= calls["inner"][0] <= calls["outer"][0]
    Worker().outer(1)
    assert len(calls["outer"]) == 2


class Slow(optuna.samplers.RandomSampler):
    def sample_relative(self, *given: Any) -> dict[str, Any]:
        time.sleep(0.05)
        return {}


def test_what_a_sampler_takes_is_of_optunas_part() -> None:
    study = optuna.create_study(sampler=Slow())
    with timed_calls(OPTUNA) as calls:
        study.ask().suggest_float("lr", 0.0, 1.0)
    assert sum(map(sum, calls.values())) >= 0.05


def test_growth_is_the_slope_of_the_second_half() -> None:
    start_up = [1000 * 2**number for number in range(10)]
    assert growth([*start_up, *(10**7 + 500 * number for number in range(10))]) == 500


@pytest.mark.parametrize(("trials", "conditions"), [(100, 1), (1000, 100)])
def test_trials_are_spread_over_the_conditions(trials: int, conditions: int) -> None:
    sweep = engine_sweep(trials, Setting(conditions, pruner="hyperband"))
    assert len(sweep.conditions) == conditions
    assert sweep.config.trials_per_condition * conditions == trials
    assert sweep.config.pruner_name == "hyperband"
