"""Replicates that are searches: each is the whole search again, and its winner the replicate."""

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

from noisetune.analysis.summaries import ConditionSummary, summarise
from noisetune.records import MetricPoint, TrialRecord, TrialResult
from noisetune.selection import CHOICES
from noisetune.sweep.study.job import Job
from noisetune.sweep.study.ledger import MACHINE, Ledger, journal
from noisetune.sweep.study.pretrain_gate import KNN

OpenScheduler = Callable[..., Play]
LR = {"finetune.lr": {"low": 1e-4, "high": 1e-2, "log": True}}
METHODS = ["none", "simclr"]
SPACE = {"conditions": {"pretrain.method": METHODS}, "parameters": LR}
SEARCHES: dict[str, Any] = {"of": "search", "trials": 3, "count": 2}
GROWING = SEARCHES | {"count": {"from": 5, "until": {"difference": 2.0}, "at_most": 8}}
SIMCLR = "pretrain.method=simclr"
ONE = {"parameters": LR}


def accuracy(job: Job, luck: int = 0) -> float:
    """Clean accuracy that follows from what a trial is: one of SimCLR is better."""
    place = METHODS.index(job.condition.factors.get("pretrain.method", "none"))
    drawn = int(job.config.finetune.lr * 1e9)
    random_ = np.random.default_rng([job.config.replicate, place, drawn, luck])
    return float(0.5 + 0.1 * place + 0.02 * random_.standard_normal())


def complete(play: Play, job: Job, noisy: float, clean: float) -> None:
    play.scheduler.report(job, [point(1, noisy)])
    epochs = {choice: {"test/accuracy": clean} for choice in CHOICES}
    play.scheduler.complete(job, TrialResult({}, dict(epochs), {}, {}, {}))


def end(play: Play, job: Job, luck: int = 0) -> None:
    """The trial completes with its accuracy; a rare one diverges, and a rare one fails."""
    value = accuracy(job, luck)
    fate = int(value * 1e6) % 11
    if fate == 0:
        return play.scheduler.diverged(job, "the loss of epoch 2 is nan", 0.1)
    if fate == 1:
        return play.scheduler.fail(job, "KeyError: of our own")
    return complete(play, job, value - 0.1, value)


run_in_order, run_at_random = partial(in_order, end), partial(at_random, end)


def outcome(play: Play) -> set[tuple[Any, ...]]:
    return {
        (each.name, each.state, str(each.parameters), each.objective, each.seed, each.won)
        for each in play.records()
    }


def summary_of(play: Play, condition: str = "all") -> ConditionSummary:
    return {each.name: each for each in summarise(play.records(), maximize=True)}[condition]


def test_each_replicate_is_a_whole_search_on_its_own_seed(open_scheduler: OpenScheduler) -> None:
    play = open_scheduler(ONE, replicates=SEARCHES)
    jobs = play.run_all(lambda job: [0.5])
    assert [job.name for job in jobs] == [
        f"all search {seed} trial {number}" for seed in (1, 2) for number in range(3)
    ]
    assert [job.config.replicate for job in jobs] == [1, 1, 1, 2, 2, 2]
    assert len({job.config.finetune.lr for job in jobs}) == 6
    assert {each.kind for each in play.records()} == {"search"}
    assert play.scheduler.finished
    assert play.scheduler.searcher.size == 6


def test_a_replicate_is_worth_what_the_winner_of_its_search_is(
    open_scheduler: OpenScheduler,
) -> None:
    """The highest noisy score wins, whatever its clean accuracy is."""
    play = open_scheduler(ONE, replicates=SEARCHES)
    for noisy, clean in [(0.3, 0.9), (0.5, 0.6), (0.4, 0.8), (0.7, 0.4), (0.6, 0.9), (0.2, 0.2)]:
        complete(play, play.next(), noisy, clean)
    summary = summary_of(play)
    assert summary.replicates["noisy_best"] == {1: 0.6, 2: 0.4}
    assert summary.replicate_objectives == {1: 0.5, 2: 0.7}
    assert (summary.planned, summary.waiting, summary.trials_each) == (2, (), 3)
    assert [run.name for run in summary.runs] == ["all search 1 trial 1", "all search 2 trial 0"]
    assert summary.winner == summary.runs[1]


def test_a_search_that_goes_on_is_no_replicate_yet(open_scheduler: OpenScheduler) -> None:
    play = open_scheduler(ONE, replicates=SEARCHES)
    for _ in range(5):
        complete(play, play.next(), 0.5, 0.6)
    summary = summary_of(play)
    assert (set(summary.replicates["last"]), summary.planned, summary.waiting) == ({1}, 2, (2,))


def test_a_search_of_which_no_trial_completes_counts_as_what_it_had_come_to(
    open_scheduler: OpenScheduler,
) -> None:
    play = open_scheduler(ONE, replicates=SEARCHES)
    for _ in range(2):
        play.scheduler.fail(play.next(), "KeyError: of our own")
    play.scheduler.diverged(play.next(), "the loss of epoch 1 is nan", 0.1)
    for _ in range(3):
        play.scheduler.fail(play.next(), "KeyError: of our own")
    summary = summary_of(play)
    assert summary.replicates["noisy_best"] == {1: 0.1}
    assert (summary.diverged, summary.failed, summary.waiting) == ((1,), (2,), ())


def test_a_search_with_a_trial_that_the_machine_failed_waits_for_it(
    open_scheduler: OpenScheduler,
) -> None:
    storage = InMemoryStorage()
    play = open_scheduler(ONE, storage, replicates=SEARCHES)
    play.scheduler.fail(play.next(), "the node died", MACHINE)
    run_in_order(play)
    assert summary_of(play).waiting == (1,)
    names = play.ledger.run_failed_again(["all"], ("replicate",), MACHINE)
    assert names == ["all search 1 trial 0"]
    again = open_scheduler(ONE, storage, replicates=SEARCHES)
    complete(again, again.next(), 0.9, 0.7)
    assert again.scheduler.finished
    assert summary_of(again).replicates["last"][1] == 0.7


def test_a_failed_trial_that_is_run_again_may_win_its_search(
    open_scheduler: OpenScheduler,
) -> None:
    storage = InMemoryStorage()
    play = open_scheduler(ONE, storage, replicates=SEARCHES)
    play.scheduler.fail(play.next(), "KeyError: of our own")
    for _ in range(5):
        complete(play, play.next(), 0.5, 0.5)
    assert play.ledger.run_failed_again(["all"]) == ["all search 1 trial 0"]
    assert summary_of(play).waiting == (1,)
    again = open_scheduler(ONE, storage, replicates=SEARCHES)
    complete(again, again.next(), 0.9, 0.7)
    assert summary_of(again).replicates["last"] == {1: 0.7, 2: 0.5}


def test_a_condition_with_nothing_to_search_runs_once_a_seed(
    open_scheduler: OpenScheduler,
) -> None:
    only = {
        "pretrain.temperature": {"low": 0.1, "high": 1.0, "when": {"pretrain.method": "simclr"}}
    }
    play = run_in_order(open_scheduler(SPACE | {"parameters": only}, replicates=SEARCHES))
    counts = Counter((each.condition, each.seed) for each in play.records())
    assert counts == {
        ("pretrain.method=none", 1): 1,
        ("pretrain.method=none", 2): 1,
        (SIMCLR, 1): 3,
        (SIMCLR, 2): 3,
    }


@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(order=st.integers(0, 10**6), luck=st.integers(0, 9))
@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_neither_order_nor_kills_change_what_is_found_or_claimed(
    open_scheduler: OpenScheduler, sampler: str, order: int, luck: int
) -> None:
    sweep: dict[str, Any] = {
        "replicates": GROWING,
        "sampler": {"name": sampler},
        "repeatable": sampler == "tpe",
        "pruner": {"name": "none"},
    }
    plain = run_in_order(open_scheduler(SPACE, **sweep), luck)
    play = run_at_random(
        lambda storage: open_scheduler(SPACE, storage, **sweep), random.Random(order), luck
    )
    assert outcome(play) == outcome(plain)
    assert set(play.ledger.claims) == set(plain.ledger.claims)
    assert play.ledger.families == plain.ledger.families


def test_a_driver_killed_between_two_writes_changes_nothing(
    open_scheduler: OpenScheduler, tmp_path: Path
) -> None:
    sweep = {"replicates": SEARCHES | {"trials": 2, "count": 6}}
    plain = run_in_order(open_scheduler(SPACE, **sweep))
    assert plain.ledger.claims
    for alive in itertools.count(1, 41):
        file, killed = tmp_path / f"killed after {alive}", False
        Ledger.create(journal(file), "made-up", {})
        try:
            storage = JournalStorage(DiesAfter(file, alive))
            play = run_in_order(open_scheduler(SPACE, storage, **sweep))
        except Killed:
            killed = True
            play = run_in_order(open_scheduler(SPACE, journal(file), **sweep))
        assert outcome(play) == outcome(plain)
        assert play.ledger.claims == plain.ledger.claims
        if not killed:
            break
    assert alive > 150


def test_searches_grow_where_the_answer_is_open_and_winners_are_no_new_question(
    open_scheduler: OpenScheduler,
) -> None:
    play = run_in_order(open_scheduler(SPACE, replicates=GROWING))
    (family,) = play.ledger.families
    (claim,) = play.ledger.claims
    assert (claim.a, claim.kind, claim.level) == (SIMCLR, "above", 0.05)
    assert len(set(family.settings.values())) == 1
    assert claim.n == summary_of(play, SIMCLR).planned
    winners = {str(run.parameters) for run in summary_of(play, SIMCLR).runs}
    assert len(winners) == claim.n


def test_what_is_asked_stands_before_the_first_search(open_scheduler: OpenScheduler) -> None:
    play = open_scheduler(SPACE, replicates=SEARCHES)
    assert play.ledger.families == []
    play.next()
    assert play.ledger.families[0].pairs == ((SIMCLR, "pretrain.method=none"),)


def test_a_budget_ends_between_searches_and_a_larger_one_goes_on(
    open_scheduler: OpenScheduler,
) -> None:
    storage = InMemoryStorage()
    play = open_scheduler(SPACE, storage, replicates=SEARCHES, budget={"trials": 8})
    run_in_order(play)
    assert play.scheduler.stopped == "budget.trials: 8 of 8 are used"
    assert not play.scheduler.finished
    for method in METHODS:
        summary = summary_of(play, f"pretrain.method={method}")
        assert (set(summary.replicates["last"]), summary.waiting) == ({1}, (2,))
    more = run_in_order(open_scheduler(SPACE, storage, replicates=SEARCHES))
    assert outcome(more) == outcome(run_in_order(open_scheduler(SPACE, replicates=SEARCHES)))


def test_fewer_searches_take_none_back_and_ask_for_no_more(open_scheduler: OpenScheduler) -> None:
    storage = InMemoryStorage()
    play = open_scheduler(ONE, storage, replicates=SEARCHES)
    for _ in range(4):
        complete(play, play.next(), 0.5, 0.5)
    left = play.next()
    fewer = open_scheduler(ONE, storage, replicates=SEARCHES | {"count": 1})
    assert [job.name for job in fewer.run_all(lambda job: [0.5])] == [left.name]
    assert fewer.scheduler.finished
    assert summary_of(fewer).waiting == (2,)
    whole = run_in_order(open_scheduler(ONE, storage, replicates=SEARCHES))
    assert summary_of(whole).waiting == ()


def test_the_gate_compares_within_a_search(open_scheduler: OpenScheduler) -> None:
    gate = {"knn_percentile": 50.0, "n_startup_trials": 1}
    play = open_scheduler(ONE, replicates=SEARCHES, pretrain_gate=gate)
    first, second, _, other = (play.next() for _ in range(4))
    for job, knn in ((first, 0.9), (second, 0.2), (other, 0.2)):
        play.scheduler.report(job, [MetricPoint("gate", 1, {KNN: knn})])
    records: dict[str, TrialRecord] = {each.name: each for each in play.records()}
    assert [records[job.name].state for job in (first, second, other)] == [
        "running",
        "pruned",
        "running",
    ]


def test_the_pruner_compares_within_a_search(open_scheduler: OpenScheduler) -> None:
    median = {"name": "median", "n_startup_trials": 1, "n_warmup_steps": 0}
    play = open_scheduler(ONE, replicates=SEARCHES | {"trials": 2}, pruner=median)
    assert play.run(play.next(), [0.9] * 4) == 4
    assert play.run(play.next(), [0.2] * 4) == 1
    assert play.run(play.next(), [0.2] * 4) == 4
