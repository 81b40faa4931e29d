"""Trials hear that their host is given up, and go on elsewhere."""

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from made_up import Play, some_slots

from noisetune import leaving
from noisetune.config import TrialConfig
from noisetune.leaving import HostLeaves
from noisetune.records import Event, Tick, TrialResult
from noisetune.sweep.execution.adapters import TuneSearcher
from noisetune.sweep.execution.draining import watch
from noisetune.sweep.execution.trainable import make_trainable
from noisetune.sweep.study.scheduler import RESTARTS

GIVEN_UP = [
    f"{HostLeaves.__module__}.HostLeaves: pretrain is kept up to epoch 3",
    "ray.exceptions.ActorDiedError: ...\n\tThe actor's node was killed by a spot preemption.",
]


@pytest.fixture(autouse=True)
def stays() -> Iterator[None]:
    yield
    leaving.withdraw()


def test_only_its_own_host_counts() -> None:
    watch(lambda: {"other": 1}, "mine")
    assert leaving.seconds_left() is None
    watch(lambda: {"other": 1, "mine": int(1000 * (time.time() + 90))}, "mine")
    left = leaving.seconds_left()
    assert left is not None
    assert 0 < left <= 91


def test_a_host_may_be_given_up_without_a_deadline() -> None:
    watch(lambda: {"mine": 0}, "mine")
    assert leaving.seconds_left() == float("inf")


def actor(pipeline: Any) -> Any:
    trial = TrialConfig.parse({}, "the test")
    job = {"name": "a", "config": trial.to_json(), "store": None, "milestones": [], "knn": False}
    return make_trainable(pipeline)(config={"job": json.dumps(job), "gpu": 0})


def test_a_trials_process_ends_so_that_ray_gives_it_no_other() -> None:
    def leaves(*_: Any) -> Iterator[Event]:
        yield Tick("pretrain", 0.1)
        raise HostLeaves("kept up to epoch 1")

    with pytest.raises(HostLeaves):
        actor(leaves).step()


def test_on_a_host_that_leaves_nothing_is_begun() -> None:
    def never(*_: Any) -> TrialResult:
        raise AssertionError("it was begun")

    leaving.announce(60.0)
    with pytest.raises(HostLeaves):
        actor(never).step()


@pytest.mark.parametrize("cause", GIVEN_UP)
def test_such_a_trial_goes_on_however_often(
    open_scheduler: Callable[..., Play], cause: str
) -> None:
    play = open_scheduler(trials_per_condition=1, replicates=0)
    searcher = TuneSearcher(play.scheduler, None, some_slots(1), True)
    for life in map(str, range(2 + RESTARTS)):
        assert json.loads(searcher.suggest(life)["job"])["name"] == "all trial 0"
        searcher.causes[life] = cause
        searcher.on_trial_complete(life, None, error=True)
    assert play.scheduler.fault is None
    assert [record.state for record in play.records()] == ["running"]
