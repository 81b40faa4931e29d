"""Trials whose pre-training a sibling computes are held back; nothing else is."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_up import Play, point, result_of

from noisetune.config import TrialConfig
from noisetune.records import MetricPoint
from noisetune.ssl.base import SSLConfig
from noisetune.store import Artifact, Lease, StageKey, Store, StoreLike
from noisetune.sweep.spec.conditions import milestones
from noisetune.sweep.study.job import Job
from noisetune.sweep.study.order import Order
from noisetune.sweep.study.scheduler import MOST_HELD

OpenScheduler = Callable[..., Play]
TinyTrial = Callable[..., TrialConfig]
TRIAL = {"data": {"train_samples": 20, "test_samples": 10}, "finetune": {"epochs": 1}}
EPOCHS = {"choices": [2, 5], "when": {"pretrain.method": ["simclr", "barlow_twins"]}}
TWO_RATES = {"conditions": {"pretrain.method": ["none", "simclr"], "noise.rate": [0.2, 0.6]}}
GRID: dict[str, Any] = {
    "conditions": {"pretrain.method": ["none", "simclr", "barlow_twins"], "noise.rate": [0.2, 0.6]},
    "parameters": {"pretrain.epochs": EPOCHS, "finetune.lr": {"choices": [1e-3, 3e-3]}},
}
GATE = MetricPoint("gate", 1, {})


@pytest.fixture
def store() -> Store:
    return Store.open(f"memory://{uuid.uuid4().hex}")


@pytest.fixture
def shared(open_scheduler: OpenScheduler, store: Store) -> Callable[..., Play]:
    """A scheduler whose trials share the store."""

    def shared(space: dict[str, Any] = TWO_RATES, **sweep: Any) -> Play:
        play = open_scheduler(
            space, **{"trial": TRIAL, "replicates": 0, "pruner": {"name": "none"}} | sweep
        )
        play.scheduler.order = Order(store)
        return play

    return shared


def hand_out(play: Play) -> list[Job]:
    """All trials that may start now."""
    jobs = []
    while (job := play.scheduler.next()) is not None:
        jobs.append(job)
    return jobs


def shelf(play: Play, config: TrialConfig) -> tuple[StoreLike, StageKey]:
    """Where a trial's encoder is, or will be."""
    key, store = play.scheduler.order.key(config), play.scheduler.order.store
    assert key is not None
    assert store is not None
    return store, key


def leased(play: Play, config: TrialConfig) -> Lease:
    """The right to compute a trial's encoder, for somebody else."""
    store, key = shelf(play, config)
    lease = store.lease(key)
    assert lease is not None
    return lease


def publish(play: Play, job: Job, epochs: int) -> None:
    """The trial's pre-training reached this epoch."""
    store, key = shelf(play, job.config)
    with leased(play, job.config) as lease:
        store.publish(key, epochs, Artifact(), lease)


def names(jobs: list[Job]) -> list[str]:
    return [job.name for job in jobs]


def fixed(method: str = "simclr", **sweep: Any) -> dict[str, Any]:
    """Two noise rates on one encoder, each with one trial."""
    space = {"conditions": {"noise.rate": [0.2, 0.6]}, "parameters": {}}
    return {"space": space, "trial": TRIAL | {"pretrain": {"method": method}}} | sweep


def test_what_a_sibling_computes_is_held_back_and_the_rest_goes_on(
    shared: Callable[..., Play],
) -> None:
    play = shared()
    assert names(hand_out(play)) == [
        "pretrain.method=none noise.rate=0.2 trial 0",
        "pretrain.method=none noise.rate=0.6 trial 0",
        "pretrain.method=simclr noise.rate=0.2 trial 0",
    ]
    assert names(play.scheduler.held) == ["pretrain.method=simclr noise.rate=0.6 trial 0"]
    assert not play.scheduler.finished


def test_it_is_released_when_its_encoder_is_there(shared: Callable[..., Play]) -> None:
    play = shared(**fixed())
    (first,) = hand_out(play)
    publish(play, first, first.config.pretrain.epochs)
    assert names(hand_out(play)) == ["noise.rate=0.6 trial 0"]


def test_a_checkpoint_that_nobody_asked_for_releases_nothing(shared: Callable[..., Play]) -> None:
    play = shared(**fixed())
    (first,) = hand_out(play)
    publish(play, first, first.config.pretrain.epochs - 1)
    assert hand_out(play) == []


@pytest.mark.parametrize("how", ["passes the gate", "fine-tunes", "fails", "completes"])
def test_it_is_released_when_its_sibling_computes_it_no_more(
    shared: Callable[..., Play], how: str
) -> None:
    play = shared(**fixed())
    (first,) = hand_out(play)
    play.scheduler.report(first, [MetricPoint("pretrain", 1, {"pretrain/loss": 2.0})])
    assert hand_out(play) == []
    if how == "passes the gate":
        play.scheduler.report(first, [GATE])
    elif how == "fine-tunes":
        play.scheduler.report(first, [point(1, 0.5)])
    elif how == "fails":
        play.scheduler.fail(first, "its machine is gone")
    else:
        play.run(first, [0.5])
    assert names(hand_out(play)) == ["noise.rate=0.6 trial 0"]


def lengths(*epochs: int) -> dict[str, Any]:
    """One pre-training to these epochs, in this order."""
    return {"conditions": {"pretrain.epochs": epochs}}


def test_one_is_released_at_a_time_where_each_goes_on_computing(
    shared: Callable[..., Play],
) -> None:
    """The next length continues the run, the one after waits for that."""
    play = shared(lengths(2, 3, 4))
    for epochs in (2, 3, 4):
        (job,) = hand_out(play)
        assert job.config.pretrain.epochs == epochs
        play.scheduler.report(job, [GATE])
    assert hand_out(play) == []


def test_a_shorter_sibling_needs_only_its_own_milestone(shared: Callable[..., Play]) -> None:
    play = shared(lengths(5, 2, 3))
    (first,) = hand_out(play)
    assert milestones(play.conditions) == (2, 3, 5)
    publish(play, first, 2)
    assert [job.config.pretrain.epochs for job in hand_out(play)] == [2]


def test_a_longer_sibling_waits_until_the_shorter_is_done(shared: Callable[..., Play]) -> None:
    play = shared(lengths(2, 5))
    (first,) = hand_out(play)
    publish(play, first, 2)
    assert hand_out(play) == []
    play.scheduler.report(first, [GATE])
    assert [job.config.pretrain.epochs for job in hand_out(play)] == [5]


def test_what_is_ready_goes_before_what_is_new(shared: Callable[..., Play]) -> None:
    space = {**TWO_RATES, "parameters": {"finetune.lr": {"low": 1e-4, "high": 1e-2, "log": True}}}
    play = shared(space, trials_per_condition=2)
    jobs = [play.next() for _ in range(4)]
    assert [job.config.pretrain.method for job in jobs] == ["none", "none", "simclr", "none"]
    publish(play, jobs[2], jobs[2].config.pretrain.epochs)
    held = names(play.scheduler.held)
    assert names([play.next() for _ in held]) == held
    assert names([play.next()]) == ["pretrain.method=none noise.rate=0.6 trial 1"]


def test_what_another_sweep_computes_is_held_back_too(shared: Callable[..., Play]) -> None:
    play = shared(**fixed())
    with leased(play, play.conditions[0].trial({}).resolve(1, 0)):
        assert hand_out(play) == []
        assert not play.scheduler.finished
    assert names(hand_out(play)) == ["noise.rate=0.2 trial 0"]


def test_another_replicate_is_another_encoder(shared: Callable[..., Play]) -> None:
    play = shared(**fixed(replicates=2))
    first = hand_out(play)
    assert [job.config.replicate for job in first] == [1, 2]
    assert [job.config.replicate for job in play.scheduler.held] == [1, 2]


def test_a_shared_encoder_holds_back_replicates_too(shared: Callable[..., Play]) -> None:
    play = shared(**fixed(replicates=2))
    for condition in play.conditions:
        condition.base["pretrain_seed"] = "shared"
    assert len(hand_out(play)) == 1
    assert len(play.scheduler.held) == 3


@pytest.mark.parametrize("order", [Order(None), None], ids=["no store", "no order"])
def test_without_a_store_nothing_is_held(
    open_scheduler: OpenScheduler, order: Order | None
) -> None:
    play = open_scheduler(TWO_RATES, trial=TRIAL, replicates=0)
    play.scheduler.order = order or play.scheduler.order
    jobs = hand_out(play)
    assert len(jobs) == 4
    assert {job.pretraining for job in jobs} == {None}
    assert play.scheduler.held == []


def test_not_more_are_asked_for_than_are_worth_holding(shared: Callable[..., Play]) -> None:
    lr = {"finetune.lr": {"low": 1e-4, "high": 1e-2, "log": True}}
    play = shared({"parameters": lr}, trials_per_condition=MOST_HELD + 9)
    (first,) = hand_out(play)
    assert len(play.scheduler.held) == MOST_HELD
    assert len(play.records()) == MOST_HELD + 1
    publish(play, first, first.config.pretrain.epochs)
    assert len(hand_out(play)) == MOST_HELD + 8


def test_a_paused_trial_waits_for_others_and_not_for_itself(shared: Callable[..., Play]) -> None:
    play = shared(**fixed())
    (first,) = hand_out(play)
    assert play.scheduler.can_go_on(first)
    with leased(play, first.config):
        assert not play.scheduler.can_go_on(first)
    assert play.scheduler.can_go_on(first)


def test_a_trial_that_was_cut_off_is_held_back_like_any_other(
    open_scheduler: OpenScheduler, store: Store
) -> None:
    before = open_scheduler(**fixed(), replicates=0)
    cut = hand_out(before)
    assert len(cut) == 2
    play = open_scheduler(**fixed(), replicates=0, storage=before.ledger.storage)
    play.scheduler.order = Order(store)
    (first,) = hand_out(play)
    assert names([first, *play.scheduler.held]) == names(cut)


@pytest.mark.parametrize(
    ("running", "start"), [("nothing", True), ("the same", False), ("another", True)]
)
def test_who_works_on_the_same_key_is_in_the_way(
    tiny_trial: TinyTrial, store: Store, running: str, start: bool
) -> None:
    order, config = Order(store), tiny_trial()
    digests = {"nothing": None, "another": "0" * 32}
    key = order.key(config)
    assert key is not None
    sibling = SimpleNamespace(config=config, pretraining=digests.get(running, key.digest))
    assert order.can_start(config, [sibling]) == start


@dataclass
class Slots:
    """Trials at work: each computes its encoder, fine-tunes and ends, or fails on the way."""

    play: Play
    running: list[tuple[Job, int]] = field(default_factory=list)
    ran: list[str] = field(default_factory=list)

    def start(self) -> bool:
        job = self.play.scheduler.next()
        if job is None:
            return False
        self.ran.append(job.name)
        self.running.append((job, 0))
        computing = [other.pretraining for other, _ in self.running if self.computes(other)]
        assert len(computing) == len(set(computing))
        return True

    def computes(self, job: Job) -> bool:
        """Whether the trial is at work on an encoder that the store does not have."""
        if job.pretraining is None:
            return False
        assert isinstance(job.config.pretrain, SSLConfig)
        store, key = shelf(self.play, job.config)
        return job.config.pretrain.epochs not in store.steps(key)

    def advance(self, which: int, fails: bool) -> None:
        job, done = self.running.pop(which % len(self.running))
        if fails:
            self.play.scheduler.fail(job, "so it was")
        elif self.computes(job):
            if done + 1 in (2, 5):
                publish(self.play, job, done + 1)
            self.running.append((job, done + 1))
        elif job.pretraining is not None:
            self.play.scheduler.report(job, [GATE])
            self.running.append((job, done))
        else:
            self.play.scheduler.report(job, [point(1, 0.5)])
            self.play.scheduler.complete(job, result_of(job))


@pytest.mark.long
@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None
)
@given(
    slots=st.integers(1, 5),
    turns=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 9)), max_size=60),
)
def test_every_trial_gets_its_turn_and_no_encoder_is_computed_twice_at_once(
    open_scheduler: OpenScheduler, slots: int, turns: list[tuple[int, int]]
) -> None:
    grid = {"sampler": {"name": "grid"}, "trials_per_condition": 99, "replicates": 1}
    play = open_scheduler(GRID, trial=TRIAL, pruner={"name": "none"}, **grid)
    play.scheduler.order = Order(Store.open(f"memory://{uuid.uuid4().hex}"))
    machine = Slots(play)
    script = iter(turns)
    while not play.scheduler.finished:
        while len(machine.running) < slots and machine.start():
            pass
        assert machine.running
        which, luck = next(script, (0, 1))
        machine.advance(which, fails=luck == 0)
    assert len(machine.ran) == len(set(machine.ran))
    searched = [name for name in machine.ran if "trial" in name]
    assert len(searched) == 2 * (2 + 4 + 4)
    assert len(machine.ran) - len(searched) <= 6
