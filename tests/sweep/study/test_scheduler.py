import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_up import Play, point, result_of
from optuna.storages import InMemoryStorage
from optuna.trial import TrialState

from noisetune.records import MetricPoint
from noisetune.sweep.spec.samplers import SAMPLERS
from noisetune.sweep.study.job import Job
from noisetune.sweep.study.ledger import journal

OpenScheduler = Callable[..., Play]
RATES = {
    "conditions": {"noise.rate": [0.2, 0.6]},
    "parameters": {"finetune.lr": {"low": 1e-4, "high": 1e-2, "log": True}},
}
GOOD, BAD = [0.5, 0.6, 0.7, 0.8], [0.1, 0.1, 0.1, 0.1]
EAGER = {"name": "median", "n_startup_trials": 1, "n_warmup_steps": 0}
accuracies = st.lists(st.floats(0, 1), min_size=4, max_size=4)


def names(jobs: list[Job]) -> list[str]:
    return [job.name for job in jobs]


def states(play: Play) -> list[str]:
    return [record.state for record in play.records()]


def test_search_trials_of_all_conditions_then_replicates_of_their_winners(
    open_scheduler: OpenScheduler,
) -> None:
    play = open_scheduler(RATES, trials_per_condition=2, replicates=2)
    jobs = play.run_all(lambda job: GOOD)
    assert names(jobs) == [
        "noise.rate=0.2 trial 0",
        "noise.rate=0.6 trial 0",
        "noise.rate=0.2 trial 1",
        "noise.rate=0.6 trial 1",
        "noise.rate=0.2 replicate 0",
        "noise.rate=0.6 replicate 0",
        "noise.rate=0.2 replicate 1",
        "noise.rate=0.6 replicate 1",
    ]
    assert [job.config.replicate for job in jobs] == [0, 0, 0, 0, 1, 1, 2, 2]
    assert play.scheduler.finished
    assert states(play) == ["complete"] * 8


def test_replicates_wait_for_the_search_of_their_condition(open_scheduler: OpenScheduler) -> None:
    play = open_scheduler(RATES, trials_per_condition=1, replicates=1)
    first, second = play.next(), play.next()
    assert play.scheduler.next() is None
    play.run(second, GOOD)
    assert play.next().name == "noise.rate=0.6 replicate 0"
    assert play.scheduler.next() is None
    assert not play.scheduler.finished
    play.run(first, GOOD)
    assert play.next().name == "noise.rate=0.2 replicate 0"


def test_replicates_repeat_the_winner(open_scheduler: OpenScheduler) -> None:
    play = open_scheduler(trials_per_condition=3, replicates=1, pruner={"name": "none"})
    best = {0: 0.5, 1: 0.9, 2: 0.9}
    jobs = play.run_all(
        lambda job: [best.get(job.trial.number, 0.1) if not job.config.replicate else 0.0]
    )
    winner, replicate = jobs[1], jobs[3]
    assert replicate.parameters == winner.parameters
    assert replicate.config == winner.config.model_copy(update={"replicate": 1})


def test_the_objective_is_that_of_the_best_epoch(open_scheduler: OpenScheduler) -> None:
    play = open_scheduler(trials_per_condition=1, replicates=0)
    play.run(play.next(), [0.5, 0.9, 0.7, 0.6])
    assert [record.objective for record in play.records()] == [0.9]


def test_telemetry_is_passed_on_and_moves_no_decision(open_scheduler: OpenScheduler) -> None:
    play = open_scheduler(trials_per_condition=1, replicates=0, pruner=EAGER)
    job = play.next()
    looks = [MetricPoint("telemetry", step, {"val/accuracy": 0.99}) for step in (1, 2)]
    assert play.scheduler.report(job, looks)
    play.run(job, GOOD)
    (frozen,) = job.asked.study.get_trials()
    assert frozen.intermediate_values == dict(enumerate(GOOD, 1))
    assert [record.objective for record in play.records()] == [max(GOOD)]
    assert [each for each in play.heard.words if "telemetry" in each] == [
        "telemetry 1",
        "telemetry 2",
    ]


def test_a_loss_is_minimised(open_scheduler: OpenScheduler) -> None:
    objective = {"metric": "val/loss", "direction": "minimize"}
    play = open_scheduler(trials_per_condition=2, replicates=1, objective=objective)
    curves = {0: [0.9, 0.4, 0.5], 1: [0.8, 0.6, 0.7]}
    jobs = play.run_all(lambda job: curves[job.trial.number])
    assert [record.objective for record in play.records()][:2] == [0.4, 0.6]
    assert jobs[2].parameters == jobs[0].parameters


def test_a_poor_trial_is_pruned_and_told_at_once(open_scheduler: OpenScheduler) -> None:
    play = open_scheduler(trials_per_condition=3, replicates=0, pruner=EAGER)
    assert [play.run(play.next(), values) for values in (GOOD, GOOD)] == [4, 4]
    poor = play.next()
    assert play.run(poor, BAD) == 1
    (frozen,) = poor.asked.study.get_trials(states=[TrialState.PRUNED])
    assert frozen.number == poor.trial.number
    assert frozen.intermediate_values == {1: 0.1}
    assert play.records()[2].reason == "pruned by median"
    assert play.heard.ended_as[poor.name].state == "pruned"


def test_what_comes_after_the_end_changes_nothing(open_scheduler: OpenScheduler) -> None:
    play = open_scheduler(trials_per_condition=3, replicates=0, pruner=EAGER)
    for _ in range(2):
        play.run(play.next(), GOOD)
    poor = play.next()
    play.run(poor, BAD)
    before = play.heard.words.copy()
    play.scheduler.complete(poor, result_of(poor))
    play.scheduler.fail(poor, "too late")
    assert not play.scheduler.report(poor, [point(2, 0.9)])
    assert states(play) == ["complete", "complete", "pruned"]
    assert play.heard.words == before


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(curves=st.lists(accuracies, min_size=2, max_size=6), warmup=st.integers(0, 2))
def test_the_pruner_is_optunas_own(
    open_scheduler: OpenScheduler, curves: list[list[float]], warmup: int
) -> None:
    pruner = {"name": "median", "n_startup_trials": 1, "n_warmup_steps": warmup}
    play = open_scheduler(trials_per_condition=len(curves), replicates=0, pruner=pruner)
    lasted = [play.run(play.next(), values) for values in curves]
    assert lasted == lasted_in_optuna(curves, optuna.pruners.MedianPruner(1, warmup))


def lasted_in_optuna(curves: list[list[float]], pruner: optuna.pruners.BasePruner) -> list[int]:
    """The epochs that each trial gets in a plain Optuna loop; the last one is never pruned."""
    study = optuna.create_study(direction="maximize", pruner=pruner)
    lasted = []
    for values in curves:
        trial, pruned_at = study.ask(), 0
        for epoch, value in enumerate(values, start=1):
            trial.report(value, epoch)
            if epoch < len(values) and trial.should_prune():
                pruned_at = epoch
                break
        state = TrialState.PRUNED if pruned_at else TrialState.COMPLETE
        study.tell(trial, None if pruned_at else max(values), state)
        lasted.append(pruned_at or len(values))
    return lasted


@pytest.mark.parametrize(
    "pruner",
    [
        EAGER,
        {"name": "percentile", "percentile": 50.0, "n_startup_trials": 1},
        {"name": "successive_halving", "min_resource": 1, "reduction_factor": 2},
        {"name": "hyperband", "min_resource": 1, "max_resource": 4, "reduction_factor": 2},
        {"name": "patient", "patience": 0, "wrapped_pruner": EAGER},
        {"name": "threshold", "lower": 0.3},
    ],
    ids=lambda settings: settings["name"],
)
def test_every_pruner_really_stops_trials(
    open_scheduler: OpenScheduler, pruner: dict[str, Any]
) -> None:
    play = open_scheduler(trials_per_condition=12, replicates=0, pruner=pruner)
    falling = [0.2, 0.1, 0.05, 0.01]
    lasted = [play.run(play.next(), falling if n % 3 == 2 else GOOD) for n in range(12)]
    assert min(lasted) < 4
    assert states(play).count("pruned") == sum(epochs < 4 for epochs in lasted)


def test_without_a_pruner_every_trial_ends(open_scheduler: OpenScheduler) -> None:
    play = open_scheduler(trials_per_condition=4, replicates=0, pruner={"name": "none"})
    assert [play.run(play.next(), values) for values in (GOOD, GOOD, BAD, BAD)] == [4] * 4


def test_conditions_are_not_compared(open_scheduler: OpenScheduler) -> None:
    play = open_scheduler(RATES, trials_per_condition=4, replicates=0, pruner=EAGER)
    play.run_all(lambda job: GOOD if job.condition.index == 0 else BAD)
    assert states(play) == ["complete"] * 8


def test_a_replicate_is_not_pruned(open_scheduler: OpenScheduler) -> None:
    play = open_scheduler(trials_per_condition=2, replicates=3, pruner=EAGER)
    play.run_all(lambda job: BAD if job.config.replicate > 1 else GOOD)
    assert states(play) == ["complete"] * 5


def test_points_of_other_stages_are_not_judged(open_scheduler: OpenScheduler) -> None:
    play = open_scheduler(trials_per_condition=3, replicates=0, pruner=EAGER)
    for _ in range(2):
        play.run(play.next(), GOOD)
    job = play.next()
    early = [type(point(1, 0.0))("pretrain", step, {"pretrain/loss": 9.0}) for step in (1, 2)]
    assert play.scheduler.report(job, early)
    assert not job.asked.study.get_trials()[2].intermediate_values


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, None])
def test_an_objective_that_is_no_number_fails_the_trial(
    open_scheduler: OpenScheduler, value: float | None
) -> None:
    play = open_scheduler(trials_per_condition=2, replicates=1)
    assert play.run(play.next(), [0.5, value, 0.9]) == 2
    jobs = play.run_all(lambda job: GOOD)
    assert states(play) == ["failed", "complete", "complete"]
    assert play.records()[0].reason == f"val/accuracy is {value} in epoch 2"
    assert names(jobs) == ["all trial 1", "all replicate 0"]


def test_a_sweep_whose_trials_all_fail_ends(open_scheduler: OpenScheduler) -> None:
    play = open_scheduler(trials_per_condition=2, replicates=2)
    while (job := play.scheduler.next()) is not None:
        play.scheduler.fail(job, "it was not to be")
    assert play.scheduler.finished
    assert [(record.state, record.reason) for record in play.records()] == [
        ("failed", "it was not to be")
    ] * 2


def test_a_repeated_point_counts_once(open_scheduler: OpenScheduler) -> None:
    play = open_scheduler(trials_per_condition=1, replicates=0)
    job = play.next()
    play.scheduler.report(job, [point(1, 0.5)])
    play.scheduler.report(job, [point(1, 0.9), point(2, 0.6)])
    play.scheduler.complete(job, result_of(job))
    (frozen,) = job.asked.study.get_trials()
    assert frozen.intermediate_values == {1: 0.5, 2: 0.6}
    assert frozen.value == 0.6
    assert play.heard.words == [
        f"started {job.name}",
        "finetune 1",
        "finetune 2",
        f"ended {job.name}",
    ]


def test_watchers_are_told_after_the_ledger_but_of_results(
    open_scheduler: OpenScheduler,
) -> None:
    play = open_scheduler(trials_per_condition=1, replicates=0)
    seen: list[list[str]] = []

    class Reader(type(play.heard)):  # type: ignore[misc]
        def started(self, trial: Any) -> None:
            seen.append(states(play))

        def result(self, trial: Any, result: Any) -> None:
            seen.append(states(play))

        def ended(self, trial: Any) -> None:
            seen.append(states(play))

    play.scheduler.watchers = [Reader()]
    play.run_all(lambda job: GOOD)
    assert seen == [["running"], ["running"], ["complete"]]


def test_the_record_that_a_watcher_is_given_is_the_ledgers(open_scheduler: OpenScheduler) -> None:
    play = open_scheduler(RATES, trials_per_condition=4, replicates=1, pruner=EAGER)
    play.run_all(
        lambda job: (
            BAD if job.trial.number == 3 else [0.5, math.nan] if job.trial.number == 2 else GOOD
        )
    )
    assert {record.state for record in play.records()} == {"complete", "pruned", "failed"}
    assert play.heard.ended_as == {record.name: record for record in play.records()}


@pytest.mark.parametrize("kind", ["search", "replicate"])
def test_an_interrupted_trial_is_taken_up_as_the_same_trial(
    open_scheduler: OpenScheduler, tmp_path: Path, kind: str
) -> None:
    sizes = {"trials_per_condition": 2, "replicates": 1}
    before = open_scheduler(storage=journal(tmp_path / "ledger"), **sizes)
    if kind == "replicate":
        for _ in range(2):
            before.run(before.next(), GOOD)
    cut = before.next()
    before.scheduler.report(cut, [point(1, 0.9), point(2, 0.6)])

    after = open_scheduler(storage=journal(tmp_path / "ledger"), **sizes)
    assert not after.scheduler.finished
    again = after.next()
    assert (again.name, again.kind, again.trial._trial_id) == (cut.name, kind, cut.trial._trial_id)
    assert (again.config, again.parameters) == (cut.config, cut.parameters)
    after.run(again, [0.9, 0.6, 0.5, 0.4])
    frozen = next(t for t in again.asked.study.get_trials() if t.number == again.trial.number)
    assert frozen.intermediate_values == {1: 0.9, 2: 0.6, 3: 0.5, 4: 0.4}
    assert frozen.value == 0.9
    after.run_all(lambda job: GOOD)
    assert states(after) == ["complete"] * 3


def test_what_ended_before_is_not_run_again(open_scheduler: OpenScheduler) -> None:
    storage = InMemoryStorage()
    sizes = {"trials_per_condition": 5, "replicates": 2, "pruner": EAGER}
    first = open_scheduler(storage=storage, **sizes)
    for values in (GOOD, GOOD, BAD):
        first.run(first.next(), values)
    first.scheduler.fail(first.next(), "so it was")
    second = open_scheduler(storage=storage, **sizes)
    assert names(second.run_all(lambda job: GOOD)) == [
        "all trial 4",
        "all replicate 0",
        "all replicate 1",
    ]
    assert states(second) == [
        "complete",
        "complete",
        "pruned",
        "failed",
        "complete",
        "complete",
        "complete",
    ]
    third = open_scheduler(storage=storage, **sizes)
    assert third.scheduler.finished
    assert third.scheduler.next() is None


@pytest.mark.parametrize("sampler", ["random", "grid"])
def test_a_trial_that_was_cut_off_before_it_was_drawn_gets_the_same_values(
    open_scheduler: OpenScheduler, sampler: str
) -> None:
    space = {"parameters": {"finetune.lr": {"low": 0.1, "high": 0.5, "step": 0.1}}}
    sizes = {"replicates": 0, "trials_per_condition": 4, "sampler": {"name": sampler}}
    undisturbed = [
        job.parameters for job in open_scheduler(space, **sizes).run_all(lambda job: GOOD)
    ]
    storage = InMemoryStorage()
    before = open_scheduler(space, storage, **sizes)
    first = before.next()
    before.run(first, GOOD)
    storage.create_new_trial(first.asked.study._study_id)
    after = open_scheduler(space, storage, **sizes)
    assert [job.parameters for job in after.run_all(lambda job: GOOD)] == undisturbed[1:]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20)
@given(order=st.permutations(range(6)), seed=st.integers(0, 2**31))
def test_random_draws_are_the_same_however_many_run_at_once(
    open_scheduler: OpenScheduler, order: list[int], seed: int
) -> None:
    sizes = {
        "trials_per_condition": 3,
        "replicates": 0,
        "sampler": {"name": "random", "seed": seed},
    }
    one_by_one = open_scheduler(RATES, **sizes).run_all(lambda job: GOOD)
    play = open_scheduler(RATES, **sizes)
    together = [play.next() for _ in range(6)]
    for position in order:
        play.run(together[position], GOOD)
    drawn = [{job.name: job.parameters for job in jobs} for jobs in (one_by_one, together)]
    assert drawn[0] == drawn[1]
    assert len({repr(each) for each in drawn[0].values()}) == 6


def test_tpe_is_the_same_with_one_trial_at_a_time(open_scheduler: OpenScheduler) -> None:
    sampler = {"name": "tpe", "seed": 3, "n_startup_trials": 2}
    runs = [
        open_scheduler(trials_per_condition=6, replicates=0, sampler=sampler).run_all(
            lambda job: [job.config.finetune.lr]
        )
        for _ in range(2)
    ]
    assert [job.parameters for job in runs[0]] == [job.parameters for job in runs[1]]


def test_a_grid_is_walked_once(open_scheduler: OpenScheduler) -> None:
    parameters = {
        "finetune.lr": {"choices": [1e-3, 1e-2]},
        "finetune.momentum": {"low": 0.0, "high": 0.3, "step": 0.1},
    }
    play = open_scheduler(
        {"parameters": parameters}, sampler={"name": "grid"}, trials_per_condition=99, replicates=0
    )
    points = [tuple(job.parameters.values()) for job in play.run_all(lambda job: GOOD)]
    assert len(points) == len(set(points)) == 8
    assert {rate for rate, _ in points} == {1e-3, 1e-2}
    assert sorted({momentum for _, momentum in points}) == pytest.approx([0, 0.1, 0.2, 0.3])


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_every_sampler_carries_a_search_through(open_scheduler: OpenScheduler, name: str) -> None:
    """The grid has as many points as there are trials: the last of them ends the search."""
    parameters = {
        "finetune.lr": {"low": 0.1, "high": 0.3, "step": 0.1},
        "finetune.momentum": {"low": 0.0, "high": 0.3, "step": 0.1},
    }
    if name == "cmaes":
        pytest.importorskip("cmaes")
    settings = {"sampler": {"name": name}, "pruner": {"name": "none"}, "trials_per_condition": 12}
    play = open_scheduler({"parameters": parameters}, **settings)
    play.run_all(lambda job: [job.config.finetune.lr + job.config.finetune.momentum])
    assert play.scheduler.finished
    assert states(play) == ["complete"] * (12 + 3)


def test_qmc_goes_on_with_its_sequence(open_scheduler: OpenScheduler) -> None:
    play = open_scheduler(sampler={"name": "qmc"}, trials_per_condition=5, replicates=0)
    assert len({repr(job.parameters) for job in play.run_all(lambda job: GOOD)}) >= 4


@pytest.mark.parametrize(
    ("replicates", "wanted"),
    [(3, ["all replicate 0", "all replicate 1", "all replicate 2"]), (0, ["all trial 0"])],
)
def test_a_fixed_recipe_needs_no_search(
    open_scheduler: OpenScheduler, replicates: int, wanted: list[str]
) -> None:
    play = open_scheduler({"parameters": {}}, replicates=replicates)
    assert names(play.run_all(lambda job: GOOD)) == wanted
    assert play.scheduler.finished


def test_a_parameter_is_drawn_where_its_when_holds(open_scheduler: OpenScheduler) -> None:
    parameters = {
        "finetune.optimizer": {"choices": ["adam", "sgd"]},
        "finetune.momentum": {"low": 0.1, "high": 0.9, "when": {"finetune.optimizer": "sgd"}},
    }
    play = open_scheduler({"parameters": parameters}, trials_per_condition=12, replicates=0)
    drawn = [job.parameters for job in play.run_all(lambda job: GOOD)]
    assert {each["finetune.optimizer"] for each in drawn} == {"adam", "sgd"}
    assert all(
        ("finetune.momentum" in each) == (each["finetune.optimizer"] == "sgd") for each in drawn
    )


def test_a_trial_is_written_down_with_nothing_automatic_left(open_scheduler: OpenScheduler) -> None:
    play = open_scheduler(trials_per_condition=1, replicates=0, resources={"cpu": 1})
    job = play.next()
    (record,) = play.records()
    assert record.config == job.config.to_json()
    assert record.config["runtime"]["threads"] == 1
    assert "auto" not in repr(record.config)
