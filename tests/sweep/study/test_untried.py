"""Grids and brute force: every setting exactly once, whatever is enqueued and interrupted."""

import itertools
from collections import Counter
from collections.abc import Callable
from typing import Any

import optuna
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_up import Play
from optuna.storages import InMemoryStorage

from noisetune.seeds import derive_seed
from noisetune.sweep.study.job import Job

OpenScheduler = Callable[..., Play]
LR, BATCH = "finetune.lr", "finetune.batch_size"
SPACE = {"parameters": {LR: {"choices": [0.001, 0.002]}, BATCH: {"choices": [32, 64]}}}
ALL = [(lr, batch) for lr in (0.001, 0.002) for batch in (32, 64)]
SIZES: dict[str, Any] = {"replicates": 0, "pruner": {"name": "none"}, "trials_per_condition": 99}
NESTED: dict[str, Any] = {
    "finetune.optimizer": {"choices": ["adam", "sgd"]},
    "finetune.momentum": {"low": 0.0, "high": 0.3, "step": 0.1},
    BATCH: {"choices": [32, 64]},
    "finetune.epochs": {"low": 2, "high": 4},
}


def drawn(jobs: list[Job]) -> list[tuple[Any, ...]]:
    return [tuple(job.parameters[field] for field in (LR, BATCH)) for job in jobs]


def run(open_scheduler: OpenScheduler, **sweep: Any) -> list[tuple[Any, ...]]:
    play = open_scheduler(SPACE, **{**SIZES, "sampler": {"name": "grid"}, **sweep})
    return drawn(play.run_all(lambda job: [0.5]))


@pytest.mark.parametrize("name", ["grid", "brute_force"])
@pytest.mark.parametrize(
    ("enqueue", "first"),
    [
        ([{LR: 0.002}], {(0.002, 32), (0.002, 64)}),
        ([{LR: 0.002, BATCH: 32}], {(0.002, 32)}),
        ([{LR: 0.002, BATCH: 32}, {LR: 0.002, BATCH: 32}], {(0.002, 32)}),
        ([{LR: 0.002, BATCH: 32}, {BATCH: 32}], {(0.002, 32), (0.001, 32)}),
    ],
)
def test_what_is_enqueued_comes_first_and_once(
    open_scheduler: OpenScheduler,
    name: str,
    enqueue: list[dict[str, Any]],
    first: set[tuple[Any, ...]],
) -> None:
    order = run(open_scheduler, sampler={"name": name}, enqueue=enqueue)
    assert set(order[: len(first)]) == first
    assert sorted(order) == ALL


def test_a_grid_has_the_order_of_optunas(open_scheduler: OpenScheduler) -> None:
    seed = derive_seed("ask", 7, "all") % 2**32
    grid = {name: each["choices"] for name, each in SPACE["parameters"].items()}
    sampler = optuna.samplers.GridSampler(grid, seed=seed)
    study = optuna.create_study(sampler=sampler)
    trials = [study.ask() for _ in ALL]
    theirs = [tuple(each.suggest_categorical(name, grid[name]) for name in grid) for each in trials]
    assert run(open_scheduler, sampler={"name": "grid", "seed": 7}) == theirs


@pytest.mark.parametrize("enqueue", [(), ({LR: 0.002, BATCH: 32},)])
def test_a_ledger_that_optunas_grid_began_is_completed(
    open_scheduler: OpenScheduler, enqueue: tuple[dict[str, Any], ...]
) -> None:
    """As earlier versions did: enqueued in Optuna, asked of its own sampler, a trial cut short."""
    storage, sweep = InMemoryStorage(), {**SIZES, "sampler": {"name": "grid"}}
    study = open_scheduler(SPACE, storage, **sweep).scheduler.searcher.states[0].search.study
    grid = {name: each["choices"] for name, each in SPACE["parameters"].items()}
    study.sampler = optuna.samplers.GridSampler(grid, seed=3)
    for values in enqueue:
        study.enqueue_trial(values)
    for ended in (True, True, False):
        trial = study.ask()
        values = {name: trial.suggest_categorical(name, grid[name]) for name in grid if ended}
        trial.suggest_categorical(LR, grid[LR])
        if ended:
            trial.set_user_attr("parameters", values)
            trial.set_user_attr("config", {})
            study._storage.set_trial_state_values(
                trial._trial_id, optuna.trial.TrialState.COMPLETE, [0.5]
            )
    play = open_scheduler(SPACE, storage, **sweep, enqueue=enqueue)
    play.run_all(lambda job: [0.5])
    tried = [tuple(each.params[name] for name in (LR, BATCH)) for each in study.get_trials()]
    # What the other sampler has run or drawn twice stays; nothing is left out for it.
    assert set(tried) == set(ALL)
    assert len(tried) == len(ALL) + bool(enqueue)


def test_a_setting_that_such_a_ledger_has_twice_takes_no_place_of_another(
    open_scheduler: OpenScheduler,
) -> None:
    storage, sweep = InMemoryStorage(), {**SIZES, "sampler": {"name": "grid"}}
    first = open_scheduler(SPACE, storage, **sweep)
    jobs = [first.next(), first.next()]
    for job in jobs:
        first.run(job, [0.5])
    study = first.scheduler.searcher.states[0].search.study
    study.add_trial(study.get_trials()[0])
    again = open_scheduler(SPACE, storage, **sweep).run_all(lambda job: [0.5])
    assert sorted(drawn([*jobs, *again])) == ALL


def test_a_range_is_met_by_the_value_that_a_person_writes(open_scheduler: OpenScheduler) -> None:
    space = {"parameters": {"finetune.weight_decay": {"low": 0.0, "high": 0.5, "step": 0.1}}}
    enqueue = [{"finetune.weight_decay": 0.3}]
    play = open_scheduler(space, **SIZES, sampler={"name": "grid"}, enqueue=enqueue)
    jobs = play.run_all(lambda job: [0.5])
    values = [float(job.parameters["finetune.weight_decay"] or 0) for job in jobs]
    assert values[0] == pytest.approx(0.3)
    assert sorted(values) == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4, 0.5])


def nested(choose: st.DrawFn) -> dict[str, Any]:
    """A small space, some of it below a `when`."""
    names = choose(st.lists(st.sampled_from(sorted(NESTED)), min_size=1, max_size=3, unique=True))
    below = {"when": {"finetune.optimizer": "sgd"}} if "finetune.optimizer" in names else {}
    return {
        name: {**NESTED[name], **(below if name == "finetune.momentum" else {})} for name in names
    }


def values_of(parameter: dict[str, Any]) -> list[Any]:
    if "choices" in parameter:
        return list(parameter["choices"])
    step = parameter.get("step", 1)
    count = round((parameter["high"] - parameter["low"]) / step)
    return [round(parameter["low"] + index * step, 6) for index in range(count + 1)]


def every_setting(space: dict[str, Any]) -> Counter[frozenset[tuple[str, Any]]]:
    """Crossed by hand: what a `when` leaves out makes settings equal."""
    crossed = itertools.product(*(values_of(each) for each in space.values()))
    rows = [dict(zip(space, values, strict=True)) for values in crossed]
    for row in rows:
        for name, parameter in space.items():
            if any(row[field] != value for field, value in parameter.get("when", {}).items()):
                del row[name]
    return Counter({frozenset(row.items()) for row in rows})


@st.composite
def searches(choose: st.DrawFn) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A space and what is enqueued of it: in part, in full, twice."""
    space = nested(choose)
    entry = st.fixed_dictionaries(
        {}, optional={name: st.sampled_from(values_of(each)) for name, each in space.items()}
    )
    return space, choose(st.lists(entry, max_size=4))


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    search=searches(),
    name=st.sampled_from(["grid", "brute_force"]),
    acts=st.lists(st.sampled_from(["ask", "end", "fail", "stop", "again"]), max_size=25),
)
def test_every_setting_runs_exactly_once(
    open_scheduler: OpenScheduler,
    search: tuple[dict[str, Any], list[dict[str, Any]]],
    name: str,
    acts: list[str],
) -> None:
    """Trials side by side that end in any order, drivers that stop, and failures run again."""
    space, enqueue = search
    storage, sweep = InMemoryStorage(), {**SIZES, "sampler": {"name": name}, "enqueue": enqueue}
    play, running = open_scheduler({"parameters": space}, storage, **sweep), list[Job]()
    for act in acts:
        if act == "ask" and (job := play.scheduler.next()) is not None:
            running.append(job)
        elif act == "end" and running:
            play.run(running.pop(), [0.5])
        elif act == "fail" and running:
            play.scheduler.fail(running.pop(0), "made up")
        elif act in ("stop", "again"):
            if act == "again":
                play.ledger.run_failed_again(["all"])
            play, running = open_scheduler({"parameters": space}, storage, **sweep), []
    for job in running:
        play.run(job, [0.5])
    play.ledger.run_failed_again(["all"])
    play = open_scheduler({"parameters": space}, storage, **sweep)
    play.run_all(lambda job: [0.5])
    assert play.scheduler.finished
    done = [each for each in play.records() if each.state == "complete"]
    rounded = [
        frozenset((name, round(v, 6) if isinstance(v, float) else v) for name, v in each.items())
        for each in (record.parameters for record in done)
    ]
    assert Counter(rounded) == every_setting(space)
    assert all(each.replaced for each in play.records() if each.state == "failed")
