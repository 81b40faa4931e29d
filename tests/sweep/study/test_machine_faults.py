"""A machine that fails: the sweep pauses, nothing is lost or failed, and a resume ends the same."""

import errno
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_up import Heard, Play, point
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from noisetune.records import MetricPoint, TrialRecord, TrialResult
from noisetune.sweep.study.job import Job
from noisetune.sweep.study.ledger import Ledger, journal
from noisetune.sweep.study.scheduler import RESTARTS

OpenScheduler = Callable[..., Play]
SPACE = {
    "conditions": {"noise.rate": [0.2, 0.6]},
    "parameters": {"finetune.lr": {"low": 1e-4, "high": 1e-2, "log": True}},
}
SIZES: dict[str, Any] = {
    "trials_per_condition": 2,
    "replicates": 1,
    "pruner": {"name": "none"},
    "sampler": {"name": "random", "seed": 5},
}


class FullAfter(JournalFileBackend):
    """A journal on a disk with room for a number of writes."""

    room = math.inf

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        if self.room <= 0:
            raise OSError(errno.ENOSPC, "No space left on device", "ledger.journal")
        self.room -= len(logs)
        super().append_logs(logs)


class Deaf(Heard):
    """A watcher whose disk is full after it has heard a number of things."""

    room = math.inf

    def _hear(self) -> None:
        self.room -= 1
        if self.room < 0:
            raise OSError(errno.ENOSPC, "No space left on device", "outbox.jsonl")

    def started(self, trial: TrialRecord) -> None:
        self._hear()

    def point(self, trial: TrialRecord, point: MetricPoint) -> None:
        self._hear()

    def result(self, trial: TrialRecord, result: TrialResult) -> None:
        self._hear()

    def ended(self, trial: TrialRecord) -> None:
        self._hear()


def curve(job: Job) -> list[float]:
    """An accuracy in each of three epochs that follows from the trial's values alone."""
    return [(math.log10(job.config.finetune.lr) + 4) / 3 * epoch for epoch in (1, 2, 3)]


def table(play: Play) -> list[tuple[Any, ...]]:
    return [(each.name, each.state, each.parameters, each.objective) for each in play.records()]


@pytest.fixture
def undisturbed(open_scheduler: OpenScheduler) -> list[tuple[Any, ...]]:
    play = open_scheduler(SPACE, **SIZES)
    play.run_all(curve)
    return table(play)


def resumed(open_scheduler: OpenScheduler, file: Path) -> Play:
    play = open_scheduler(SPACE, journal(file), **SIZES)
    play.run_all(curve)
    return play


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(room=st.integers(0, 60), where=st.sampled_from(["ledger", "watcher"]))
def test_a_disk_that_is_full_at_any_write_pauses_the_sweep(
    open_scheduler: OpenScheduler,
    undisturbed: list[tuple[Any, ...]],
    tmp_path_factory: pytest.TempPathFactory,
    room: int,
    where: str,
) -> None:
    file = tmp_path_factory.mktemp("full") / "ledger"
    Ledger.create(journal(file), "made-up", {})
    backend = FullAfter(str(file))
    play = open_scheduler(SPACE, JournalStorage(backend), **SIZES)
    deaf = Deaf()
    (backend if where == "ledger" else deaf).room = room
    play.scheduler.watchers = [deaf]
    play.run_all(curve)
    play.scheduler.close()
    if not play.scheduler.finished:
        name = "ledger.journal" if where == "ledger" else "outbox.jsonl"
        assert play.scheduler.fault == play.scheduler.stopped
        assert str(play.scheduler.fault).startswith(f"{name}: No space left on device; free some")
    again = resumed(open_scheduler, file)
    assert again.scheduler.finished
    assert table(again) == undisturbed


def test_a_fault_of_the_machine_fails_no_trial_and_begins_none(
    open_scheduler: OpenScheduler, undisturbed: list[tuple[Any, ...]], tmp_path: Path
) -> None:
    Ledger.create(journal(tmp_path / "ledger"), "made-up", {})
    play = open_scheduler(SPACE, journal(tmp_path / "ledger"), **SIZES)
    first, second = play.next(), play.next()
    play.scheduler.machine_failed(first, "the disk is full")
    assert play.scheduler.fault == f"{first.name}: the disk is full"
    assert play.scheduler.next() is None
    assert play.scheduler.report(second, [point(1, 0.5)]) is False
    assert play.scheduler.over
    assert play.scheduler.left == [first, second]
    assert {record.state for record in play.records()} == {"running"}
    assert table(resumed(open_scheduler, tmp_path / "ledger")) == undisturbed


def test_a_process_that_is_lost_again_after_a_resume_fails_its_trial(
    open_scheduler: OpenScheduler, tmp_path: Path
) -> None:
    """The first time it may be the machine; a trial that ends every process must not block all."""
    Ledger.create(journal(tmp_path / "ledger"), "made-up", {})
    for drive in (1, 2):
        play = open_scheduler(SPACE, journal(tmp_path / "ledger"), **SIZES)
        job = play.next()
        for _ in range(1 + RESTARTS):
            play.scheduler.lost(job, "the trial's process ended unexpectedly")
            play.scheduler.next() if job.open else None
        (record,) = (each for each in play.records() if each.name == job.name)
        assert record.state == ("running" if drive == 1 else "failed")
        assert (play.scheduler.fault is None) == (drive == 2)
