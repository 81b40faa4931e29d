"""What Optuna says of the parameters that were searched."""

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

FEWEST = 6
"""Complete trials, under which nothing is said of what a parameter does."""


def complete_trials(trials: Sequence["FrozenTrial"]) -> list["FrozenTrial"]:
    from optuna.trial import TrialState

    return [each for each in trials if each.state == TrialState.COMPLETE and len(each.values) == 1]


def importances(trials: Sequence["FrozenTrial"], maximize: bool) -> dict[str, float]:
    """The share (0..1) of a condition's objective that each parameter explains (fANOVA).

    A parameter that only some of the trials have is weighed among those; one that fewer than six
    have, or that never varied, is left out.
    """
    import optuna

    done = complete_trials(trials)
    shared: dict[str, float] = {}
    for names in _spaces(done):
        mine = [each for each in done if set(names) <= set(each.params)]
        varied = [name for name in names if len({repr(t.params[name]) for t in mine}) > 1]
        if len(mine) < FEWEST or not varied or len({each.value for each in mine}) < 2:
            continue
        study = optuna.create_study(direction="maximize" if maximize else "minimize")
        study.add_trials(mine)
        evaluator = optuna.importance.FanovaImportanceEvaluator(n_trees=32, seed=0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = optuna.importance.get_param_importances(
                study, evaluator=evaluator, params=varied
            )
        shared = {name: float(value) for name, value in found.items()} | shared
    return shared


def _spaces(done: Sequence["FrozenTrial"]) -> list[list[str]]:
    """The sets of parameters that trials have together, first what all have."""
    spaces = {tuple(sorted(each.params)) for each in done}
    shared = set.intersection(*map(set, spaces)) if spaces else set()
    sets = {tuple(sorted(shared)), *spaces} - {()}
    return [list(names) for names in sorted(sets, key=lambda names: (len(names), names))]


def is_log(trials: Sequence["FrozenTrial"], name: str) -> bool:
    """Whether a parameter was searched in its logarithm."""
    return any(getattr(each.distributions.get(name), "log", False) for each in trials)


def places_of(values: Sequence[Any]) -> tuple[list[float], list[str] | None]:
    """Where values stand on an axis: numbers at themselves, others side by side, with names."""
    if all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values):
        return [float(value) for value in values], None
    names = sorted({str(value) for value in values})
    return [float(names.index(str(value))) for value in values], names
