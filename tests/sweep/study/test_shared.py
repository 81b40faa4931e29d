"""One setting over conditions beside the own one of each: both run again, whatever happens."""

import itertools
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dying import DiesAfter, Killed
from ending import at_random, in_order
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_up import Play, point
from optuna.storages import BaseStorage, InMemoryStorage, JournalStorage

from noisetune.records import TrialResult
from noisetune.selection import CHOICES
from noisetune.sweep.study.job import Job
from noisetune.sweep.study.ledger import Ledger, journal

OpenScheduler = Callable[..., Play]
METHODS = ["cross_entropy", "gce"]
SPACE: dict[str, Any] = {
    "conditions": {
        "noise": {
            "low": {"noise.model": "symmetric", "noise.rate": 0.2},
            "high": {"noise.model": "symmetric", "noise.rate": 0.6},
            "turned": {"noise.model": "pairflip", "noise.rate": 0.3},
        },
        "finetune.method": METHODS,
    },
    "parameters": {"finetune.lr": {"low": 1e-4, "high": 1e-2, "log": True}},
}
DRAWN = {"drawn_once_per": "finetune.method", "count": 4}
SHARED = DRAWN | {"shared_across": ["noise"]}
SCORES = {
    "low": [0.9, 0.8, 0.3, 0.2],
    "high": [0.2, 0.5, 0.6, 0.1],
    "turned": [0.3, 0.9, 0.1, 0.2],
}
"""By noise, of the four settings in the order in which they are drawn: the second has the best mean
rank, and is the own one of one condition of three."""
OWN = {"low": 0, "high": 2, "turned": 1}


def place(job: Job) -> int:
    """The number of the setting that a trial runs."""
    return job.condition.settings.index(job.parameters)


def end(play: Play, job: Job, luck: int = 0) -> None:
    value = SCORES[str(job.condition.factors["noise"])][place(job)]
    play.scheduler.report(job, [point(1, value)])
    epochs = {choice: {"test/accuracy": value} for choice in CHOICES}
    play.scheduler.complete(job, TrialResult({}, dict(epochs), {}, {}, {}))


def opened(open_scheduler: OpenScheduler, storage: BaseStorage | None = None, **sweep: Any) -> Play:
    whole: dict[str, Any] = {"settings": SHARED, "replicates": 3, "sampler": {"seed": 0}} | sweep
    return open_scheduler(SPACE, storage, **whole)


def again(play: Play) -> Counter[tuple[str, str, float, int]]:
    """Noise, method, rate and seed of every replicate."""
    return Counter(
        (each.factors["noise"], each.factors["finetune.method"], each.parameters["finetune.lr"],
         each.seed)
        for each in play.records()
        if each.kind == "replicate"
    )  # fmt: skip


def expected(play: Play, replicates: int = 3) -> set[tuple[str, str, float, int]]:
    rates = {
        str(each.factors["finetune.method"]): [
            float(one["finetune.lr"] or 0) for one in each.settings
        ]
        for each in play.conditions
    }
    return {
        (noise, method, rates[method][setting], seed)
        for noise, own in OWN.items()
        for method in METHODS
        for setting in {own, 1}
        for seed in range(1, replicates + 1)
    }


def test_the_own_and_the_shared_setting_run_on_the_same_seeds(
    open_scheduler: OpenScheduler,
) -> None:
    play = in_order(end, opened(open_scheduler))
    runs = again(play)
    assert set(runs.values()) == {1}
    assert runs.keys() == expected(play)
    assert play.scheduler.finished


def test_the_own_setting_goes_first(open_scheduler: OpenScheduler) -> None:
    play = in_order(end, opened(open_scheduler))
    for condition in play.conditions:
        mine = [
            each
            for each in play.records()
            if each.condition == condition.name and each.kind == "replicate"
        ]
        own = condition.settings[OWN[str(condition.factors["noise"])]]
        assert [each.seed for each in mine] == [1, 2, 3] * (len(mine) // 3)
        assert [each.parameters for each in mine[:3]] == [own] * 3


def test_none_runs_before_the_whole_block_is_searched(open_scheduler: OpenScheduler) -> None:
    """All but one search trial have ended: its block has no shared setting, the other has."""
    play = opened(open_scheduler)
    search = [play.next() for _ in range(24)]
    assert {job.kind for job in search} == {"search"}
    left = next(job for job in search if job.condition.factors["finetune.method"] == "gce")
    for job in search:
        if job is not left:
            end(play, job)
    early = list(iter(play.scheduler.next, None))
    known = Counter(job.condition.factors["finetune.method"] for job in early)
    assert known == {"cross_entropy": 3 * (2 + 2 + 1), "gce": 2 * 3}
    for job in [*early, left]:
        end(play, job)
    in_order(end, play)
    assert again(play).keys() == expected(play)


def test_its_size_is_twice_the_replicates_until_the_block_is_searched(
    open_scheduler: OpenScheduler,
) -> None:
    play = opened(open_scheduler)
    assert play.scheduler.searcher.size == 24 + 6 * 2 * 3
    assert play.scheduler.searcher.replicates_to_come == 6 * 2 * 3
    for _ in range(24):
        end(play, play.next())
    assert play.ledger.size == play.scheduler.searcher.size == 24 + 2 * 5 * 3
    assert play.scheduler.searcher.replicates_to_come == 2 * 5 * 3


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.integers(0, 10**6))
def test_neither_order_nor_kills_change_what_runs_again(
    open_scheduler: OpenScheduler, order: int
) -> None:
    play = at_random(end, lambda storage: opened(open_scheduler, storage), random.Random(order))
    runs = again(play)
    assert set(runs.values()) == {1}
    assert runs.keys() == expected(play)


@pytest.mark.long
def test_a_driver_killed_between_two_writes_changes_nothing(
    open_scheduler: OpenScheduler, tmp_path: Path
) -> None:
    """Mid-search, mid-replicates, and while a trial is asked for."""
    for alive in itertools.count(1, 41):
        file, killed = tmp_path / f"killed after {alive}", False
        Ledger.create(journal(file), "made-up", {})
        try:
            play = in_order(end, opened(open_scheduler, JournalStorage(DiesAfter(file, alive))))
        except Killed:
            killed = True
            play = in_order(end, opened(open_scheduler, journal(file)))
        runs = again(play)
        assert set(runs.values()) == {1}
        assert runs.keys() == expected(play)
        if not killed:
            break
    assert alive > 300


@pytest.mark.parametrize(
    "before",
    [
        {"settings": DRAWN},
        {"replicates": 1},
        {"settings": SHARED | {"count": 2}},
        {"settings": DRAWN, "budget": {"trials": 30}},
    ],
    ids=["added", "more replicates", "more settings", "added in the midst of replicates"],
)
def test_a_resume_may_ask_for_it_and_for_more(
    open_scheduler: OpenScheduler, before: dict[str, Any]
) -> None:
    storage = InMemoryStorage()
    in_order(end, opened(open_scheduler, storage, **before))
    play = in_order(end, opened(open_scheduler, storage))
    runs = again(play)
    assert set(runs.values()) == {1}
    # With fewer settings another had won a condition, and its replicates stay.
    assert runs.keys() >= expected(play)
    assert play.scheduler.finished


def test_a_setting_that_fails_in_one_condition_is_shared_by_none(
    open_scheduler: OpenScheduler,
) -> None:
    play = opened(open_scheduler)
    while (job := play.scheduler.next()) is not None:
        if job.kind == "search" and job.condition.factors["noise"] == "low" and place(job) == 1:
            play.scheduler.fail(job, "KeyError: of our own")
        else:
            end(play, job)
    shared = {(noise, seed) for noise, _, _, seed in again(play)}
    assert shared == {(noise, seed) for noise in OWN for seed in (1, 2, 3)}
    assert play.scheduler.finished
