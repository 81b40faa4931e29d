"""Optuna's classes from names and keyword arguments, with errors that a person can act on."""

import inspect
import math
from collections.abc import Mapping
from typing import Any, TypeVar

Built = TypeVar("Built")
WORDS = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "a text",
    "None": "null",
}

# What Optuna does not look at itself. Every other whole number that it takes is a count from 0 on.
LEAST = {"n_ei_candidates": 1, "popsize": 2, "dividing_parameter": 1}
POSITIVE = ("prior_weight", "sigma0")
SIGNED = ("lower", "upper", "inc_popsize")


def check(
    what: str,
    classes: Mapping[str, type[Any]],
    name: str,
    arguments: Mapping[str, Any],
    wrapped: str | None = None,
) -> None:
    """Raises ValueError for an unknown name, or arguments that the class does not take.

    Those that a YAML can give are the ones of plain types, and `wrapped`, an object of its own.
    """
    if name not in classes:
        raise ValueError(f"name: {name!r} is unknown; choose one of {', '.join(sorted(classes))}")
    taken = yaml_arguments(classes[name], wrapped)
    unknown = sorted(set(arguments) - set(taken))
    if unknown:
        takes = ", ".join(taken) or "no settings"
        raise ValueError(f"{', '.join(unknown)}: unknown for {what} {name!r}, which takes {takes}")
    missing = [
        field
        for field, parameter in taken.items()
        if field not in {*arguments, wrapped} and parameter.default is inspect.Parameter.empty
    ]
    if missing:
        raise ValueError(f"{', '.join(missing)}: is missing, {what} {name!r} needs it")
    for field in arguments.keys() - {wrapped}:
        _check_type(field, arguments[field], types_of(taken[field]))
        _check_range(field, arguments[field], taken[field].default)


def yaml_arguments(kind: type[Any], wrapped: str | None = None) -> dict[str, inspect.Parameter]:
    """The keyword arguments of a class that a YAML can give: those of plain types, and `wrapped`.

    `seed` is not among them: the sweep's own seed rules.
    """
    return {
        name: parameter
        for name, parameter in inspect.signature(kind).parameters.items()
        if name != "seed" and (name == wrapped or set(types_of(parameter)) <= WORDS.keys())
    }


def types_of(parameter: inspect.Parameter) -> list[str]:
    """The names of the types that a parameter takes, as in its annotation."""
    return inspect.formatannotation(parameter.annotation).strip("'").split(" | ")


def _check_type(field: str, value: Any, kinds: list[str]) -> None:
    # Optuna takes anything here and breaks in the middle of a sweep.
    given = "None" if value is None else type(value).__name__
    if given not in kinds and not (given == "int" and "float" in kinds):
        rule = " or ".join(WORDS[kind] for kind in kinds)
        raise ValueError(f"{field}: {value!r}: it must be {rule}")


def _check_range(field: str, value: Any, default: Any) -> None:
    """Counts that are none would only be met in the middle of a sweep, or never."""
    if value == default or isinstance(value, bool) or not isinstance(value, (int, float)):
        return
    if not math.isfinite(value):
        raise ValueError(f"{field}: {value!r}: it must be a finite number")
    if field in POSITIVE and value <= 0:
        raise ValueError(f"{field}: {value!r}: it must be above 0")
    least = LEAST.get(field, 0)
    if isinstance(value, int) and field not in SIGNED and value < least:
        raise ValueError(f"{field}: {value!r}: it must be {least} or more")


def build(kind: type[Built], arguments: Mapping[str, Any]) -> Built:
    """An instance; what Optuna has against a value becomes a ValueError."""
    try:
        return kind(**arguments)
    except (TypeError, ValueError) as error:
        raise ValueError(f"Optuna's {kind.__name__} refuses the settings: {error}") from None
