"""Every sampler and pruner of Optuna, asked and told by the scheduler, as in a sweep."""

import math
from collections.abc import Callable
from typing import Any

import pytest
from made_up import Play

from noisetune.errors import UserError
from noisetune.sweep.spec.config import parse_sweep
from noisetune.sweep.spec.pruners import PRUNERS
from noisetune.sweep.spec.samplers import SAMPLERS, check_sampler
from noisetune.sweep.study.job import Job

OpenScheduler = Callable[..., Play]
LR, DECAY = "finetune.lr", "finetune.weight_decay"
SPACE = {
    "parameters": {
        LR: {"low": 1e-4, "high": 1e-1, "log": True},
        DECAY: {"low": 0.0, "high": 0.1},
    }
}
STEPS = {
    "parameters": {LR: {"choices": [1e-3, 1e-2, 1e-1]}, DECAY: {"choices": [0.0, 0.05]}},
}
LISTED = ("grid", "brute_force")
MODELLED = {"tpe": 40, "cmaes": 40, "gp": 16}  # trials; a genetic sampler needs many more
SETTINGS: dict[str, dict[str, Any]] = {
    "tpe": {"n_startup_trials": 5},
    "gp": {"n_startup_trials": 5},
    "cmaes": {"n_startup_trials": 3},
    "nsga2": {"population_size": 6},
    "nsga3": {"population_size": 6},
}
PRUNING: dict[str, dict[str, Any]] = {
    "median": {"n_startup_trials": 2},
    "percentile": {"percentile": 50.0, "n_startup_trials": 2},
    "successive_halving": {"min_resource": 1, "reduction_factor": 2},
    "hyperband": {"min_resource": 1, "max_resource": 4, "reduction_factor": 2},
    "threshold": {"lower": 0.3},
    "patient": {"patience": 0, "wrapped_pruner": {"name": "threshold", "lower": 0.3}},
    "none": {},
}


def accuracy(job: Job) -> float:
    """Best at a rate of .01 and without decay."""
    rate, decay = (float(job.parameters[name] or 0) for name in (LR, DECAY))
    return 0.9 - 0.1 * (math.log10(rate) + 2) ** 2 - decay


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_sampler_draws_every_trial_and_goes_on_after_a_resume(
    open_scheduler: OpenScheduler, name: str
) -> None:
    space = STEPS if name in LISTED else SPACE
    wanted = {
        "sampler": {"name": name, **SETTINGS.get(name, {})},
        "pruner": {"name": "none"},
        "replicates": 0,
    }
    first = open_scheduler(space, trials_per_condition=4, **wanted)
    jobs = first.run_all(lambda job: [accuracy(job)])
    again = open_scheduler(space, first.ledger.storage, trials_per_condition=12, **wanted)
    jobs += again.run_all(lambda job: [accuracy(job)])
    assert len(jobs) == (6 if name in LISTED else 12)
    assert len({tuple(job.parameters.values()) for job in jobs}) == len(jobs)
    assert {record.state for record in again.records()} == {"complete"}


def test_brute_force_runs_once_what_a_when_makes_equal(open_scheduler: OpenScheduler) -> None:
    space = {
        "parameters": {
            "pretrain.method": {"choices": ["none", "simclr"]},
            "pretrain.epochs": {"choices": [1, 2, 3], "when": {"pretrain.method": "simclr"}},
            "finetune.epochs": {"low": 1, "high": 2},
        }
    }
    play = open_scheduler(
        space, sampler={"name": "brute_force"}, trials_per_condition=99, replicates=0
    )
    jobs = play.run_all(lambda job: [0.5])
    assert len({tuple(job.parameters.items()) for job in jobs}) == len(jobs) == 8


@pytest.mark.long
@pytest.mark.parametrize("name", MODELLED)
def test_a_sampler_that_learns_comes_nearer(open_scheduler: OpenScheduler, name: str) -> None:
    sampler = {"name": name, "seed": 1, **SETTINGS[name]}
    wanted = {"sampler": sampler, "pruner": {"name": "none"}, "replicates": 0}
    play = open_scheduler(SPACE, trials_per_condition=MODELLED[name], **wanted)
    told = [accuracy(job) for job in play.run_all(lambda job: [accuracy(job)])]
    half = len(told) // 2
    assert sum(told[half:]) > sum(told[:half])


@pytest.mark.parametrize("name", PRUNERS)
def test_a_pruner_stops_the_poor_and_spares_the_best(
    open_scheduler: OpenScheduler, name: str
) -> None:
    pruner = {"name": name, **PRUNING[name]}
    play = open_scheduler(SPACE, pruner=pruner, trials_per_condition=16, replicates=0)
    play.run_all(lambda job: [(job.trial.number * 7 % 16) / 16 * (1 - 0.01 * e) for e in range(4)])
    states = {record.number: record.state for record in play.records()}
    best = next(number for number in states if number * 7 % 16 == 15)
    assert states[best] == "complete"
    assert ("pruned" in states.values()) == (name != "none")


@pytest.mark.parametrize(
    ("field", "settings", "message"),
    [
        ("sampler", {"name": "cmaes", "sigma": 1}, "sigma: unknown for sampler 'cmaes'"),
        ("sampler", {"name": "nsga2", "population_size": 1}, "NSGAIISampler refuses the settings"),
        ("pruner", {"name": "wilcoxon"}, "wilcoxon compares scores of the same problem instances"),
        (
            "pruner",
            {"name": "patient", "patience": 1, "wrapped_pruner": {"name": "wilcoxon"}},
            "wilcoxon compares scores",
        ),
        (
            "pruner",
            {"name": "patient", "patience": 1, "wrapped_pruner": {"name": "median", "warm": 1}},
            "warm: unknown for pruner 'median'",
        ),
    ],
)
def test_what_cannot_be_is_refused_when_the_yaml_is_read(
    field: str, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        parse_sweep({"name": "mine", "search_space": "mine", field: settings}, "mine.yaml")


def test_cmaes_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"pip install 'noisetune\[cmaes\]'"):
        check_sampler({"name": "cmaes"})
