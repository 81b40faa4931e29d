"""What a driver knows of a sweep that runs, from the scheduler's own words."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest
from made_up import Play, point

from noisetune.records import MetricPoint, TrialRecord
from noisetune.sweep.watch.progress import LOOK_SECONDS, Progress
from noisetune.sweep.watch.snapshot import Snapshot, read_snapshot
from noisetune.sweep.watch.status_file import MOST, StatusFile

SPACE = {
    "conditions": {"noise.rate": [0.2, 0.6]},
    "parameters": {"finetune.lr": {"low": 1e-4, "high": 1e-2, "log": True}},
}


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def play(open_scheduler: Callable[..., Play], clock: Clock) -> Play:
    """Two conditions with two trials each; the first watcher is a Progress."""
    sweep = {"trials_per_condition": 2, "replicates": 0, "budget": {"gpu_hours": 3.0}}
    play = open_scheduler(SPACE, **sweep)
    play.ledger.size = play.scheduler.searcher.size
    names = [each.name for each in play.conditions]
    play.scheduler.watchers = [Progress(names, play.scheduler.config, play.ledger, clock)]
    return play


def progress_of(play: Play) -> Progress:
    (progress,) = play.scheduler.watchers
    assert isinstance(progress, Progress)
    return progress


def test_a_slot_says_trial_stage_and_epoch(play: Play, clock: Clock) -> None:
    job = play.next()
    (slot,) = progress_of(play).snapshot().slots
    assert (slot.trial, slot.stage, slot.step) == (job.name, "starting", 0)
    clock.now = 7.0
    play.scheduler.report(job, [MetricPoint("pretrain", 3, {"pretrain/loss": 4.0})])
    play.scheduler.report(job, [point(2, 0.125)])
    (slot,) = progress_of(play).snapshot().slots
    assert (slot.stage, slot.step, slot.steps, slot.value) == ("finetune", 2, 4, 0.125)
    assert slot.seconds == 7.0


def test_ends_are_counted_by_condition_with_the_best(play: Play, clock: Clock) -> None:
    clock.now = 1800.0
    play.run_all(lambda job: [0.1 * job.trial.number + 0.25] * 4)
    now = progress_of(play).snapshot()
    assert now.counts == {name: {"complete": 2} for name in now.counts}
    assert list(now.best.values()) == [0.35, 0.35]
    assert (now.ended, now.size, now.slots, now.hours_left) == (4, 4, [], (0.0, 0.0))
    assert now.per_hour == 8.0
    assert now.last[-1].endswith("complete val/accuracy 0.3500")
    assert now.gpu_budget == 3.0


def test_a_later_driver_starts_from_what_ended(play: Play) -> None:
    jobs = [play.next() for _ in range(3)]
    for job in jobs[:2]:
        play.run(job, [0.5] * 4)
    names = [each.name for each in play.conditions]
    later = Progress(names, play.scheduler.config, play.ledger)
    later.count(play.records())
    now = later.snapshot()
    assert (now.ended, now.size, now.per_hour, now.last) == (2, 4, None, [])


def test_what_was_spent_and_the_size_are_asked_for_once_in_a_while(
    play: Play, clock: Clock
) -> None:
    play.ledger.spent, play.ledger.size = {"gpu_hours": 2.5, "hours": 1.5}, 9
    play.next()
    assert progress_of(play).snapshot().gpu_hours == 0.0
    clock.now = LOOK_SECONDS
    play.next()
    now = progress_of(play).snapshot()
    assert (now.gpu_hours, now.hours, now.size) == (2.5, 1.5, 9)


def test_the_look_at_an_encoder_counts_where_a_gate_is_set(
    open_scheduler: Callable[..., Play],
) -> None:
    for gate, stage in (({}, "starting"), ({"rankme": 2.0}, "gate")):
        play = open_scheduler(SPACE, name="made-up", pretrain_gate=gate)
        progress = Progress(
            [each.name for each in play.conditions], play.scheduler.config, play.ledger
        )
        job = play.next()
        progress.started(job.record())
        progress.point(job.record(), MetricPoint("gate", 3, {"pretrain/rankme": 4.0}))
        assert progress.snapshot().slots[0].stage == stage


def test_a_file_says_the_same_to_others_at_most_once_a_second(
    play: Play, clock: Clock, tmp_path: Path
) -> None:
    file = StatusFile(tmp_path / "status.json", progress_of(play))
    play.scheduler.watchers = [file]
    with file.kept():
        assert read_snapshot(file.path) == file.progress.snapshot()
        job = play.next()
        assert read_snapshot(file.path) != file.progress.snapshot()
        clock.now = 1.0
        play.scheduler.report(job, [point(1, 0.5)])
        assert read_snapshot(file.path) == file.progress.snapshot()
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_takes_long_is_written_less_often(
    play: Play, clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = StatusFile(tmp_path / "status.json", progress_of(play))
    snapshot, taken = file.progress.snapshot, list[float]()

    def slow() -> Snapshot:
        clock.now += 0.5
        taken.append(clock.now)
        return snapshot()

    monkeypatch.setattr(file.progress, "snapshot", slow)
    play.scheduler.watchers = [file]
    with file.kept():
        job = play.next()
        for step in range(1, 101):
            clock.now = float(step)
            play.scheduler.report(job, [point(step, 0.5)])
    assert len(taken) == 1 + 100 * MOST / 0.5


def test_a_file_that_cannot_be_written_stops_nothing(play: Play, tmp_path: Path) -> None:
    file = StatusFile(tmp_path / "none" / "status.json", progress_of(play))
    with file.kept():
        pass
    assert read_snapshot(file.path) is None


def test_a_file_of_another_version_is_none(tmp_path: Path) -> None:
    file = tmp_path / "status.json"
    now = asdict(Snapshot("val/accuracy", 0, 1, {}, {}))
    for content in (
        "",
        "[1]",
        "{}",
        json.dumps(now | {"more": 1}),
        json.dumps(now | {"slots": [1]}),
    ):
        file.write_text(content)
        assert read_snapshot(file) is None
    file.write_text(json.dumps(now))
    assert read_snapshot(file) == Snapshot("val/accuracy", 0, 1, {}, {})


def test_a_trial_of_an_old_ledger_that_ends_is_counted(play: Play) -> None:
    """One that this driver did not see start."""
    job = play.next()
    progress = progress_of(play)
    progress.running.clear()
    play.run(job, [0.5] * 4)
    assert progress.snapshot().ended == 1
    assert isinstance(job.record(), TrialRecord)
