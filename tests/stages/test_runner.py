from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from noisetune.records import MetricPoint, Waiting
from noisetune.stages import runner
from noisetune.stages.base import Checkpoint, Stage, StageEvent, Start, points_of, record_of
from noisetune.stages.runner import run_stage
from noisetune.store import Artifact, Lease, NullStore, StageKey, Store

Drive = Callable[..., tuple[list[Any], Any]]
KEY = StageKey("pretrain", 1, {"lr": 0.1})


class Counting:
    """A stage that writes down each step it computes."""

    def __init__(self, breaks_at: int | None = None) -> None:
        self.computed: list[int] = []
        self.breaks_at = breaks_at

    def stage(self, total: int) -> Stage:
        def compute(start: Start, due: Callable[[int], bool]) -> Iterator[StageEvent]:
            done, points = (0, []) if start is None else (start[0], points_of(start[1]))
            for step in range(done + 1, total + 1):
                if step == self.breaks_at:
                    raise ZeroDivisionError
                self.computed.append(step)
                points.append(MetricPoint("pretrain", step, {"pretrain/loss": 1 / step}))
                yield points[-1]
                if due(step) or step == total:
                    yield Checkpoint(step, artifact(step, points))

        return Stage(KEY, total, compute)


def artifact(step: int, points: list[MetricPoint]) -> Artifact:
    return Artifact({"step": torch.tensor(step)}, record_of(points, 0.5))


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every step is worth a checkpoint, and nobody waits long."""
    monkeypatch.setattr(runner, "CHECKPOINT_SECONDS", -1.0)
    monkeypatch.setattr(runner, "WAIT_SECONDS", 0.0)


def steps(points: list[MetricPoint]) -> list[int]:
    return [point.step for point in points]


def test_a_stage_is_computed_once_and_then_replayed(store: Store, drive: Drive) -> None:
    counting = Counting()
    first, made = drive(run_stage(counting.stage(3), store))
    again, found = drive(run_stage(counting.stage(3), store))
    assert counting.computed == [1, 2, 3]
    assert again == first
    assert found.record == made.record
    assert found.tensors == made.tensors


def test_without_a_store_it_is_computed_each_time(drive: Drive) -> None:
    counting = Counting()
    for _ in range(2):
        drive(run_stage(counting.stage(2), NullStore()))
    assert counting.computed == [1, 2, 1, 2]


def test_it_goes_on_from_the_nearest_step_below(store: Store, drive: Drive) -> None:
    counting = Counting()
    first, _ = drive(run_stage(counting.stage(2), store))
    points, made = drive(run_stage(counting.stage(4), store))
    assert counting.computed == [1, 2, 3, 4]
    assert points[:2] == first
    assert steps(points) == [1, 2, 3, 4]
    assert points_of(made) == points


def test_milestones_are_published_on_the_way(store: Store, drive: Drive) -> None:
    counting = Counting()
    drive(run_stage(counting.stage(5), store, milestones={2, 3, 9}))
    assert store.steps(KEY) == [2, 3, 5]
    drive(run_stage(counting.stage(3), store))
    assert counting.computed == [1, 2, 3, 4, 5]


@pytest.mark.usefixtures("often")
def test_checkpoints_against_a_crash_are_dropped_when_a_later_one_is_there(store: Store) -> None:
    events = run_stage(Counting().stage(5), store, milestones={2})
    seen = {point.step: store.steps(KEY) for point in events}
    assert seen == {1: [], 2: [1], 3: [2], 4: [2, 3], 5: [2, 4]}
    assert store.steps(KEY) == [2, 5]


@pytest.mark.usefixtures("often")
def test_a_stopped_stage_gives_its_lease_back_and_goes_on_later(store: Store, drive: Drive) -> None:
    counting = Counting()
    events = run_stage(counting.stage(5), store)
    first = [next(events) for _ in range(3)]
    assert store.holder(KEY) is not None
    events.close()
    assert store.holder(KEY) is None
    points, _ = drive(run_stage(counting.stage(5), store))
    assert counting.computed == [1, 2, 3, 3, 4, 5]
    assert points[:2] == first[:2]
    assert steps(points) == [1, 2, 3, 4, 5]


def test_a_failure_publishes_nothing_and_frees_the_key(store: Store, drive: Drive) -> None:
    with pytest.raises(ZeroDivisionError):
        drive(run_stage(Counting(breaks_at=2).stage(3), store))
    assert store.steps(KEY) == []
    assert store.holder(KEY) is None
    assert steps(drive(run_stage(Counting().stage(3), store))[0]) == [1, 2, 3]


@pytest.mark.usefixtures("often")
def test_what_another_computes_is_waited_for_and_taken(store: Store, drive: Drive) -> None:
    counting = Counting()
    events = run_stage(counting.stage(1), store)
    point = MetricPoint("pretrain", 1, {"pretrain/loss": 0.1}, made=1.0)
    with store.lease(KEY) as lease:
        assert [next(events), next(events)] == [Waiting("pretrain")] * 2
        store.publish(KEY, 1, artifact(1, [point]), lease)
    points, _ = drive(events)
    assert points == [point]
    assert counting.computed == []


@pytest.mark.usefixtures("often")
def test_what_another_gives_up_is_computed_here(store: Store, drive: Drive) -> None:
    counting = Counting()
    events = run_stage(counting.stage(1), store)
    with store.lease(KEY):
        assert next(events) == Waiting("pretrain")
    drive(events)
    assert counting.computed == [1]


@pytest.fixture
def leases(store: Store, monkeypatch: pytest.MonkeyPatch) -> list[Lease]:
    """The leases that the store grants, as they are granted."""
    granted, lease = [], store.lease

    def keep(key: StageKey) -> Lease | None:
        if (one := lease(key)) is not None:
            granted.append(one)
        return one

    monkeypatch.setattr(store, "lease", keep)
    return granted


def test_a_lapsed_lease_that_nobody_took_is_taken_anew(
    store: Store, drive: Drive, leases: list[Lease]
) -> None:
    events = run_stage(Counting().stage(2), store)
    next(events)
    leases[0].release()
    drive(events)
    assert store.steps(KEY) == [2]
    assert store.holder(KEY) is None


@pytest.mark.parametrize(("lapses", "published"), [(3, [2]), (100, [])])
def test_a_lease_may_lapse_while_it_is_used_again(
    store: Store,
    drive: Drive,
    leases: list[Lease],
    monkeypatch: pytest.MonkeyPatch,
    lapses: int,
    published: list[int],
) -> None:
    """The machine falls asleep in the middle of each attempt, and at last for the trial alone."""
    commit = store.backend.commit

    def asleep(folder: str, files: Any, check: Callable[[], None]) -> None:
        if len(leases) <= lapses:
            leases[-1].release()
        commit(folder, files, check)

    monkeypatch.setattr(store.backend, "commit", asleep)
    _, made = drive(run_stage(Counting().stage(2), store))
    assert made.tensors["step"] == 2
    assert store.steps(KEY) == published


def test_who_lost_its_key_to_another_finishes_for_itself_alone(
    store: Store, drive: Drive, leases: list[Lease]
) -> None:
    events = run_stage(Counting().stage(2), store)
    next(events)
    leases[0].release()
    with store.lease(KEY):
        _, made = drive(events)
        assert made.tensors["step"] == 2
        assert store.steps(KEY) == []
        assert store.holder(KEY) is not None


@pytest.mark.parametrize("kept", [True, False], ids=["a store", "no store"])
def test_a_part_that_is_held_already_is_not_replayed(
    store: Store, drive: Drive, kept: bool
) -> None:
    counting, where = Counting(), store if kept else NullStore()
    _, part = drive(run_stage(counting.stage(2), where))
    points, _ = drive(run_stage(counting.stage(4), where, begun=(2, part)))
    assert steps(points) == [3, 4]
    assert counting.computed == [1, 2, 3, 4]


def test_a_part_that_is_held_already_is_not_replayed_from_what_is_stored(
    store: Store, drive: Drive
) -> None:
    counting = Counting()
    _, part = drive(run_stage(counting.stage(2), NullStore()))
    drive(run_stage(counting.stage(4), store))
    points, _ = drive(run_stage(counting.stage(4), store, begun=(2, part)))
    assert steps(points) == [3, 4]
