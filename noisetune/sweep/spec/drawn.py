"""Settings that are drawn once and run in every condition of a method: equal trials for all.

Where each condition is searched by itself, a method is tuned for each noise rate anew, and two
rates share no setting. Drawn once, a method has the same few settings at every rate.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from noisetune.errors import UserError
from noisetune.section import Scalar
from noisetune.seeds import derive_seed
from noisetune.selection import blocks_of
from noisetune.sweep.spec.conditions import SETTING, Condition
from noisetune.sweep.spec.designs import setting_at, sobol
from noisetune.sweep.spec.settings import DrawnSettings
from noisetune.sweep.spec.space import Parameter


def with_drawn_settings(
    conditions: Sequence[Condition], drawn: DrawnSettings, seed: int
) -> list[Condition]:
    """The conditions with the choice of a drawn setting in place of their parameters.

    Those with an equal value of the factor have equal values of each parameter that they share.
    UserError for what is no factor, where there is no parameter to draw, and for a setting that
    makes no valid trial.
    """
    factor = drawn.drawn_once_per
    _check_factors(conditions, drawn)
    if not any(each.parameters for each in conditions):
        raise UserError("settings: the search space has no parameters to draw; leave settings out")
    values = dict.fromkeys(each.factors[factor] for each in conditions)
    points = {value: _points(conditions, drawn, value, seed) for value in values}
    found = [_with_settings(each, *points[each.factors[factor]]) for each in conditions]
    _check_alike(found, drawn.shared_across)
    return found


def _check_factors(conditions: Sequence[Condition], drawn: DrawnSettings) -> None:
    known = dict.fromkeys(field for each in conditions for field in each.factors)
    named = [("drawn_once_per", drawn.drawn_once_per)]
    for field, factor in [*named, *(("shared_across", each) for each in drawn.shared_across)]:
        if factor not in known:
            shown = ", ".join(known) or "there are none"
            raise UserError(
                f"settings.{field}: {factor}: is no factor of the conditions; those: {shown}"
            )
    if drawn.drawn_once_per in drawn.shared_across:
        raise UserError(
            f"settings.shared_across: {drawn.drawn_once_per}: its values have settings of their "
            "own (drawn_once_per), and can share none; take it out"
        )


def _check_alike(conditions: Sequence[Condition], across: Sequence[str]) -> None:
    """UserError where conditions that are to share a setting do not run the same ones."""
    by_name = {each.name: each for each in conditions}
    blocks = blocks_of([(each.name, each.factors) for each in conditions], across)
    for first, *others in blocks if across else ():
        for other in others:
            if by_name[first].settings != by_name[other].settings:
                raise UserError(
                    f"settings.shared_across: {', '.join(across)}: {first} and {other} are to "
                    "share a setting, and a `when` gives them different parameters; take the "
                    "factor out, or that `when`"
                )


def _points(
    conditions: Sequence[Condition], drawn: DrawnSettings, value: Scalar, seed: int
) -> tuple[dict[str, Parameter], list[list[float]]]:
    """The parameters of the conditions with a value of the factor, and places among their values,
    each in [0, 1)."""
    parameters = {
        field: parameter
        for each in conditions
        if each.factors[drawn.drawn_once_per] == value
        for field, parameter in each.parameters.items()
    }
    own = derive_seed("settings", seed, value)
    return parameters, sobol(len(parameters), drawn.count, own) if parameters else []


def _with_settings(
    condition: Condition, parameters: Mapping[str, Parameter], points: Sequence[list[float]]
) -> Condition:
    if not condition.parameters:
        return condition
    settings = tuple(setting_at(parameters, condition.known, point) for point in points)
    # A number and no choice: Optuna lets a range grow.
    number = Parameter(low=0, high=len(settings) - 1)
    drawn = replace(condition, parameters={SETTING: number}, settings=settings)
    for place in range(len(settings)):
        drawn.trial({SETTING: place})
    return drawn
