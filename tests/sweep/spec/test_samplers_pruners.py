from typing import Any

import optuna
import pytest

from noisetune.sweep.spec.pruners import PRUNERS, build_pruner, check_pruner
from noisetune.sweep.spec.samplers import SAMPLERS, build_sampler, check_sampler

NEEDED: dict[str, dict[str, Any]] = {
    "percentile": {"percentile": 25.0},
    "patient": {"patience": 1},
    "threshold": {"lower": 0.1},
}


def needs(sampler: str) -> None:
    """Skips where a sampler's own package is not installed."""
    if sampler == "cmaes":
        pytest.importorskip("cmaes")


def draws(settings: dict[str, Any], seed: int) -> list[float]:
    """Three values of a sampler built anew."""
    study = optuna.create_study(sampler=build_sampler(settings, seed, {"x": 0.1}))
    return [study.ask().suggest_float("x", 0, 1, step=0.1) for _ in range(3)]


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampler_draws_the_same_from_the_same_seed(name: str) -> None:
    needs(name)
    check_sampler({"name": name})
    assert draws({"name": name}, seed=1) == draws({"name": name}, seed=1)
    assert draws({"name": name, "seed": 5}, seed=1) == draws({"name": name}, seed=1)


@pytest.mark.parametrize("name", ["tpe", "random"])
def test_another_seed_draws_others(name: str) -> None:
    assert draws({"name": name}, seed=1) != draws({"name": name}, seed=2)


@pytest.mark.parametrize("name", PRUNERS)
def test_every_pruner_is_built_by_its_name(name: str) -> None:
    settings = {"name": name, **NEEDED.get(name, {})}
    check_pruner(settings)
    assert type(build_pruner(settings)) is PRUNERS[name]


def test_the_settings_reach_optuna() -> None:
    sampler = build_sampler({"name": "tpe", "n_startup_trials": 3}, seed=0)
    pruner = build_pruner({"name": "median", "n_warmup_steps": 4})
    assert getattr(sampler, "_n_startup_trials", None) == 3
    assert getattr(pruner, "_n_warmup_steps", None) == 4


def test_a_patient_pruner_waits_before_the_one_it_wraps_decides() -> None:
    hasty = build_pruner({"name": "threshold", "lower": 0.5})
    wrapped = {"name": "threshold", "lower": 0.5}
    patient = build_pruner({"name": "patient", "patience": 2, "wrapped_pruner": wrapped})
    assert [first_stop(hasty), first_stop(patient)] == [1, 4]


def first_stop(pruner: optuna.pruners.BasePruner) -> int:
    """The step at which a trial that only falls, from .4, is stopped."""
    trial = optuna.create_study(direction="maximize", pruner=pruner).ask()
    for step in range(1, 10):
        trial.report(0.4 / step, step)
        if trial.should_prune():
            return step
    return 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": "tep"}, "name: 'tep' is unknown; choose one of .*random, tpe"),
        ({"name": "tpe", "n_startup_trial": 3}, "n_startup_trial: unknown for sampler 'tpe', whic"),
        ({"name": "tpe", "n_startup_trials": "x"}, "n_startup_trials: 'x': it must be a whole nu"),
        ({"name": "tpe", "n_startup_trials": 2.5}, "n_startup_trials: 2.5: it must be a whole nu"),
        ({"name": "tpe", "multivariate": 1}, "multivariate: 1: it must be true or false or null"),
        ({"name": "tpe", "n_startup_trials": -1}, "n_startup_trials: -1: it must be 0 or more"),
        ({"name": "gp", "n_startup_trials": -1}, "n_startup_trials: -1: it must be 0 or more"),
        ({"name": "tpe", "n_ei_candidates": 0}, "n_ei_candidates: 0: it must be 1 or more"),
        ({"name": "tpe", "prior_weight": 0.0}, "prior_weight: 0.0: it must be above 0"),
        ({"name": "nsga2", "crossover_prob": float("nan")}, "crossover_prob: nan: it must be a f"),
        ({"name": "brute_force", "seed": 1, "x": 1}, "x: unknown for sampler 'brute_force'"),
        ({"name": "tpe", "gamma": 3}, "gamma: unknown for sampler 'tpe'"),
        ({"name": "qmc", "qmc_type": "sobl"}, "QMCSampler refuses the settings: .*sobl"),
        ({"name": "grid", "search_space": {}}, "search_space: unknown for sampler 'grid'"),
        ({"name": "random", "seed": "x"}, "seed: 'x': it must be a whole number, 0 or more"),
        ({"name": "random", "seed": -1}, "seed: -1: it must be a whole number, 0 or more"),
    ],
)
def test_a_sampler_that_cannot_be_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_sampler(settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": "mdian"}, "name: 'mdian' is unknown; choose one of hyperband, median, "),
        ({"name": "median", "warmup": 3}, "warmup: unknown for pruner 'median', which takes n_"),
        ({"name": "none", "warmup": 3}, "unknown for pruner 'none', which takes no settings"),
        ({"name": "median", "n_startup_trials": -1}, "n_startup_trials: -1: it must be 0 or more"),
        ({"name": "median", "n_startup_trials": "x"}, "n_startup_trials: 'x': it must be a whol"),
        ({"name": "percentile"}, "percentile: is missing, pruner 'percentile' needs it"),
        ({"name": "percentile", "percentile": 300}, "PercentilePruner refuses the settings: "),
        ({"name": "threshold"}, "ThresholdPruner refuses the settings: Either lower or upper"),
        ({"name": "hyperband", "min_resource": 0}, "HyperbandPruner refuses the settings: "),
        ({"name": "hyperband", "max_resource": "x"}, "HyperbandPruner refuses the settings: "),
        ({"name": "patient"}, "patience: is missing, pruner 'patient' needs it"),
        (
            {"name": "patient", "patience": 2, "wrapped_pruner": "median"},
            r"wrapped_pruner: 'median': it must be a pruner, such as \{name: median\}",
        ),
        (
            {"name": "patient", "patience": 2, "wrapped_pruner": {"name": "mdian"}},
            "name: 'mdian' is unknown",
        ),
    ],
)
def test_a_pruner_that_cannot_be_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_pruner(settings)
