"""Sweeps in worlds that are against them: what was promised holds in each of them.

`python tests/simulation/replay.py SEED` shows a schedule step by step.
"""

import os
import time
from dataclasses import replace

import pytest
from faults import Faults
from invariants import undisturbed, violations
from schedule import Schedule, run_through

from noisetune.store import Lease

MINUTES = 20.0
SEEDS = os.environ.get("NOISETUNE_SEEDS", "0:1000000")
"""Which schedules are long ones: from one seed up to another."""
FROZEN = Faults(freeze=0.03, switch=0.1, most=5)


def check(schedule: Schedule) -> int:
    """Run a schedule; the number of its steps, where all that was promised held."""
    with run_through(schedule) as course:
        wrong = violations(course)
        steps = course.world.steps
    listed = "".join(f"\n  {line}" for line in wrong)
    assert not wrong, f"{schedule} at step {steps}:{listed}"
    return steps


@pytest.mark.parametrize("seed", range(16))
def test_nothing_is_lost_or_doubled_whatever_befalls_a_sweep(seed: int) -> None:
    check(Schedule.drawn(seed))


@pytest.mark.parametrize("sweep", ["random", "repeatable", "shared"])
def test_a_driver_that_dies_at_any_step_loses_and_doubles_nothing(sweep: str) -> None:
    steps = check(Schedule(1, sweep))
    for step in range(5, steps, max(1, steps // 3)):
        check(Schedule(1, sweep, Faults(kill_at=step)))


@pytest.mark.parametrize("seed", range(2))
def test_the_same_holds_of_real_files(seed: int) -> None:
    check(Schedule.drawn(seed, durable=True))


def test_a_seed_is_the_same_schedule_step_by_step() -> None:
    digests = set()
    for _ in range(2):
        with run_through(Schedule.drawn(5)) as course:
            digests.add(course.world.digest())
    assert len(digests) == 1


def test_undisturbed_sweeps_have_all_their_trials() -> None:
    tables = {sweep: undisturbed(sweep) for sweep in ("random", "repeatable", "shared")}
    assert {sweep: len(table["ledger"]) for sweep, table in tables.items()} == {
        "random": 4,
        "repeatable": 8,
        "shared": 4,
    }
    assert all(len(table["MLflow"]) == len(table["ledger"]) + 1 for table in tables.values())


def test_drivers_that_nothing_fences_are_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    undisturbed("random")
    monkeypatch.setattr(Lease, "check", lambda lease: None)
    schedules = (Schedule(seed, "random", FROZEN, users=2) for seed in range(40))
    assert any(_goes_wrong(schedule) for schedule in schedules)


def _goes_wrong(schedule: Schedule) -> bool:
    with run_through(schedule) as course:
        return bool(violations(course))


@pytest.mark.long
@pytest.mark.timeout(0)
def test_as_many_schedules_as_there_is_time_for() -> None:
    first, last = map(int, SEEDS.split(":"))
    begun, done, wrong = time.monotonic(), 0, []
    for seed in range(first, last):
        if "NOISETUNE_SEEDS" not in os.environ and time.monotonic() - begun > MINUTES * 60:
            break
        try:
            check(Schedule.drawn(seed))
        except AssertionError as error:
            wrong.append(str(error))
            print(f"seed {seed}: {error}", flush=True)
        done += 1
    rate = done / (time.monotonic() - begun)
    print(f"{done} schedules from seed {first} on, {rate:.1f} a second, {len(wrong)} went wrong")
    assert done
    assert not wrong, "\n".join(wrong)


@pytest.mark.long
@pytest.mark.timeout(0)
@pytest.mark.parametrize("sweep", ["random", "repeatable", "shared"])
def test_a_driver_may_die_at_each_step(sweep: str) -> None:
    for step in range(1, check(Schedule(1, sweep)) + 1):
        check(Schedule(1, sweep, Faults(kill_at=step)))


@pytest.mark.long
@pytest.mark.timeout(0)
def test_two_hundred_schedules_over_real_files() -> None:
    for seed in range(200):
        check(replace(Schedule.drawn(seed), durable=True))
