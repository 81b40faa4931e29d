"""Any Optuna sampler by name, with its own keyword arguments, checked when the YAML is read."""

import importlib.util
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial

from noisetune.sweep.spec.optuna_classes import build, check


class Given(BaseSampler):
    """Draws what it is given: the next of the settings that an exhaustive sampler tries.

    Optuna's own GridSampler numbers settings by trials and knows nothing of those enqueued, which
    would run twice, or not at all.
    """

    def __init__(self, setting: Mapping[str, Any]) -> None:
        self.setting = setting

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """None: each value is drawn by itself."""
        return {}

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """None."""
        return {}

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """The value that the setting has."""
        return self.setting[param_name]


class CmaEs(optuna.samplers.CmaEsSampler):
    """Optuna's CMA-ES. It keeps its state, pickled, among the attributes of trials.

    That is read back from the sweep's own ledger alone: a journal file in its own folder that
    only its driver writes. What a warm start takes from other ledgers has no such attribute.
    """


@dataclass(frozen=True)
class SamplerKind:
    """A sampler of Optuna, and what a sweep must know of it.

    `learns` where what it draws depends on how other trials ended. `exhaustive` where it tries
    every setting once, in an order that is drawn beforehand: a continuum has none to list.
    `sequential` where it continues one sequence: it has one seed for a condition, others one for
    each ask.
    `takes_choices` where it samples choices; another draws numbers alone, and a design, which is
    a choice, without it. `extra` is the package that it needs beside Optuna, and our extra of
    that name.
    """

    sampler: type[BaseSampler]
    learns: bool = True
    exhaustive: bool = False
    sequential: bool = False
    takes_choices: bool = True
    extra: str | None = None


SAMPLERS = {
    "tpe": SamplerKind(optuna.samplers.TPESampler),
    "random": SamplerKind(optuna.samplers.RandomSampler, learns=False),
    "qmc": SamplerKind(optuna.samplers.QMCSampler, learns=False, sequential=True),
    "grid": SamplerKind(Given, learns=False, exhaustive=True),
    "brute_force": SamplerKind(Given, learns=False, exhaustive=True),
    "cmaes": SamplerKind(CmaEs, takes_choices=False, extra="cmaes"),
    "gp": SamplerKind(optuna.samplers.GPSampler),
    "nsga2": SamplerKind(optuna.samplers.NSGAIISampler),
    "nsga3": SamplerKind(optuna.samplers.NSGAIIISampler),
}
DEFAULT = "tpe"


def kind_of(settings: Mapping[str, Any]) -> SamplerKind:
    """What `settings`, which `check_sampler` has passed, choose."""
    return SAMPLERS[_split(settings)[0]]


def check_sampler(settings: Mapping[str, Any]) -> None:
    """Raises ValueError for an unknown sampler or arguments that it does not take."""
    name, arguments = _split(settings)
    check("sampler", {name: kind.sampler for name, kind in SAMPLERS.items()}, name, arguments)
    seed = settings.get("seed", 0)
    if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
        raise ValueError(f"seed: {seed!r}: it must be a whole number, 0 or more")
    extra = SAMPLERS[name].extra
    if extra is not None and importlib.util.find_spec(extra) is None:
        raise ValueError(f"name: {name} needs an extra: pip install 'noisetune[{extra}]'")
    build_sampler(settings, seed=0)


def check_several(settings: Mapping[str, Any]) -> None:
    """Raises ValueError for a sampler that can only follow a single goal."""
    study = optuna.create_study(
        directions=["maximize", "minimize"], sampler=build_sampler(settings, 0, {"x": 0.0})
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
    settings: Mapping[str, Any], seed: int, setting: Mapping[str, Any] | None = None
) -> BaseSampler:
    """The sampler, seeded; of an exhaustive one the `setting` that it is to try."""
    name, arguments = _split(settings)
    if SAMPLERS[name].exhaustive:
        return Given(setting or {})
    arguments = {"seed": seed} | arguments
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return build(SAMPLERS[name].sampler, arguments)


def _split(settings: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Name and keyword arguments. `seed` is not among the latter: the sweep's own seed rules."""
    rest = {key: value for key, value in settings.items() if key not in ("name", "seed")}
    return str(settings.get("name", DEFAULT)), rest
