"""A simulated cluster: who waits for the driver, and for how long."""

import itertools
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from noisetune.bench.bare import POINTS
from noisetune.bench.cluster import Cluster
from noisetune.bench.engine import Setting, engine_sweep, instant_pipeline
from noisetune.bench.slots import measure_slots
from noisetune.sweep.execution.launch import run_trials
from noisetune.sweep.execution.stop import TUNES
from noisetune.sweep.home import Home
from noisetune.sweep.study.lease import claim_sweep
from noisetune.sweep.study.storage import drive_ledger

STEPS = POINTS + 1


@pytest.fixture
def played(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Cluster]:
    def play(call_seconds: float, trials: int = 12, **given: Any) -> Cluster:
        """A cluster on which a sweep ran whose driver takes so long for whatever it is asked."""
        cluster = Cluster(**{"slots": 3, "gpu": 0.25, "seconds": 10.0} | given)
        sweep, home = engine_sweep(trials, Setting(sampler="random", pruner="none")), Home(tmp_path)
        clock = itertools.count()
        with claim_sweep(home, sweep.config.name) as lease, monkeypatch.context() as patch:
            ledger = drive_ledger(home, sweep, lease)
            patch.setattr(time, "perf_counter", lambda: call_seconds * next(clock))
            scheduler = run_trials(sweep, ledger, home, [], instant_pipeline, runner=cluster)
        assert scheduler.finished
        assert [each.state for each in ledger.records(sweep.cells)] == ["complete"] * trials
        return cluster

    return play


def test_no_slot_waits_for_a_driver_that_takes_no_time(played: Callable[..., Cluster]) -> None:
    cluster = played(0.0)
    assert cluster.idle_share == cluster.driver == 0.0
    assert cluster.full == 0.0
    # Four trials a slot, of steps of 5 to 15 seconds.
    assert 4 * STEPS * 5 < cluster.now < 4 * STEPS * 15


def test_slots_wait_for_a_driver_that_cannot_follow(played: Callable[..., Cluster]) -> None:
    one, three = played(20.0, slots=1), played(20.0, slots=3)
    assert one.idle_share is not None
    assert three.idle_share is not None
    # A step takes ten seconds and its answer twenty; and two others are answered before.
    assert one.idle_share == pytest.approx(2 / 3, abs=0.05)
    assert three.idle_share == pytest.approx(5 / 6, abs=0.05)
    # It is asked for each trial, and hears of each of its steps.
    assert one.driver == pytest.approx(20.0 * 12 * (1 + STEPS), rel=0.02)


def test_the_tail_in_which_no_trial_is_left_is_not_idle(played: Callable[..., Cluster]) -> None:
    cluster = played(20.0, trials=4)
    assert cluster.begun == 4
    # Two slots wait for the fourth trial's end, after the last has begun.
    assert cluster.now - cluster.end > STEPS * 25
    assert cluster.idle_share == pytest.approx(5 / 6, abs=0.1)


def test_slots_that_are_never_all_full_say_nothing(played: Callable[..., Cluster]) -> None:
    assert played(0.0, trials=2).idle_share is None


@pytest.mark.long
def test_what_a_driver_serves_is_measured_with_all_of_it_switched_on() -> None:
    figures = measure_slots(4, 12, 0.5, Setting(conditions=2, sampler="random"))
    assert (figures["slots"], figures["trials"], figures["conditions"]) == (4, 12, 2)
    assert 0 < figures["idle_share"] < 1
    assert 0 < figures["driver_share"] <= 1
    per_trial = figures["driver_seconds_per_trial"]
    assert figures["trials_per_second"] == pytest.approx(1 / per_trial[0])


def test_at_tunes_signal_it_ends_after_a_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep, home = engine_sweep(12, Setting(sampler="random", pruner="none")), Home(tmp_path)
    cluster, before = Cluster(slots=3, gpu=0.25), signal.getsignal(TUNES)
    hear = cluster._hear
    heard = list[object]()

    def interrupted(slot: Any) -> None:
        heard.append(slot)
        if len(heard) == 5:
            signal.raise_signal(TUNES)
        hear(slot)

    monkeypatch.setattr(cluster, "_hear", interrupted)
    with claim_sweep(home, sweep.config.name) as lease:
        ledger = drive_ledger(home, sweep, lease)
        scheduler = run_trials(sweep, ledger, home, [], instant_pipeline, runner=cluster)
    assert len(heard) == 5
    assert not scheduler.finished
    assert signal.getsignal(TUNES) == before
