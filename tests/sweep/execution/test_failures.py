"""What can happen to a trial, each really caused, in the Ray that all tests share."""

import logging
import math
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import ray
import torch
from made_up import Play, point, result_of
from optuna.storages import InMemoryStorage
from real_sweep import Seen, prepare, run

from noisetune.records import MetricPoint, TrialResult
from noisetune.sweep.home import Home
from noisetune.sweep.study.scheduler import Scheduler
from noisetune.sweep.study.storage import open_sweep
from noisetune.training.loop import DivergedError

OpenScheduler = Callable[..., Play]
EPOCHS = 3
FIXED: dict[str, Any] = {"replicates": 1, "sampler": {"name": "random"}}


def needing(shares: dict[float, float], notes: Path) -> Callable[..., Any]:
    """A pipeline that runs out of memory in a process that may use less of a GPU than the
    share that its condition needs; the others are done without any."""
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])

    def pipeline(config: Any, *_: object) -> Any:
        granted = ray.get_runtime_context().get_assigned_resources().get("GPU", 1.0)
        with (notes / str(config.noise.rate)).open("a") as note:
            note.write(f"{granted:g}\n")
        yield epoch(config, 1)
        needed = shares.get(config.noise.rate, 0.0)
        if granted < needed:
            raise torch.OutOfMemoryError(f"tried to allocate {needed:g} of a GPU")
        for number in range(2, EPOCHS + 1):
            yield epoch(config, number)
        return ended(config)

    return pipeline


def epoch(config: Any, number: int) -> MetricPoint:
    return MetricPoint("finetune", number, {"val/accuracy": config.noise.rate + number / 100})


def ended(config: Any) -> TrialResult:
    best = {"epoch": float(EPOCHS), "test/accuracy": config.noise.rate}
    return TrialResult(config.to_json(), {"last": best}, {"f1": 0.5}, {}, {})


def granted(notes: Path, rate: float) -> list[float]:
    """The shares that the trial of a condition got, one after the other."""
    return [float(line) for line in (notes / str(rate)).read_text().split()]


@pytest.mark.long
def test_out_of_memory_comes_back_with_twice_the_share(tmp_path: Path, ray_at_hand: None) -> None:
    seen, share = Seen(), {"cpu": 0.5, "gpu": 0.5}
    space = {"conditions": {"noise.rate": [0.1, 0.2, 0.3]}, "parameters": {}}
    sweep = prepare(space, "memory", **FIXED, resources=share)
    pipeline = needing({0.2: 0.8, 0.3: 2.0}, tmp_path)
    assert run(Home(tmp_path), sweep, [seen], pipeline, share=False).finished
    assert granted(tmp_path, 0.1) == [0.5]
    assert granted(tmp_path, 0.2) == [0.5, 1.0]
    assert granted(tmp_path, 0.3) == [0.5, 1.0]

    calm, grown, failed = open_sweep(Home(tmp_path), "memory")[1].records(sweep.cells)
    assert (calm.state, grown.state, failed.state) == ("complete", "complete", "failed")
    assert grown.objective == 0.2 + EPOCHS / 100
    assert grown.config == calm.config | {"noise": calm.config["noise"] | {"rate": 0.2}}
    reason = "out of memory: tried to allocate 2 of a GPU; a whole GPU is not enough"
    assert failed.reason == reason
    told = Counter((name, point.step) for name, point in seen.points)
    assert len(told) == 2 * EPOCHS + 1
    assert set(told.values()) == {1}


def test_a_share_that_grew_survives_a_resume(open_scheduler: OpenScheduler) -> None:
    storage = InMemoryStorage()
    share = {"gpu": 0.2}
    before = open_scheduler(storage=storage, resources=share)
    job = before.next()
    before.scheduler.out_of_memory(job, "too much")
    assert before.next().gpu == 0.4
    after = open_scheduler(storage=storage, resources=share)
    assert after.next().gpu == 0.4
    larger = open_scheduler(storage=storage, resources={"gpu": 0.5})
    assert larger.next().gpu == 0.5


def test_shares_double_up_to_a_whole_gpu(open_scheduler: OpenScheduler) -> None:
    play = open_scheduler(resources={"gpu": 0.3}, trials_per_condition=1, replicates=0)
    shares = []
    while (job := play.scheduler.next()) is not None:
        shares.append(job.gpu)
        play.scheduler.out_of_memory(job, "too much")
    assert shares == [0.3, 0.6, 1.0]
    assert play.scheduler.finished


def test_on_cpus_a_trial_out_of_memory_fails_at_once(open_scheduler: OpenScheduler) -> None:
    play = open_scheduler(trials_per_condition=1, replicates=0)
    play.scheduler.out_of_memory(play.next(), "out of memory: too much")
    assert [each.reason for each in play.records()] == ["out of memory: too much"]


@pytest.mark.parametrize("word", ["out of memory", "lost"])
def test_after_the_end_a_trial_is_left_as_it_is(open_scheduler: OpenScheduler, word: str) -> None:
    play = open_scheduler(resources={"gpu": 0.25})
    job = play.next()
    play.scheduler.stopped = "budget.trials: all are used"
    (play.scheduler.lost if word == "lost" else play.scheduler.out_of_memory)(job, "too late")
    play.scheduler.close()
    assert play.scheduler.left == [job]
    assert [each.state for each in play.records()] == ["running"]


def test_a_trial_that_ends_as_the_sweep_is_stopped_has_ended(open_scheduler: OpenScheduler) -> None:
    play = open_scheduler(budget={"hours": 1})
    job = play.next()
    play.scheduler.spending.began -= 3601
    assert not play.scheduler.report(job, [point(1, 0.5)])
    play.scheduler.complete(job, result_of(job))
    assert play.scheduler.left == []
    assert [each.state for each in play.records()] == ["complete"]


class Unable:
    """A pipeline that only the driver has all parts of."""

    def __reduce__(self) -> Any:
        return _import_part, (os.getpid(),)


def _import_part(driver: int) -> Any:
    if os.getpid() == driver:
        return Unable()
    raise ImportError("libquux.so is not on this host")


@pytest.mark.long
def test_a_host_that_cannot_start_a_trial_pauses_the_sweep_and_says_why(
    tmp_path: Path, ray_at_hand: None
) -> None:
    sweep = prepare({"conditions": {"noise.rate": [0.1]}, "parameters": {}}, "unable", **FIXED)
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    scheduler = run(Home(tmp_path), sweep, [Seen()], Unable(), share=False)  # type: ignore[arg-type]
    assert "ended unexpectedly" in str(scheduler.fault)
    assert "libquux.so is not on this host" in str(scheduler.fault)
    (left,) = open_sweep(Home(tmp_path), "unable")[1].records(sweep.cells)
    assert (left.state, left.reason) == ("running", None)


MISHAPS = {0.1: "diverged", 0.15: "nan", 0.2: "raises", 0.25: "killed"}
GOOD = 0.35


def mishaps(notes: Path) -> Callable[..., Any]:
    """A pipeline with a mishap of the condition's own in its second epoch."""
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])

    def pipeline(config: Any, *_: object) -> Any:
        rate = config.noise.rate
        mishap = MISHAPS.get(rate)
        note = notes / str(rate)
        again = note.exists()
        with note.open("a") as lives:
            lives.write("began\n")
        yield epoch(config, 1)
        if mishap == "diverged":
            raise DivergedError("the loss is nan in epoch 2")
        if mishap == "raises":
            raise ZeroDivisionError("of a bug")
        if mishap == "killed" and not again:
            time.sleep(0.2)
            os.kill(os.getpid(), signal.SIGKILL)
        if mishap == "nan":
            yield MetricPoint("finetune", 2, {"val/accuracy": math.nan})
        for number in range(2, EPOCHS + 1):
            yield epoch(config, number)
        return ended(config)

    return pipeline


@pytest.fixture(scope="module")
def mishap_sweep(
    tmp_path_factory: pytest.TempPathFactory, ray_at_hand: None
) -> tuple[Path, Scheduler, Seen, list[str]]:
    """A sweep in which everything happens; where its notes are, and what was logged."""
    folder, seen, lines = tmp_path_factory.mktemp("mishaps"), Seen(), []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())

    listener, logger = Listener(), logging.getLogger("noisetune")
    logger.addHandler(listener)
    space = {"conditions": {"noise.rate": [*MISHAPS, GOOD]}, "parameters": {}}
    sweep = prepare(space, "mishaps", **FIXED)
    scheduler = run(Home(folder), sweep, [seen], mishaps(folder), share=False)
    logger.removeHandler(listener)
    return folder, scheduler, seen, lines


@pytest.mark.long
def test_every_mishap_is_in_the_ledger_and_the_sweep_goes_on(
    mishap_sweep: tuple[Path, Scheduler, Seen, list[str]],
) -> None:
    folder, scheduler, _, _ = mishap_sweep
    sweep, ledger = open_sweep(Home(folder), "mishaps")
    ends = {each.factors["noise.rate"]: each for each in ledger.records(sweep.cells)}
    assert scheduler.finished
    assert {rate: (each.state, each.reason) for rate, each in ends.items()} == {
        0.1: ("failed", "the loss is nan in epoch 2"),
        0.15: ("failed", "val/accuracy is nan in epoch 2"),
        0.2: ("failed", "ZeroDivisionError: of a bug"),
        0.25: ("complete", None),
        GOOD: ("complete", None),
    }
    assert {each.number for each in ends.values()} == {0}


@pytest.mark.long
def test_the_traceback_of_a_bug_is_logged_and_no_others(
    mishap_sweep: tuple[Path, Scheduler, Seen, list[str]],
) -> None:
    (line,) = (line for line in mishap_sweep[3] if "Traceback" in line)
    assert line.startswith("noise.rate=0.2 replicate 0 failed\nTraceback")
    assert "in pipeline" in line
    assert "ZeroDivisionError: of a bug" in line


@pytest.mark.long
def test_a_killed_process_is_begun_again_and_a_failed_trial_is_not(
    mishap_sweep: tuple[Path, Scheduler, Seen, list[str]],
) -> None:
    lives = {rate: (mishap_sweep[0] / str(rate)).read_text().count("began") for rate in MISHAPS}
    assert lives == {0.1: 1, 0.15: 1, 0.2: 1, 0.25: 2}


@pytest.mark.long
def test_no_epoch_is_told_twice(mishap_sweep: tuple[Path, Scheduler, Seen, list[str]]) -> None:
    told = Counter((name, each.stage, each.step) for name, each in mishap_sweep[2].points)
    assert set(told.values()) == {1}
    steps = sorted(step for name, _, step in told if "0.25" in name)
    assert steps == [1, 2, 3]
