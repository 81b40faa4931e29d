"""A sweep's size limit for the store."""

import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from made_up import point
from real_sweep import prepare, run_here

from noisetune.errors import UserError
from noisetune.records import MetricPoint, TrialRecord, TrialResult
from noisetune.store import Artifact, Lease, StageKey, Store
from noisetune.sweep.execution.store_limit import SECONDS_BETWEEN, StoreLimit
from noisetune.sweep.home import Home
from noisetune.sweep.spec.config import parse_sweep

TRIAL = TrialRecord("a", "all", {}, "search", 0, "complete", {}, {"replicate": 0})
POINT = MetricPoint("finetune", 1, {})


@pytest.fixture
def store() -> Store:
    return Store.open(f"memory://{uuid.uuid4().hex}")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """The time, which passes when a test says so."""
    now = [1000.0]
    with monkeypatch.context() as patch:
        patch.setattr(time, "monotonic", lambda: now[0])
        yield now


def key(number: int) -> StageKey:
    return StageKey("pretrain", 1, {"lr": number})


def leased(store: Store, number: int) -> Lease:
    lease = store.lease(key(number))
    assert lease is not None
    return lease


def fill(store: Store, count: int) -> int:
    """Entries 0, 1, ... of about one size, the first the longest unused; the largest one's."""
    for number in range(count):
        with leased(store, number) as lease:
            store.publish(key(number), 1, Artifact({"w": torch.ones(1000)}), lease)
    return max(entry.bytes for entry in store.list())


def there(store: Store) -> list[int]:
    return sorted(entry.inputs["lr"] for entry in store.list())


def test_when_a_trial_ends_the_longest_unused_goes(store: Store) -> None:
    size = fill(store, 4)
    StoreLimit(store, 2 * size).ended(TRIAL)
    assert there(store) == [2, 3]


def test_what_was_used_lately_stays(store: Store) -> None:
    size = fill(store, 3)
    store.load(key(0), 1)
    StoreLimit(store, 2 * size).ended(TRIAL)
    assert there(store) == [0, 2]


def test_what_somebody_works_on_is_never_taken(store: Store) -> None:
    fill(store, 3)
    with leased(store, 1):
        StoreLimit(store, 0).ended(TRIAL)
        assert there(store) == [1]


def test_under_the_limit_everything_stays(store: Store) -> None:
    size = fill(store, 3)
    StoreLimit(store, 3 * size).ended(TRIAL)
    assert there(store) == [0, 1, 2]


def test_only_the_end_of_a_trial_is_an_occasion(store: Store) -> None:
    fill(store, 2)
    janitor = StoreLimit(store, 0)
    janitor.started(TRIAL)
    janitor.point(TRIAL, POINT)
    assert there(store) == [0, 1]


def test_it_looks_once_in_a_while(store: Store, clock: list[float]) -> None:
    janitor = StoreLimit(store, 0)
    seen = []
    for passed in (0.0, SECONDS_BETWEEN / 2, SECONDS_BETWEEN):
        fill(store, 1)
        clock[0] += passed
        janitor.ended(TRIAL)
        seen.append(there(store))
    assert seen == [[], [0], []]


def tidy_trial(config: Any, *_: object) -> Any:
    """A trial that computes nothing."""
    yield point(1, 0.5)
    return TrialResult(config.to_json(), {"last": {"epoch": 1.0}}, {}, {}, {})


@pytest.mark.parametrize(("limit", "left"), [("10K", 2), (None, 4)])
def test_a_sweep_keeps_to_its_limit(tmp_path: Path, limit: str | None, left: int) -> None:
    home = Home(tmp_path)
    store = Store.open(home.stages)
    assert 4_000 < fill(store, 4) < 5_000
    assert run_here(home, prepare({}, "tidy", store_limit=limit), [], tidy_trial).finished
    assert len(there(store)) == left


@pytest.mark.parametrize("limit", ["much", "-1G", ""])
def test_a_limit_that_is_none_is_refused(limit: str) -> None:
    with pytest.raises(UserError, match=rf"store_limit: '{limit}': {limit}: write a number of b"):
        parse_sweep({"name": "x", "search_space": "x", "store_limit": limit}, "x.yaml")
