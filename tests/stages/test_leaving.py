"""A host that is taken away: the epoch is finished where there is time, and the key given back."""

from collections.abc import Callable, Iterator
from itertools import count, islice
from types import SimpleNamespace

import pytest
import torch

from noisetune import leaving
from noisetune.leaving import HostLeaves
from noisetune.records import Event, MetricPoint, Tick
from noisetune.stages import runner
from noisetune.stages.base import Checkpoint, Stage, StageEvent, Start, points_of, record_of
from noisetune.stages.runner import run_stage
from noisetune.store import Artifact, StageKey, Store

KEY = StageKey("pretrain", 1, {"lr": 0.1})
TICKS = 4


@pytest.fixture(autouse=True)
def stays() -> Iterator[None]:
    yield
    leaving.withdraw()


def stage(total: int) -> Stage:
    """Each epoch ticks, has a point, and is worth a checkpoint where it is due."""

    def compute(start: Start, due: Callable[[int], bool]) -> Iterator[StageEvent]:
        done, points = (0, []) if start is None else (start[0], points_of(start[1]))
        for step in range(done + 1, total + 1):
            for tick in range(TICKS):
                yield Tick("pretrain", (step - 1 + tick / TICKS) / total)
            points.append(MetricPoint("pretrain", step, {"pretrain/loss": 1 / step}))
            yield points[-1]
            if due(step) or step == total:
                made = Artifact({"step": torch.tensor(step)}, record_of(points, 0.5))
                yield Checkpoint(step, made)

    return Stage(KEY, total, compute)


def pull(store: Store, announced: float, after: int) -> list[Event]:
    """Events of a stage of ten epochs whose host is known, after some of them, to leave."""
    events = run_stage(stage(10), store)
    seen = [*islice(events, after)]
    leaving.announce(announced)
    with pytest.raises(HostLeaves):
        seen.extend(events)
    return seen


def test_the_epoch_is_finished_and_kept(store: Store) -> None:
    seen = pull(store, announced=60.0, after=2 * TICKS)
    assert [each.step for each in seen if isinstance(each, MetricPoint)] == [1, 2]
    assert store.steps(KEY) == [2]
    assert store.lease(KEY) is not None


def test_an_epoch_that_would_end_too_late_gives_the_key_back_at_once(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of an epoch of 40 s is ahead, and the host goes in 10."""
    clock = count(0.0, 40.0 / (TICKS + 1))
    monkeypatch.setattr(runner, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    monkeypatch.setattr(runner, "CHECKPOINT_SECONDS", 1e9)
    monkeypatch.setattr(runner, "seconds_left", lambda: left)
    left: float | None = None
    events = run_stage(stage(10), store)
    for _ in range(TICKS + 2):
        next(events)
    left = 10.0
    with pytest.raises(HostLeaves):
        next(events)
    assert store.steps(KEY) == []
    assert store.lease(KEY) is not None


def test_a_host_that_is_gone_already_gives_back_at_the_next_sign_of_life(store: Store) -> None:
    seen = pull(store, announced=0.0, after=1)
    assert len(seen) == 1
    assert store.lease(KEY) is not None


def test_elsewhere_it_goes_on_from_what_was_kept(store: Store) -> None:
    pull(store, announced=60.0, after=2 * TICKS)
    leaving.withdraw()
    steps = [each.step for each in run_stage(stage(3), store) if isinstance(each, MetricPoint)]
    assert steps == [1, 2, 3]


def test_the_last_epoch_is_an_end_like_any_other(store: Store) -> None:
    leaving.announce(60.0)
    assert len([*run_stage(stage(1), store)]) == TICKS + 1
    assert store.steps(KEY) == [1]


def test_the_first_word_stands() -> None:
    assert leaving.seconds_left() is None
    leaving.announce(60.0)
    leaving.announce(600.0)
    left = leaving.seconds_left()
    assert left is not None
    assert left <= 60.0
