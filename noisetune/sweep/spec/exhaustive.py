"""Every setting of a condition, in the order in which `grid` and `brute_force` try them."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from noisetune.errors import UserError
from noisetune.section import Scalar
from noisetune.sweep.spec.conditions import Condition
from noisetune.sweep.spec.space import Parameter

MOST_SETTINGS = 100_000

Setting = dict[str, Scalar]


def check_settings(condition: Condition) -> None:
    """UserError where a parameter has no values to list, or the condition more than are listed."""
    for field, parameter in condition.parameters.items():
        try:
            parameter.grid_values()
        except ValueError as error:
            raise UserError(f"parameters: {field}: {error}") from None
    if (count := count_settings(condition)) > MOST_SETTINGS:
        raise UserError(
            f"parameters: there are {count:,} settings in condition {condition.name}, and a "
            f"sampler of every value lists at most {MOST_SETTINGS:,}; give fewer values, or "
            "choose random or qmc"
        )


def count_settings(condition: Condition) -> int:
    """How many different settings there are; ValueError where a parameter is a continuum."""
    return _count(list(condition.parameters.items()), condition.known)


def settings_in_order(
    condition: Condition, enqueued: Sequence[Mapping[str, Scalar]], seed: int
) -> list[Setting]:
    """Each setting once: those first that an enqueued one stands for, then the others, shuffled.

    Without `when` the shuffled order is that of Optuna's GridSampler of the same seed.
    """
    settings = list(_every(_in_order(condition.parameters), condition.known))
    order = np.arange(len(settings))
    np.random.RandomState(seed).shuffle(order)
    shuffled = [settings[place] for place in order]
    first = [each for entry in enqueued for each in _meant(entry, condition, shuffled)]
    return list({frozenset(each.items()): each for each in [*first, *shuffled]}.values())


def agrees(setting: Mapping[str, Scalar], values: Mapping[str, Scalar]) -> bool:
    """Whether none of the values that both have differ."""
    return all(setting[field] == value for field, value in values.items() if field in setting)


def _meant(
    entry: Mapping[str, Scalar], condition: Condition, settings: Sequence[Setting]
) -> list[Setting]:
    """The settings that an enqueued one stands for: they agree with it, in as many fields as any.

    What it leaves out may have every value; what a `when` leaves out of a setting decides nothing.
    """
    values = {
        field: condition.parameters[field].listed(value)
        for field, value in entry.items()
        if field in condition.parameters
    }
    agreeing = [setting for setting in settings if agrees(setting, values)]
    shared = [len(values.keys() & setting.keys()) for setting in agreeing]
    most = max(shared, default=0)
    return [
        setting for setting, count in zip(agreeing, shared, strict=True) if most and count == most
    ]


def _in_order(parameters: Mapping[str, Parameter]) -> list[tuple[str, Parameter]]:
    """By name, as Optuna's grid has them, unless a `when` asks for another order."""
    listed = list(parameters.items())
    if any(field in parameter.when for _, parameter in listed for field in parameters):
        return listed
    return sorted(listed, key=lambda item: item[0])


def _every(left: Sequence[tuple[str, Parameter]], known: Mapping[str, Scalar]) -> Iterator[Setting]:
    if not left:
        yield {}
        return
    (field, parameter), *rest = left
    if not parameter.holds(known):
        yield from _every(rest, known)
        return
    for value in parameter.grid_values():
        for others in _every(rest, {**known, field: value}):
            yield {field: value, **others}


def _count(left: Sequence[tuple[str, Parameter]], known: Mapping[str, Scalar]) -> int:
    if not left:
        return 1
    (field, parameter), *rest = left
    if not parameter.holds(known):
        return _count(rest, known)
    values = parameter.grid_values()
    if not any(field in other.when for _, other in rest):
        return len(values) * _count(rest, known)
    return sum(_count(rest, {**known, field: value}) for value in values)
