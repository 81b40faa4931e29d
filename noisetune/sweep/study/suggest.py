"""What Optuna draws in a condition, and what it is told beforehand."""

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState

from noisetune.section import Scalar
from noisetune.sweep.spec.conditions import Condition
from noisetune.sweep.spec.config import SweepConfig
from noisetune.sweep.study.ledger import WARM, Ledger


def bring_in(
    condition: Condition, study: optuna.Study, ledger: Ledger, config: SweepConfig
) -> None:
    """Give a study what earlier sweeps found there, and what the user wants to be tried first."""
    brought = {trial.user_attrs.get(WARM) for trial in study.get_trials(False)}
    for name in config.warm_start:
        for trial, parameters in ledger.earlier(name, condition.name):
            mark = f"{name} {trial.number}"
            if mark not in brought and _fits(parameters, condition):
                study.add_trial(_warm(trial, parameters, condition, mark))
    # An exhaustive search begins with what is enqueued by itself: it knows which settings it means.
    for values in () if config.sampler_kind.exhaustive else config.enqueue:
        settings = {
            field: value for field, value in values.items() if field in condition.parameters
        }
        if settings:
            study.enqueue_trial(settings, skip_if_exists=True)


def _fits(parameters: dict[str, Scalar], condition: Condition) -> bool:
    """Whether an earlier sweep's values are ones that this sweep could have drawn."""
    known = condition.parameters
    return bool(parameters) and all(
        name in known and known[name].takes(value) for name, value in parameters.items()
    )


def _warm(
    trial: FrozenTrial, parameters: dict[str, Scalar], condition: Condition, mark: str
) -> FrozenTrial:
    """An earlier sweep's trial as one that this study has seen, but that is not of this sweep."""
    return optuna.trial.create_trial(
        params=parameters,
        distributions={name: condition.parameters[name].distribution() for name in parameters},
        values=trial.values,
        user_attrs={WARM: mark},
    )


def queued(study: optuna.Study) -> dict[str, Scalar]:
    """The values that the next trial must have, by the queue of the study."""
    waiting = study.get_trials(False, (TrialState.WAITING,))
    return waiting[0].system_attrs.get("fixed_params", {}) if waiting else {}


def suggest(trial: optuna.Trial, name: str, distribution: BaseDistribution) -> Scalar:
    """Optuna's value of a parameter; one that was drawn before an interruption stays."""
    if name in trial.params:
        _draw_again(trial, name, distribution)
    if isinstance(distribution, CategoricalDistribution):
        return trial.suggest_categorical(name, distribution.choices)
    if isinstance(distribution, IntDistribution):
        low, high = distribution.low, distribution.high
        return trial.suggest_int(name, low, high, step=distribution.step, log=distribution.log)
    assert isinstance(distribution, optuna.distributions.FloatDistribution)
    edges = distribution.low, distribution.high
    return trial.suggest_float(name, *edges, step=distribution.step, log=distribution.log)


def _draw_again(trial: optuna.Trial, name: str, distribution: BaseDistribution) -> None:
    """Move the sampler on past a value that was drawn before the sweep was interrupted.

    What follows is then drawn as it would have been; the order of the cases is Optuna's own.
    """
    frozen = trial._get_latest_trial()
    fixed = frozen.system_attrs.get("fixed_params", {})
    if name in fixed or distribution.single() or name in trial.relative_params:
        return
    study = optuna.pruners._filter_study(trial.study, frozen)
    study.sampler.sample_independent(study, frozen, name, distribution)
