"""Any Optuna pruner by name, with its own keyword arguments, checked when the YAML is read."""

import warnings
from collections.abc import Mapping
from typing import Any

import optuna
from optuna.pruners import BasePruner

from noisetune.sweep.spec.optuna_classes import build, check

PRUNERS: dict[str, type[BasePruner]] = {
    "none": optuna.pruners.NopPruner,
    "median": optuna.pruners.MedianPruner,
    "percentile": optuna.pruners.PercentilePruner,
    "successive_halving": optuna.pruners.SuccessiveHalvingPruner,
    "hyperband": optuna.pruners.HyperbandPruner,
    "patient": optuna.pruners.PatientPruner,
    "threshold": optuna.pruners.ThresholdPruner,
}

DEFAULT = "median"
WRAPPERS = {"patient": "wrapped_pruner"}


def name_of(settings: Mapping[str, Any]) -> str:
    """What the pruner is called; the default's name where `settings` give none."""
    return str(settings.get("name", DEFAULT))


def check_pruner(settings: Mapping[str, Any]) -> None:
    """Raises ValueError for an unknown pruner or arguments that it does not take."""
    pruner = build_pruner(settings)
    try:
        _rehearse(pruner)
    except (ArithmeticError, TypeError, ValueError) as error:
        raise ValueError(
            f"Optuna's {type(pruner).__name__} refuses the settings: {error}"
        ) from None


def build_pruner(settings: Mapping[str, Any]) -> BasePruner:
    """The pruner that `settings` describe; a wrapped one is a section of its own."""
    name = name_of(settings)
    if name == "wilcoxon":
        raise ValueError(
            "name: wilcoxon compares scores of the same problem instances (folds), and a trial "
            "reports epochs; choose another, such as median"
        )
    arguments = {key: value for key, value in settings.items() if key != "name"}
    wrapped = WRAPPERS.get(name)
    if wrapped is not None and arguments.get(wrapped) is not None:
        if not isinstance(arguments[wrapped], Mapping):
            raise ValueError(
                f"{wrapped}: {arguments[wrapped]!r}: it must be a pruner, such as {{name: median}}"
            )
        arguments[wrapped] = build_pruner(arguments[wrapped])
    check("pruner", PRUNERS, name, arguments, wrapped)
    if wrapped is not None:
        arguments.setdefault(wrapped, None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return build(PRUNERS[name], arguments)


def _rehearse(pruner: BasePruner) -> None:
    """Let it judge a second trial by a first: some pruners look at their settings only then."""
    study = optuna.create_study(pruner=pruner)
    for _ in range(2):
        trial = study.ask()
        for step in range(1, 4):
            trial.report(0.0, step)
            trial.should_prune()
        study.tell(trial, 0.0)
