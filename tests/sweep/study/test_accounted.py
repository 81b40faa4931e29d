"""Every replicate is accounted for: what it had come to, or when it runs again."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_up import Play
from optuna.storages import InMemoryStorage
from real_sweep import prepare, run_here

from noisetune.analysis.summaries import summarise
from noisetune.records import MetricPoint, TrialRecord, TrialResult
from noisetune.selection import CHANGED, CHOICES, CLEAN, NOISY
from noisetune.sweep.home import Home
from noisetune.sweep.study.job import Job
from noisetune.sweep.study.judgement import accuracy_before
from noisetune.sweep.study.ledger import MACHINE
from noisetune.sweep.study.scheduler import RESTARTS
from noisetune.sweep.study.storage import open_sweep
from noisetune.training.loop import DivergedError

OpenScheduler = Callable[..., Play]
FIXED: dict[str, Any] = {"parameters": {}}
CURVE = [(0.3, 0.40), (0.5, 0.35), (0.4, 0.30)]
"""Noisy and clean accuracy of three epochs: the noisy best is the second, and so is that of Label
Wave, the oracle's is the first one."""


def points(curve: list[tuple[float, float]]) -> list[MetricPoint]:
    """More and more predictions change."""
    return [
        MetricPoint(
            "finetune",
            epoch,
            {NOISY: noisy, CLEAN: clean, CHANGED: epoch / 10 if epoch > 1 else None},
        )
        for epoch, (noisy, clean) in enumerate(curve, start=1)
    ]


def at(values: list[float | None]) -> dict[str, float | None]:
    return {f"test/accuracy_at_{c}": v for c, v in zip(CHOICES, values, strict=True)}


def complete(play: Play, job: Job, value: float) -> None:
    play.scheduler.report(job, points([(value, value)]))
    epochs = {choice: {"test/accuracy": value} for choice in CHOICES}
    play.scheduler.complete(job, TrialResult({}, dict(epochs), {}, {}, {}))


def replicates(play: Play) -> dict[int, TrialRecord]:
    return {each.seed: each for each in play.records() if not each.replaced}


def test_a_trial_that_diverged_keeps_what_it_had_come_to() -> None:
    assert accuracy_before(points(CURVE), 0.1) == at([0.30, 0.35, 0.35, 0.40])


@pytest.mark.parametrize("chance", [0.1, None])
def test_one_that_had_no_epoch_counts_as_guessing(chance: float | None) -> None:
    assert accuracy_before([], chance) == at([chance] * len(CHOICES))


accuracies = st.floats(0, 1)


@given(curve=st.lists(st.tuples(accuracies, accuracies), min_size=1, max_size=6))
def test_an_epoch_that_is_not_finite_is_none(curve: list[tuple[float, float]]) -> None:
    broken = points([*curve, (0.5, math.nan)])
    assert accuracy_before(broken, 0.1) == accuracy_before(points(curve), 0.1)


def test_a_diverged_replicate_is_a_value_of_its_condition(open_scheduler: OpenScheduler) -> None:
    play = open_scheduler(FIXED, replicates=4)
    first, second, third, fourth = (play.next() for _ in range(4))
    complete(play, first, 0.6)
    play.scheduler.report(second, points(CURVE))
    play.scheduler.diverged(second, "the loss of epoch 4 is nan", 0.1)
    play.scheduler.diverged(third, "the loss of epoch 1 is nan", 0.1)
    play.scheduler.fail(fourth, "KeyError: of our own")
    (summary,) = summarise(play.records(), maximize=True)
    assert summary.replicates["noisy_best"] == {1: 0.6, 2: 0.35, 3: 0.1}
    assert (summary.planned, summary.diverged, summary.failed) == (4, (2, 3), (4,))
    assert [run.seed for run in summary.runs] == [1]
    assert play.heard.ended_as[second.name] == replicates(play)[2]
    assert replicates(play)[2].diverged
    assert replicates(play)[2].state == "failed"


def test_a_condition_of_which_every_replicate_diverged_is_no_blank(
    open_scheduler: OpenScheduler,
) -> None:
    play = open_scheduler(FIXED, replicates=2)
    for _ in range(2):
        play.scheduler.diverged(play.next(), "the loss of epoch 1 is nan", 0.1)
    (summary,) = summarise(play.records(), maximize=True)
    assert summary.winner is None
    assert (summary.replicates["last"], summary.diverged) == ({1: 0.1, 2: 0.1}, (1, 2))


def test_a_diverged_trial_of_a_search_never_wins(open_scheduler: OpenScheduler) -> None:
    play = open_scheduler(trials_per_condition=2, replicates=1)
    bad, good = play.next(), play.next()
    play.scheduler.report(bad, points([(0.9, 0.9)]))
    play.scheduler.diverged(bad, "the loss of epoch 2 is nan", 0.1)
    complete(play, good, 0.2)
    assert play.next().parameters == good.parameters


def lose(play: Play, job: Job) -> None:
    """Its process ends again and again, until the scheduler has had enough."""
    for _ in range(1 + RESTARTS):
        play.scheduler.lost(job, "the trial's process ended unexpectedly")
        if job.open and not play.scheduler.stopped:
            assert play.scheduler.next() is job


def test_a_replicate_that_the_machine_failed_runs_again_at_the_next_resume(
    open_scheduler: OpenScheduler,
) -> None:
    storage = InMemoryStorage()

    def resumed() -> Play:
        play = open_scheduler(FIXED, storage, replicates=2)
        play.ledger.run_failed_again(["all"], ("replicate",), MACHINE)
        return open_scheduler(FIXED, storage, replicates=2)

    play = resumed()
    lose(play, play.next())
    assert str(play.scheduler.fault).startswith("all replicate 0: the trial's process ended")
    play = resumed()
    lost = play.next()
    lose(play, lost)
    assert play.scheduler.fault is None
    complete(play, play.next(), 0.5)
    assert play.scheduler.finished
    (summary,) = summarise(play.records(), maximize=True)
    assert (summary.planned, summary.diverged, summary.failed) == (2, (), (1,))
    assert replicates(play)[1].machine
    play = resumed()
    again = play.next()
    assert (again.config, again.name) == (lost.config, "all replicate 2")
    complete(play, again, 0.7)
    (summary,) = summarise(play.records(), maximize=True)
    assert summary.replicates["last"] == {1: 0.7, 2: 0.5}
    assert (summary.planned, summary.failed, play.scheduler.finished) == (2, (), True)


def test_memory_that_no_gpu_has_is_tried_again_and_an_error_of_ours_is_not(
    open_scheduler: OpenScheduler,
) -> None:
    play = open_scheduler(FIXED, replicates=2, resources={"gpu": 1.0})
    play.scheduler.out_of_memory(play.next(), "out of memory")
    play.scheduler.fail(play.next(), "KeyError: of our own")
    assert [each.machine for each in play.records()] == [True, False]
    names = play.ledger.run_failed_again(["all"], ("replicate",), MACHINE)
    assert names == ["all replicate 0"]


def diverging(config: Any, *_: object) -> Any:
    """A pipeline that diverges after its second epoch, under the second seed."""
    yield from points(CURVE[:2])
    if config.replicate == 2:
        raise DivergedError("the loss of epoch 3 is nan")
    last = {"epoch": 2.0, "test/accuracy": 0.7}
    return TrialResult(config.to_json(), {"last": last, "noisy_best": last}, {}, {}, {})


def test_a_training_that_diverges_is_known_as_one(tmp_path: Path) -> None:
    sweep = prepare({"parameters": {}}, "mine", replicates=2)
    assert run_here(Home(tmp_path), sweep, pipeline=diverging, share=False).finished
    whole, diverged = open_sweep(Home(tmp_path), "mine")[1].records(sweep.cells)
    assert (whole.state, whole.diverged) == ("complete", False)
    assert (diverged.state, diverged.diverged) == ("failed", True)
    assert diverged.reason == "the loss of epoch 3 is nan"
    assert diverged.metrics == at([0.35, 0.35, 0.35, 0.40])
