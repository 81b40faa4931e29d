"""What failed is run again: in the same place, with the same values and seed."""

from collections.abc import Callable
from typing import Any

from made_up import Play, point

from noisetune.records import TrialRecord
from noisetune.sweep.study.job import Job
from noisetune.sweep.study.resume_rules import surplus

OpenScheduler = Callable[..., Play]
SIZES: dict[str, Any] = {"trials_per_condition": 3, "replicates": 3, "pruner": {"name": "none"}}


def failing(play: Play, names: set[str]) -> list[Job]:
    """Run everything; those of these names fail."""
    jobs = []
    while (job := play.scheduler.next()) is not None:
        jobs.append(job)
        if job.name in names:
            play.scheduler.fail(job, "the disk was full")
        else:
            play.run(job, [0.5 + job.trial.number / 100])
    return jobs


def reopened(open_scheduler: OpenScheduler, play: Play, **sweep: Any) -> tuple[Play, list[str]]:
    names = play.ledger.run_failed_again(["all"])
    return open_scheduler(storage=play.ledger.storage, **{**SIZES, **sweep}), names


def by_name(play: Play) -> dict[str, TrialRecord]:
    return {record.name: record for record in play.records()}


def test_a_failed_replicate_runs_again_on_its_seed(open_scheduler: OpenScheduler) -> None:
    first = open_scheduler(**SIZES)
    failing(first, {"all replicate 1"})
    again, names = reopened(open_scheduler, first)
    assert names == ["all replicate 1"]
    jobs = again.run_all(lambda job: [0.5])
    records = by_name(again)
    failed, replacement = records["all replicate 1"], records["all replicate 3"]
    assert [job.name for job in jobs] == ["all replicate 3"]
    assert replacement.config == failed.config
    assert (failed.state, failed.reason, failed.replaced) == ("failed", "the disk was full", True)
    assert sorted(r.seed for r in records.values() if r.state == "complete") == [0, 0, 0, 1, 2, 3]
    assert again.scheduler.finished


def test_a_failed_search_trial_runs_again_and_may_win(open_scheduler: OpenScheduler) -> None:
    first = open_scheduler(**SIZES, budget={"trials": 6})
    failing(first, {"all trial 0"})
    again, names = reopened(open_scheduler, first, budget={"trials": 6})
    assert names == ["all trial 0"]
    assert not again.scheduler.finished
    assert again.scheduler.searcher.unfinished == 1
    assert again.scheduler.searcher.asked_in_all == 6
    again.run(again.next(), [0.9])
    winner = again.scheduler.searcher.states[0].search.winner()
    assert winner is not None
    assert winner.user_attrs["parameters"] == by_name(again)["all trial 0"].parameters


def test_more_replicates_come_on_fresh_seeds(open_scheduler: OpenScheduler) -> None:
    first = open_scheduler(**SIZES)
    failing(first, {"all replicate 0", "all replicate 2"})
    again, _ = reopened(open_scheduler, first, replicates=5)
    again.run_all(lambda job: [0.5])
    done = [r.seed for r in again.records() if r.kind == "replicate" and r.state == "complete"]
    assert sorted(done) == [1, 2, 3, 4, 5]


def test_what_is_asked_after_it_is_what_would_have_been(open_scheduler: OpenScheduler) -> None:
    """The draw of a later trial does not follow from how often an earlier one was run."""
    plain = open_scheduler(**{**SIZES, "trials_per_condition": 5})
    failing(plain, {"all trial 1"})
    first = open_scheduler(**SIZES)
    failing(first, {"all trial 1"})
    again, _ = reopened(open_scheduler, first, trials_per_condition=5)
    again.run_all(lambda job: [0.5])
    drawn = [
        {str(r.parameters) for r in play.records() if r.kind == "search"} for play in (plain, again)
    ]
    assert drawn[0] == drawn[1]


def test_it_is_written_once_and_fails_again_as_another(open_scheduler: OpenScheduler) -> None:
    first = open_scheduler(**SIZES)
    failing(first, {"all replicate 0"})
    first.ledger.run_failed_again(["all"])
    again, names = reopened(open_scheduler, first)
    assert names == []
    failing(again, {"all replicate 3"})
    last, names = reopened(open_scheduler, again)
    assert names == ["all replicate 3"]
    assert [job.config.replicate for job in last.run_all(lambda job: [0.5])] == [1]
    assert last.scheduler.finished


def test_an_interrupted_retry_is_taken_up_as_itself(open_scheduler: OpenScheduler) -> None:
    first = open_scheduler(**SIZES)
    failing(first, {"all trial 2"})
    again, _ = reopened(open_scheduler, first)
    cut = again.next()
    again.scheduler.report(cut, [point(1, 0.4)])
    last = open_scheduler(storage=first.ledger.storage, **SIZES)
    taken_up = last.next()
    assert (taken_up.name, taken_up.parameters) == (cut.name, cut.parameters)


def test_fewer_than_there_are_is_said(open_scheduler: OpenScheduler) -> None:
    play = open_scheduler(**SIZES)
    play.run_all(lambda job: [0.5])
    fewer = play.scheduler.config.model_copy(update={"trials_per_condition": 2, "replicates": 1})
    assert list(surplus(play.scheduler.config, play.records())) == []
    assert list(surplus(fewer, play.records())) == [
        "trials_per_condition: 2, and 1 of 1 conditions have up to 3: those stay, and no more are "
        "asked for there",
        "replicates: 1, and 1 of 1 conditions have up to 3: those stay, and no more are asked for "
        "there",
    ]
