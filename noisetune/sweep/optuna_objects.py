"""Optuna's classes from names and keyword arguments, with errors that a person can act on."""

import inspect
from collections.abc import Collection, Mapping
from typing import Any, TypeVar

Built = TypeVar("Built")


def check(
    what: str,
    classes: Mapping[str, type[Any]],
    name: str,
    arguments: Mapping[str, Any],
    exclude: Collection[str] = (),
) -> None:
    """Raises ValueError for an unknown name, or an argument that the class does not take."""
    if name not in classes:
        raise ValueError(f"name: {name!r} is unknown; choose one of {', '.join(sorted(classes))}")
    taken = [
        parameter
        for parameter in inspect.signature(classes[name]).parameters
        if parameter not in {*exclude, "seed"}
    ]
    unknown = sorted(set(arguments) - set(taken))
    if unknown:
        takes = ", ".join(taken) or "no settings"
        raise ValueError(f"{', '.join(unknown)}: unknown for {what} {name!r}, which takes {takes}")


def build(kind: type[Built], arguments: Mapping[str, Any]) -> Built:
    """An instance; what Optuna has against a value becomes a ValueError."""
    try:
        return kind(**arguments)
    except (TypeError, ValueError) as error:
        raise ValueError(f"Optuna's {kind.__name__} refuses the settings: {error}") from None
