"""Budgets with a clock that is turned by hand."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from made_up import Play, point
from optuna.storages import BaseStorage, InMemoryStorage

from noisetune.sweep.spec.resources import Budget
from noisetune.sweep.study.budget import HOUR, SECONDS_BETWEEN_NOTES, Spending
from noisetune.sweep.study.job import Job
from noisetune.sweep.study.ledger import Ledger, journal

OpenScheduler = Callable[..., Play]
RATES = {
    "conditions": {"noise.rate": [0.2, 0.6]},
    "parameters": {"finetune.lr": {"low": 1e-4, "high": 1e-2, "log": True}},
}
PLAIN: dict[str, Any] = {"pruner": {"name": "none"}, "replicates": 0, "trials_per_condition": 99}


@dataclass
class Clock:
    """Seconds that pass when they are told to."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now

    def pass_hours(self, hours: float) -> None:
        self.now += hours * HOUR


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of every scheduler that is made."""
    clock = Clock()

    def spending(budget: Budget, ledger: Ledger) -> Spending:
        return Spending(budget, ledger, clock)

    monkeypatch.setattr("noisetune.sweep.study.scheduler.Spending", spending)
    return clock


@pytest.fixture
def start(open_scheduler: OpenScheduler, clock: Clock) -> Callable[..., Play]:
    def start(storage: BaseStorage | None = None, **sweep: Any) -> Play:
        return open_scheduler(sweep.pop("space", None), storage, **{**PLAIN, **sweep})

    return start


def run_all(play: Play, clock: Clock, hours: float = 1.0) -> list[Job]:
    """Run trials that take `hours` each, one after the other."""

    def values(job: Job) -> list[float]:
        clock.pass_hours(hours)
        return [0.5]

    return play.run_all(values)


def kinds(jobs: list[Job]) -> list[str]:
    return [job.kind for job in jobs]


def test_a_budget_of_trials_reserves_the_replicates(start: Callable[..., Play]) -> None:
    play = start(space=RATES, budget={"trials": 10}, replicates=3)
    jobs = play.run_all(lambda job: [0.5])
    assert kinds(jobs) == ["search"] * 4 + ["replicate"] * 6
    assert {job.condition.name for job in jobs[4:]} == {"noise.rate=0.2", "noise.rate=0.6"}
    assert play.scheduler.stopped == "budget.trials: 4 of 10 are used, and 6 are for replicates"
    assert (play.scheduler.over, play.scheduler.finished) == (True, False)


def test_a_budget_that_suffices_is_not_spoken_of(start: Callable[..., Play]) -> None:
    play = start(budget={"trials": 5}, trials_per_condition=3, replicates=2)
    assert len(play.run_all(lambda job: [0.5])) == 5
    assert (play.scheduler.stopped, play.scheduler.finished) == (None, True)


def test_a_budget_under_the_replicates_of_fixed_recipes_ends_them(
    start: Callable[..., Play],
) -> None:
    play = start(space={"parameters": {}}, budget={"trials": 3}, replicates=5)
    assert kinds(play.run_all(lambda job: [0.5])) == ["replicate"] * 3
    assert play.scheduler.stopped == "budget.trials: 3 of 3 are used"
    assert (play.scheduler.over, play.scheduler.finished) == (True, False)


def test_a_larger_budget_goes_on(start: Callable[..., Play]) -> None:
    storage = InMemoryStorage()
    start(storage, budget={"trials": 4}).run_all(lambda job: [0.5])
    same = start(storage, budget={"trials": 4})
    assert same.run_all(lambda job: [0.5]) == []
    assert same.scheduler.stopped == "budget.trials: 4 of 4 are used"
    more = start(storage, budget={"trials": 6}).run_all(lambda job: [0.5])
    assert [job.name for job in more] == ["all trial 4", "all trial 5"]


def test_hours_end_a_sweep(start: Callable[..., Play], clock: Clock) -> None:
    play = start(budget={"hours": 2.5})
    assert len(run_all(play, clock)) == 3
    assert play.scheduler.stopped == "budget.hours: 3 of 2.5 are used"


def test_at_the_end_of_the_hours_running_trials_are_left_for_a_resume(
    start: Callable[..., Play], clock: Clock
) -> None:
    storage = InMemoryStorage()
    play = start(storage, budget={"hours": 2})
    jobs = [play.next(), play.next()]
    clock.pass_hours(1)
    assert all(play.scheduler.report(job, [point(1, 0.5)]) for job in jobs)
    clock.pass_hours(1)
    assert [play.scheduler.report(job, [point(2, 0.6)]) for job in jobs] == [False, False]
    assert play.scheduler.next() is None
    assert (play.scheduler.over, play.scheduler.finished) == (True, False)
    assert play.scheduler.left == jobs
    play.scheduler.close()
    assert [record.state for record in play.records()] == ["running"] * 2

    after = start(storage, budget={"hours": 4})
    again = [after.next(), after.next()]
    assert [job.trial._trial_id for job in again] == [job.trial._trial_id for job in jobs]
    assert after.scheduler.stopped is None


def test_gpu_hours_are_the_share_times_the_time_held(
    start: Callable[..., Play], clock: Clock
) -> None:
    play = start(budget={"gpu_hours": 2}, resources={"gpu": 0.25})
    held = [play.next() for _ in range(4)]
    clock.pass_hours(1)
    assert all(play.scheduler.report(job, []) for job in held)
    assert play.scheduler.spending.gpu_hours_now == pytest.approx(1)
    clock.pass_hours(1)
    assert not play.scheduler.report(held[0], [])
    assert play.scheduler.stopped == "budget.gpu_hours: 2 of 2 are used"


def test_a_share_that_grew_counts_as_it_is(start: Callable[..., Play], clock: Clock) -> None:
    play = start(budget={"gpu_hours": 9}, resources={"gpu": 0.25})
    job = play.next()
    clock.pass_hours(4)
    play.scheduler.out_of_memory(job, "too much")
    clock.pass_hours(7)
    assert play.next() is job
    clock.pass_hours(2)
    assert play.scheduler.spending.gpu_hours_now == pytest.approx(4 * 0.25 + 2 * 0.5)


@pytest.mark.parametrize(
    ("budget", "resources"), [({"hours": 5}, {}), ({"gpu_hours": 5}, {"gpu": 1})]
)
@pytest.mark.parametrize("killed", [True, False])
def test_what_was_spent_is_kept_over_a_resume(
    start: Callable[..., Play],
    clock: Clock,
    tmp_path: Path,
    budget: dict[str, float],
    resources: dict[str, float],
    killed: bool,
) -> None:
    """A killed driver has not closed its scheduler: what it noted in passing counts."""
    sweep = {"budget": budget, "resources": resources}
    before = start(journal(tmp_path / "ledger"), **sweep)
    cut = before.next()
    clock.pass_hours(3)
    before.scheduler.report(cut, [])
    if not killed:
        before.scheduler.close()
    clock.pass_hours(100)  # nobody drives it

    after = start(journal(tmp_path / "ledger"), **sweep)
    job = after.next()
    clock.pass_hours(1.5)
    assert after.scheduler.report(job, [])
    clock.pass_hours(1)
    assert not after.scheduler.report(job, [])
    (field,) = budget
    assert after.scheduler.stopped == f"budget.{field}: 5.5 of 5 are used"


def test_the_ledger_is_not_written_at_every_point(
    start: Callable[..., Play], clock: Clock, tmp_path: Path
) -> None:
    play = start(journal(tmp_path / "ledger"), budget={"hours": 5})
    job = play.next()
    size = (tmp_path / "ledger").stat().st_size
    for _ in range(10):
        clock.now += SECONDS_BETWEEN_NOTES / 20
        play.scheduler.report(job, [])
    assert (tmp_path / "ledger").stat().st_size == size
    clock.now += SECONDS_BETWEEN_NOTES
    play.scheduler.report(job, [])
    assert (tmp_path / "ledger").stat().st_size > size


@pytest.mark.parametrize("resumed", [False, True])
def test_hours_are_reserved_for_the_replicates(
    start: Callable[..., Play], clock: Clock, resumed: bool
) -> None:
    """Trials take an hour: of seven, three are kept, also by a driver that has seen no trial."""
    storage = InMemoryStorage()
    play = start(storage, budget={"hours": 7}, replicates=3)
    jobs = []
    if resumed:
        for _ in range(4):
            job = play.next()
            clock.pass_hours(1)
            play.run(job, [0.5])
            jobs.append(job)
        play.scheduler.close()
        play = start(storage, budget={"hours": 7}, replicates=3)

    def values(job: Job) -> list[float]:
        clock.pass_hours(1 if job.kind == "search" else 0.9)
        return [0.5]

    jobs += play.run_all(values)
    assert kinds(jobs) == ["search"] * 4 + ["replicate"] * 3
    assert (
        play.scheduler.stopped == "budget.hours: 4 of 7 are used, and 3 are kept for 3 replicates"
    )


def test_patience_ends_the_search_of_a_condition_that_improves_no_more(
    start: Callable[..., Play],
) -> None:
    play = start(space=RATES, patience=3, trials_per_condition=12, replicates=1)
    stuck = [0.1, 0.5, 0.4, 0.4, 0.5]
    numbers: dict[str, list[int]] = {"noise.rate=0.2": [], "noise.rate=0.6": []}

    def values(job: Job) -> list[float]:
        if job.kind == "replicate":
            return [0.0]
        numbers[job.condition.name].append(job.trial.number)
        number = job.trial.number
        return [stuck[number] if job.condition.index == 0 else number / 100]

    jobs = play.run_all(values)
    assert numbers == {"noise.rate=0.2": list(range(5)), "noise.rate=0.6": list(range(12))}
    assert kinds(jobs).count("replicate") == 2
    assert play.scheduler.finished
    assert play.scheduler.stopped is None


def test_trials_that_fail_do_not_tire_patience_before_anything_is_found(
    start: Callable[..., Play],
) -> None:
    play = start(patience=2, trials_per_condition=6)
    jobs = play.run_all(lambda job: [math.nan] if job.trial.number < 4 else [0.5])
    assert len(jobs) == 6
