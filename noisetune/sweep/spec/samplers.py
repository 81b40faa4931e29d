"""Any Optuna sampler by name, with its own keyword arguments, checked when the YAML is read."""

import importlib.util
import warnings
from collections.abc import Mapping
from typing import Any

import optuna
from optuna.samplers import BaseSampler

from noisetune.sweep.spec.optuna_classes import build, check


class Grid(optuna.samplers.GridSampler):
    """Optuna's grid, without its call to stop an `optimize` that is not running here."""

    def after_trial(self, *_: Any) -> None:
        pass


class CmaEs(optuna.samplers.CmaEsSampler):
    """Optuna's CMA-ES. It keeps its state, pickled, among the attributes of trials.

    That is read back from the sweep's own ledger alone: a journal file in its own folder that
    only its driver writes. What a warm start takes from other ledgers has no such attribute.
    """


class BruteForce(optuna.samplers.BruteForceSampler):
    """Optuna's brute force, without that call either."""

    def after_trial(self, *_: Any) -> None:
        pass


SAMPLERS: dict[str, type[BaseSampler]] = {
    "tpe": optuna.samplers.TPESampler,
    "random": optuna.samplers.RandomSampler,
    "qmc": optuna.samplers.QMCSampler,
    "grid": Grid,
    "brute_force": BruteForce,
    "cmaes": CmaEs,
    "gp": optuna.samplers.GPSampler,
    "nsga2": optuna.samplers.NSGAIISampler,
    "nsga3": optuna.samplers.NSGAIIISampler,
}
# It samples numbers alone: a design, which is a choice, would be drawn without it.
NO_CHOICES = {"cmaes"}
# What these draw does not depend on how other trials ended.
LEARNS_NOTHING = {"random", "qmc", "grid", "brute_force"}
# These try every value there is: a continuum has none to list.
EXHAUSTIVE = {"grid", "brute_force"}

# These read their progress from the study, or continue one sequence: one seed for a condition.
SEQUENTIAL = {"grid", "qmc", "brute_force"}


def check_sampler(settings: Mapping[str, Any]) -> None:
    """Raises ValueError for an unknown sampler or arguments that it does not take."""
    name, arguments = split(settings)
    check("sampler", SAMPLERS, name, arguments)
    seed = settings.get("seed", 0)
    if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
        raise ValueError(f"seed: {seed!r}: it must be a whole number, 0 or more")
    if name == "cmaes" and importlib.util.find_spec("cmaes") is None:
        raise ValueError("name: cmaes needs an extra: pip install 'noisetune[cmaes]'")
    if name != "grid":
        build_sampler(settings, seed=0)


def check_several(settings: Mapping[str, Any]) -> None:
    """Raises ValueError for a sampler that can only follow a single goal."""
    study = optuna.create_study(
        directions=["maximize", "minimize"], sampler=build_sampler(settings, 0, {"x": [0.0]})
    )
    try:
        for _ in range(2):
            trial = study.ask()
            study.tell(trial, [trial.suggest_float("x", 0.0, 1.0)] * 2)
    except ValueError:
        raise ValueError(
            f"sampler: {settings.get('name')!r} follows one goal, and objective.also gives more; "
            "choose another, such as tpe or nsga2"
        ) from None


def build_sampler(
    settings: Mapping[str, Any], seed: int, grid: Mapping[str, list[Any]] | None = None
) -> BaseSampler:
    """The sampler, seeded; `grid` lists the values of each parameter, for `grid` alone."""
    name, arguments = split(settings)
    arguments = {"seed": seed} | arguments
    if name == "grid":
        arguments["search_space"] = dict(grid or {})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return build(SAMPLERS[name], arguments)


def split(settings: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Name and keyword arguments. `seed` is not among the latter: the sweep's own seed rules."""
    rest = {key: value for key, value in settings.items() if key not in ("name", "seed")}
    return str(settings.get("name", "tpe")), rest
