"""The samplers and pruners, with the keyword arguments that a YAML can give Optuna's classes."""

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

from noisetune.reference.fields import table
from noisetune.reference.words import as_yaml, named_words
from noisetune.sweep.spec.optuna_classes import types_of, yaml_arguments
from noisetune.sweep.spec.pruners import PRUNERS, WRAPPERS
from noisetune.sweep.spec.samplers import SAMPLERS


def engines() -> Mapping[str, Mapping[str, type[Any]]]:
    """Optuna's classes by the names that a sweep has for them, of each kind."""
    return {"sampler": {name: kind.sampler for name, kind in SAMPLERS.items()}, "pruner": PRUNERS}


def engine_parts() -> Iterator[str]:
    """A chapter for each kind."""
    for kind, classes in engines().items():
        yield f"### `{kind}`"
        yield (
            f"`name` is one of {', '.join(f'`{name}`' for name in classes)}. The other fields are "
            "keyword arguments of Optuna's class, which says what they mean."
        )
        for name, engine in classes.items():
            yield f"#### `{kind}: {{name: {name}}}`"
            yield f"Optuna's `{_of_optuna(engine).__name__}`."
            lines = list(_arguments(engine, WRAPPERS.get(name)))
            yield table(("field", "type", "default"), lines) if lines else "It has no fields."


def _of_optuna(engine: type[Any]) -> type[Any]:
    return next(base for base in engine.__mro__ if base.__module__.startswith("optuna."))


def _arguments(engine: type[Any], wrapped: str | None) -> Iterator[tuple[str, str, str]]:
    for field, parameter in yaml_arguments(engine, wrapped).items():
        if field == wrapped:
            yield f"`{field}`", "a section like this one, or null", "`null`"
            continue
        required = parameter.default is inspect.Parameter.empty
        default = "required" if required else f"`{as_yaml(parameter.default)}`"
        yield f"`{field}`", named_words(types_of(parameter)), default
