"""Replicates that grow: how many there are and what is claimed follows from what they came to,
in whatever order they end and however often the driver is killed."""

import itertools
import random
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dying import DiesAfter, Killed
from ending import at_random, in_order
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_up import Play, point
from optuna.storages import InMemoryStorage, JournalStorage

from noisetune.records import Claim, TrialResult
from noisetune.sweep.study.job import Job
from noisetune.sweep.study.ledger import Ledger, journal

OpenScheduler = Callable[..., Play]
METHODS = ["none", "simclr", "byol"]
SPACE = {"conditions": {"noise.rate": [0.2, 0.6], "pretrain.method": METHODS}}
GROWING: dict[str, Any] = {"from": 5, "until": {"difference": 2.0}, "at_most": 12}
GAINS = {"none": 0.0, "simclr": 0.08, "byol": 0.0}
LOUD = {"none": 0.001, "simclr": 0.02, "byol": 0.03}


def accuracy(job: Job, luck: int = 0) -> float:
    """Clean accuracy that follows from condition and seed: SimCLR is better, BYOL is not known."""
    method, seed = job.condition.factors["pretrain.method"], job.config.replicate
    random_ = np.random.default_rng([seed, METHODS.index(method), job.condition.index, luck])
    return float(0.5 + GAINS[method] + LOUD[method] * random_.standard_normal())


def end(play: Play, job: Job, luck: int = 0) -> None:
    """The trial completes with its accuracy; a rare one diverges, and a rare one fails."""
    value = accuracy(job, luck)
    fate = int(value * 1e6) % 23
    play.scheduler.report(job, [point(1, value)])
    if job.kind == "replicate" and fate == 0:
        return play.scheduler.diverged(job, "the loss of epoch 2 is nan", 0.1)
    if job.kind == "replicate" and fate == 1:
        return play.scheduler.fail(job, "KeyError: of our own")
    epochs = {choice: {"test/accuracy": value} for choice in ("last", "noisy_best", "oracle")}
    play.scheduler.complete(job, TrialResult({}, dict(epochs), {}, {}, {}))


run_in_order, run_at_random = partial(in_order, end), partial(at_random, end)


def bought(play: Play) -> Counter[str]:
    return Counter(each.condition for each in play.records() if each.kind == "replicate")


@pytest.mark.long
@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(order=st.integers(0, 10**6), luck=st.integers(0, 9))
def test_neither_order_nor_kills_change_what_is_bought_or_claimed(
    open_scheduler: OpenScheduler, order: int, luck: int
) -> None:
    plain = run_in_order(open_scheduler(SPACE, replicates=GROWING), luck)
    play = run_at_random(
        lambda storage: open_scheduler(SPACE, storage, replicates=GROWING),
        random.Random(order),
        luck,
    )
    assert bought(play) == bought(plain)
    assert set(play.ledger.claims) == set(plain.ledger.claims)
    assert play.ledger.families == plain.ledger.families


def test_a_driver_killed_between_two_writes_changes_nothing(
    open_scheduler: OpenScheduler, tmp_path: Path
) -> None:
    space = {"conditions": {"pretrain.method": ["none", "simclr"]}}
    plain = run_in_order(open_scheduler(space, replicates=GROWING))
    assert plain.ledger.claims
    for alive in itertools.count(1, 7):
        file, killed = tmp_path / f"killed after {alive}", False
        Ledger.create(journal(file), "made-up", {})
        try:
            storage = JournalStorage(DiesAfter(file, alive))
            play = run_in_order(open_scheduler(space, storage, replicates=GROWING))
        except Killed:
            killed = True
            play = run_in_order(open_scheduler(space, journal(file), replicates=GROWING))
        assert bought(play) == bought(plain)
        assert play.ledger.claims == plain.ledger.claims
        assert play.ledger.families == plain.ledger.families
        if not killed:
            break
    assert alive > 60


def test_seeds_are_bought_for_open_comparisons_alone(open_scheduler: OpenScheduler) -> None:
    play = run_in_order(open_scheduler(SPACE, replicates=GROWING))
    seeds = bought(play)
    claims = {(each.a, each.kind) for each in play.ledger.claims}
    for rate in (0.2, 0.6):
        baseline, better, unclear = (
            f"noise.rate={rate} pretrain.method={method}" for method in METHODS
        )
        assert (better, "above") in claims
        assert seeds[better] < seeds[unclear] == seeds[baseline] == 12
    assert play.scheduler.finished
    assert play.scheduler.searcher.size == sum(seeds.values())


def test_a_round_begins_when_all_arms_of_open_comparisons_have_ended(
    open_scheduler: OpenScheduler,
) -> None:
    play = open_scheduler(SPACE, replicates=GROWING)
    first = [play.next() for _ in range(30)]
    assert {job.config.replicate for job in first} == {1, 2, 3, 4, 5}
    for job in first[:-1]:
        end(play, job)
    assert play.scheduler.next() is None
    end(play, first[-1])
    assert play.next().config.replicate == 6


def test_a_condition_in_no_comparison_keeps_its_first_replicates(
    open_scheduler: OpenScheduler,
) -> None:
    space = {"conditions": {"noise.rate": [0.2, 0.6], "pretrain.method": ["simclr"]}}
    play = run_in_order(open_scheduler(space, replicates=GROWING))
    assert set(bought(play).values()) == {5}
    assert (play.ledger.families, play.ledger.claims) == ([], [])


def test_an_answer_of_equality_ends_the_rounds(open_scheduler: OpenScheduler) -> None:
    space = {"conditions": {"pretrain.method": ["none", "byol"]}}
    wide = GROWING | {"until": {"difference": 60.0}}
    play = run_in_order(open_scheduler(space, replicates=wide))
    assert set(bought(play).values()) == {5}
    assert [each.kind for each in play.ledger.claims] == ["equal"]


@pytest.mark.parametrize("trials", [33, 40])
def test_a_budget_of_trials_ends_the_rounds_and_a_larger_one_goes_on(
    open_scheduler: OpenScheduler, trials: int
) -> None:
    storage = InMemoryStorage()
    budget = {"trials": trials}
    play = run_in_order(open_scheduler(SPACE, storage, replicates=GROWING, budget=budget))
    assert play.scheduler.stopped == f"budget.trials: {trials} of {trials} are used"
    assert (bought(play).total(), play.scheduler.finished) == (trials, False)
    more = run_in_order(open_scheduler(SPACE, storage, replicates=GROWING))
    plain = run_in_order(open_scheduler(SPACE, replicates=GROWING))
    assert bought(more) == bought(plain)
    assert set(more.ledger.claims) == set(plain.ledger.claims)


def test_a_number_of_replicates_may_grow_into_rounds(open_scheduler: OpenScheduler) -> None:
    storage = InMemoryStorage()
    run_in_order(open_scheduler(SPACE, storage, replicates=5))
    grown = run_in_order(open_scheduler(SPACE, storage, replicates=GROWING))
    plain = run_in_order(open_scheduler(SPACE, replicates=GROWING))
    assert bought(grown) == bought(plain)


def test_a_condition_without_a_winner_blocks_no_other(open_scheduler: OpenScheduler) -> None:
    space = SPACE | {"parameters": {"finetune.lr": {"low": 1e-4, "high": 1e-2}}}
    play = open_scheduler(space, replicates=GROWING, trials_per_condition=1)
    lost = "noise.rate=0.2 pretrain.method=simclr"
    while (job := play.scheduler.next()) is not None:
        if job.condition.name == lost:
            play.scheduler.fail(job, "KeyError: of our own")
        else:
            end(play, job)
    assert play.scheduler.finished
    assert bought(play)["noise.rate=0.2 pretrain.method=byol"] == 12


def test_what_is_asked_stands_before_the_first_replicate(open_scheduler: OpenScheduler) -> None:
    play = open_scheduler(SPACE, replicates=5)
    play.next()
    (family,) = play.ledger.families
    baseline = "pretrain.method=none"
    assert family.pairs == tuple(
        (f"noise.rate={rate} pretrain.method={method}", f"noise.rate={rate} {baseline}")
        for rate in (0.2, 0.6)
        for method in ("simclr", "byol")
    )
    assert family.level == 0.05


def test_conditions_that_join_later_form_a_family_of_their_own(
    open_scheduler: OpenScheduler,
) -> None:
    storage = InMemoryStorage()
    few = {"conditions": {"noise.rate": [0.2], "pretrain.method": ["none", "simclr"]}}
    before = run_in_order(open_scheduler(few, storage, replicates=8)).ledger.claims
    play = run_in_order(open_scheduler(SPACE, storage, replicates=8))
    first, second = play.ledger.families
    assert (len(first.pairs), len(second.pairs)) == (1, 3)
    assert second.level == first.level / 2
    assert play.ledger.claims[: len(before)] == before


def test_another_winner_is_another_question(open_scheduler: OpenScheduler) -> None:
    storage = InMemoryStorage()
    space = {
        "conditions": {"pretrain.method": ["none", "simclr"]},
        "parameters": {"finetune.lr": {"low": 1e-4, "high": 1e-2}},
    }

    def run(trials: int) -> Play:
        play = open_scheduler(space, storage, replicates=8, trials_per_condition=trials)
        while (job := play.scheduler.next()) is not None:
            play.scheduler.report(job, [point(1, 0.5 + job.trial.number / 100)])
            value = {"test/accuracy": accuracy(job)}
            epochs = {choice: dict(value) for choice in ("last", "noisy_best", "oracle")}
            play.scheduler.complete(job, TrialResult({}, dict(epochs), {}, {}, {}))
        return play

    before = run(1).ledger.claims
    play = run(2)
    assert [family.level for family in play.ledger.families] == [0.05, 0.025]
    assert [each.family for each in play.ledger.claims] == [0, 1]
    assert play.ledger.claims[:1] == before


def test_a_claim_is_written_once_and_stays(open_scheduler: OpenScheduler) -> None:
    storage = InMemoryStorage()
    space = {"conditions": {"pretrain.method": ["none", "simclr"]}}
    play = run_in_order(open_scheduler(space, storage, replicates=8))
    (claim,) = play.ledger.claims
    assert claim == Claim(
        "pretrain.method=simclr", "pretrain.method=none", "above", claim.n, 0, 0.05
    )
    assert 5 <= claim.n <= 8
    grown = run_in_order(open_scheduler(space, storage, replicates=12))
    assert grown.ledger.claims == [claim]


def test_a_claim_that_a_killed_driver_did_not_write_is_written_by_the_next(
    open_scheduler: OpenScheduler,
) -> None:
    storage = InMemoryStorage()
    space = {"conditions": {"pretrain.method": ["none", "simclr"]}}
    play = run_in_order(open_scheduler(space, storage, replicates=8))
    claims = play.ledger.claims
    play.ledger.claims = []
    assert open_scheduler(space, storage, replicates=8).ledger.claims == claims
