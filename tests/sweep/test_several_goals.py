"""Several goals: Optuna trades them off, nothing wins, the user names what runs again."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from made_up import Play
from optuna.storages import InMemoryStorage
from real_sweep import Seen, prepare, run

from noisetune.errors import UserError
from noisetune.records import MetricPoint, TrialResult
from noisetune.sweep.home import Home
from noisetune.sweep.spec.config import parse_sweep
from noisetune.sweep.study.job import Job
from noisetune.sweep.study.resume_rules import replicating
from noisetune.sweep.study.storage import open_sweep

OpenScheduler = Callable[..., Play]
COST = {"metric": "cost/passes"}
TRADED = {"metric": "val/accuracy", "also": [COST]}
SPACE = {"parameters": {"finetune.lr": {"low": 1e-4, "high": 1e-2, "log": True}}}
SWEEP: dict[str, Any] = {"name": "traded", "search_space": "-", "objective": TRADED}


def play_out(play: Play, worth: Callable[[Job], tuple[float, float]]) -> list[Job]:
    """Every trial has two epochs, the first the better one; `worth` is accuracy and passes."""
    jobs = []
    while (job := play.scheduler.next()) is not None:
        accuracy, passes = worth(job)
        for epoch, value in enumerate((accuracy, accuracy / 2), start=1):
            point = MetricPoint("finetune", epoch, {"val/accuracy": value, "val/loss": epoch})
            assert play.scheduler.report(job, [point])
        result = TrialResult({}, {}, {}, {}, {}, {"passes": passes})
        play.scheduler.complete(job, result)
        jobs.append(job)
    return jobs


def test_optuna_is_told_every_goal(open_scheduler: OpenScheduler) -> None:
    play = open_scheduler(SPACE, trials_per_condition=3, replicates=2, objective=TRADED)
    jobs = play_out(play, lambda job: (0.1 * job.trial.number, 10.0 + job.trial.number))
    told = [trial.values for trial in jobs[0].asked.study.get_trials()]
    assert told == [[0.1 * number, 10.0 + number] for number in range(3)]
    assert [record.objectives for record in play.records()] == [tuple(each) for each in told]


def test_other_metrics_are_those_of_the_epoch_that_the_first_goal_chose(
    open_scheduler: OpenScheduler,
) -> None:
    goals = {"metric": "val/accuracy", "also": [{"metric": "val/loss"}]}
    play = open_scheduler(SPACE, trials_per_condition=1, replicates=0, objective=goals)
    (job,) = play_out(play, lambda _: (0.5, 1.0))
    assert job.asked.study.get_trials()[0].values == [0.5, 1.0]  # the loss rose to 2 in epoch 2


def test_nothing_is_run_again_unasked(open_scheduler: OpenScheduler) -> None:
    play = open_scheduler(SPACE, trials_per_condition=3, replicates=2, objective=TRADED)
    assert {job.kind for job in play_out(play, lambda _: (0.5, 1.0))} == {"search"}
    assert play.scheduler.finished


def test_the_named_trials_are_run_again_on_fresh_seeds(open_scheduler: OpenScheduler) -> None:
    storage = InMemoryStorage()
    sweep = {"trials_per_condition": 3, "replicates": 2, "objective": TRADED}
    first = play_out(open_scheduler(SPACE, storage, **sweep), lambda _: (0.5, 1.0))
    named = [first[2].name, first[0].name]
    play = open_scheduler(SPACE, storage, **sweep, replicate=named)
    again = play_out(play, lambda _: (0.4, 1.0))
    assert [job.kind for job in again] == ["replicate"] * 4
    wanted = [first[0].parameters] * 2 + [first[2].parameters] * 2
    assert [job.parameters for job in again] == wanted
    assert [job.config.replicate for job in again] == [1, 2, 1, 2]
    assert play.scheduler.finished


@pytest.mark.parametrize("asked", [1, 2, 3])
def test_a_replicate_killed_before_its_settings_were_written_gets_the_same_ones(
    open_scheduler: OpenScheduler, asked: int
) -> None:
    storage = InMemoryStorage()
    sweep = {"trials_per_condition": 2, "replicates": 2, "objective": TRADED}
    first = play_out(open_scheduler(SPACE, storage, **sweep), lambda _: (0.5, 1.0))
    named = [job.name for job in first]
    play = open_scheduler(SPACE, storage, **sweep, replicate=named)
    for _ in range(asked):
        play.next()
    study = play.scheduler.searcher.states[0].again.study
    study.ask()  # and nothing more is written
    taken_up = open_scheduler(SPACE, storage, **sweep, replicate=named)
    again = play_out(taken_up, lambda _: (0.5, 1.0))
    settings = sorted((job.name, job.config.replicate, job.parameters) for job in again)
    wanted = [(first[n // 2].parameters, n % 2 + 1) for n in range(4)]
    assert [(parameters, seed) for _, seed, parameters in settings] == wanted


def test_patience_counts_from_the_last_trial_that_joined_the_front(
    open_scheduler: OpenScheduler,
) -> None:
    sweep = {"trials_per_condition": 9, "replicates": 0, "objective": TRADED, "patience": 2}
    play = open_scheduler(SPACE, **sweep)
    worth = {0: (0.5, 10.0), 1: (0.4, 11.0), 2: (0.4, 5.0)}
    jobs = play_out(play, lambda job: worth.get(job.trial.number, (0.1, 99.0)))
    assert len(jobs) == 5


def test_a_trial_as_good_as_an_earlier_one_is_no_gain(open_scheduler: OpenScheduler) -> None:
    sweep = {"trials_per_condition": 9, "replicates": 0, "objective": TRADED, "patience": 2}
    assert len(play_out(open_scheduler(SPACE, **sweep), lambda _: (0.5, 10.0))) == 3


@pytest.mark.parametrize("name", ["tpe", "random", "qmc", "nsga2", "nsga3", "gp"])
def test_samplers_follow_several_goals(open_scheduler: OpenScheduler, name: str) -> None:
    sampler = {"name": name} | ({"n_startup_trials": 2} if name in ("tpe", "gp") else {})
    play = open_scheduler(
        SPACE, trials_per_condition=4, replicates=0, objective=TRADED, sampler=sampler
    )
    assert len(play_out(play, lambda job: (job.config.finetune.lr, 1.0))) == 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pruner": {"name": "median"}}, "pruner: 'median': Optuna prunes by one goal, and objec"),
        ({"sampler": {"name": "cmaes"}}, "sampler: 'cmaes' follows one goal, and objective.also"),
        ({"objective": {"also": [{"metric": "cost/moeny"}]}}, "objective.also.0.metric: 'cost/mo"),
        ({"objective": {"metric": "cost/passes"}}, "'cost/passes': no such metric of an epoch; c"),
        (
            {"objective": {"also": [{"metric": "test/loss"}]}},
            "'test/loss' is not selectable, it looks at the clean labels",
        ),
        (
            {"objective": {"also": [COST | {"direction": "maximize"}]}},
            "direction 'maximize': it must be minimize for cost/passes",
        ),
        ({"objective": {}, "replicate": ["trial 1"]}, "replicate: with one goal each winner is"),
    ],
)
def test_goals_that_cannot_be_followed_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        parse_sweep(SWEEP | change, "the test")


def test_several_goals_prune_nothing_by_default() -> None:
    assert parse_sweep(SWEEP, "the test").pruner == {"name": "none"}


@pytest.mark.long
def test_a_real_sweep_trades_accuracy_for_cost(tmp_path: Any, ray_at_hand: None) -> None:
    home = Home(tmp_path)
    space = {"parameters": {"finetune.epochs": {"choices": [1, 2]}}}
    trial = {"pretrain": {"method": "none"}, "finetune": {"epochs": 2}}
    sweep = prepare(space, "traded", objective=TRADED, replicates=2, trial=trial | SMALL)
    seen = Seen()
    assert run(home, sweep, [seen]).finished
    assert sorted(record.objectives[1] for record in seen.ends.values()) == [1.0, 2.0]
    prepared, ledger = open_sweep(home, "traded")
    with pytest.raises(UserError, match="--replicate 'all trial 9': no complete trial of sweep"):
        replicating(prepared, ledger, ["all trial 9"])
    none = replace(prepared, config=prepared.config.model_copy(update={"replicates": 0}))
    with pytest.raises(UserError, match=r"has replicates: 0; say how many runs with --set repl"):
        replicating(none, ledger, ["all trial 1"])
    grown = replicating(prepared, ledger, ["all trial 1"])
    again = Seen()
    assert run(home, grown, [again]).finished
    ends = sorted((name, record.seed) for name, record in again.ends.items())
    assert ends == [("all replicate 0", 1), ("all replicate 1", 2)]


SMALL = {"data": {"train_samples": 60, "test_samples": 30}, "model": {"width": 4}}
