"""What every plug-in promises, of whichever kind."""

import sys
from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

from pydantic import ValidationError

from noisetune.plugins import PluginConfig
from noisetune.testing.promises import Plugin, promise, small


@promise(PluginConfig)
def it_is_frozen(config: type[PluginConfig], **settings: Any) -> None:
    try:
        setattr(config.model_construct(), next(iter(config.model_fields)), None)
    except ValidationError:
        return
    raise AssertionError("a field can be set: a configuration must be frozen")


@promise(PluginConfig)
def a_key_that_it_does_not_know_is_an_error(config: type[PluginConfig], **settings: Any) -> None:
    try:
        config.model_validate({"no_such_key": 1})
    except ValidationError as error:
        if any(each["type"] == "extra_forbidden" for each in error.errors()):
            return
    raise AssertionError("no_such_key: 1 is taken: a configuration must forbid unknown keys")


@promise(PluginConfig)
def it_says_what_it_is(config: type[PluginConfig], **settings: Any) -> None:
    assert config.__doc__, "Config needs a docstring: it stands in the reference"
    assert sys.modules[config.__module__].__doc__, f"{config.__module__} needs a docstring"


@promise(PluginConfig)
def its_name_is_its_default(config: type[PluginConfig], **settings: Any) -> None:
    names = {"name", "model", "method"} & config.model_fields.keys()
    fields = [config.model_fields[name] for name in names]
    named = [field for field in fields if get_args(field.annotation) == (field.default,)]
    assert named, 'it needs its own name as a field, such as method: Literal["mine"] = "mine"'


@promise(PluginConfig)
def its_smallest_settings_are_valid_and_one_more(
    config: type[PluginConfig], **settings: Any
) -> None:
    small(config, **settings)
    for name, value in config.smallest.items():
        assert name in config.model_fields, f"smallest: {name} is no field"
        try:
            config(**{**config.smallest, **settings, name: value + 1})
        except ValidationError as error:
            raise AssertionError(f"smallest: {name}: {value + 1} must be valid, too") from error


@promise(PluginConfig)
def it_is_the_same_after_a_way_through_yaml(config: type[PluginConfig], **settings: Any) -> None:
    """A configuration travels to other hosts, and into the files that `noisetune best` writes."""
    given = small(config, **settings)
    assert config.model_validate(given.model_dump(mode="json")) == given


def variations(given: Plugin) -> Iterator[tuple[str, Plugin]]:
    """A plug-in with one field at a time at another value that it takes, where one can be guessed
    from its type: the field's name, and the plug-in."""
    for name, field in type(given).model_fields.items():
        for value in _guesses(getattr(given, name), field.annotation):
            try:
                other = type(given).model_validate(given.model_dump() | {name: value})
            except ValidationError:
                continue
            if getattr(other, name) != getattr(given, name):
                yield name, other
                break


def _guesses(value: Any, annotation: Any) -> Iterator[Any]:
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, int):
        yield from (value + 1, value - 1)
    elif isinstance(value, float):
        yield from (value / 2, value + 0.5, value - 0.5)
    yield from _literals(annotation)
    if value is None:
        yield from (2, 0.5)


def _literals(annotation: Any) -> Iterator[Any]:
    if get_origin(annotation) is Literal:
        yield from get_args(annotation)
        return
    for part in get_args(annotation):
        yield from _literals(part)
