"""Types, ranges and defaults of fields in the words of a person who writes YAML."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import to_jsonable_python

KINDS: dict[Any, str] = {
    bool: "true or false",
    int: "whole number",
    float: "number",
    str: "text",
    Path: "path",
    Any: "anything",
    NoneType: "null",
}
SCALARS = {bool, int, float, str, NoneType}
BOUNDS = {
    "gt": "above {}",
    "ge": "{} or more",
    "lt": "under {}",
    "le": "at most {}",
    "min_length": "{} entries or more",
    "max_length": "at most {} entries",
    "multiple_of": "a multiple of {}",
    "pattern": "`{}`",
}
"""What a constraint says, by the attribute that holds it."""

Link = Callable[[Iterable[type[BaseModel]]], str]
"""The place where the models that a field takes are described."""


def type_words(annotation: Any, link: Link) -> str:
    """What a field takes; TypeError for a type that has no words yet."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if annotation in KINDS:
        return KINDS[annotation]
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return link([annotation])
    if origin is Annotated:
        return type_words(parts[0], link)
    if origin is Literal:
        return _either([f"`{part}`" for part in parts])
    if origin in (Union, UnionType):
        return _union(parts, link)
    if origin is tuple:
        return _list(parts, link)
    if origin is dict:
        return "mapping" if parts[1] is Any else f"mapping to {_inner(parts[1], link)}"
    raise TypeError(f"{annotation}: noisetune.reference.words has no words for this type")


def named_words(names: Iterable[str]) -> str:
    """What takes any of the types of these names, such as `int` and `None`."""
    by_name = {kind.__name__: kind for kind in SCALARS} | {"None": NoneType}
    return _union([by_name[name] for name in names], lambda _: "")


def _list(parts: Sequence[Any], link: Link) -> str:
    if parts[-1] is Ellipsis:
        return f"list of {_inner(parts[0], link)}"
    return f"list of ({', '.join(type_words(part, link) for part in parts)})"


def _inner(annotation: Any, link: Link) -> str:
    words = type_words(annotation, link)
    return f"({words})" if " or " in words else words


def _union(parts: Iterable[Any], link: Link) -> str:
    left = [get_args(part)[0] if get_origin(part) is Annotated else part for part in parts]
    models = [part for part in left if isinstance(part, type) and issubclass(part, BaseModel)]
    words = [link(models)] * bool(models)
    covered: set[Any] = set(models)
    if set(left) >= SCALARS:
        words.append("value")
        covered |= SCALARS
    elif float in left:
        covered.add(int)
    # Null comes last, as in "whole number or null".
    rest = sorted((part for part in left if part not in covered), key=lambda part: part is NoneType)
    for part in rest:
        words += ["true", "false"] if part is bool else [type_words(part, link)]
    return _either(words)


def _either(words: Sequence[str]) -> str:
    return " or ".join([", ".join(words[:-1])] * bool(words[1:]) + [words[-1]])


def range_words(field: FieldInfo) -> str:
    """The constraints of a field, and of what is in it."""
    return "; ".join(dict.fromkeys(_ranges(field.annotation, field.metadata)))


def _ranges(annotation: Any, metadata: Iterable[Any] = ()) -> Iterator[str]:
    if bounds := _bounds(metadata):
        yield bounds
    parts = get_args(annotation)
    if get_origin(annotation) is Annotated:
        yield from _ranges(parts[0], parts[1:])
    elif get_origin(annotation) is not Literal:
        for part in parts:
            yield from _ranges(part)


def _bounds(metadata: Iterable[Any]) -> str:
    known = {
        name: value
        for name in BOUNDS
        for item in metadata
        for constraint in (item.metadata if isinstance(item, FieldInfo) else [item])
        if (value := getattr(constraint, name, None)) is not None
    }
    if {"ge", "le"} <= known.keys():
        return f"{known['ge']:g} to {known['le']:g}"
    return ", ".join(
        BOUNDS[name].format(f"{value:g}" if isinstance(value, float) else value)
        for name, value in known.items()
    )


def default_words(field: FieldInfo) -> str:
    """The default, as YAML."""
    if field.is_required():
        return "required"
    return f"`{as_yaml(field.get_default(call_default_factory=True))}`"


def as_yaml(value: Any) -> str:
    """A value on one line: of a section only what is not its default, and its plug-in's name."""
    if isinstance(value, BaseModel):
        fields = type(value).model_fields
        own = {name: get_args(field.annotation) for name, field in fields.items()}
        fixed = {name: choices[0] for name, choices in own.items() if len(choices) == 1}
        value = fixed | value.model_dump(mode="json", exclude_defaults=True)
    text = yaml.safe_dump(_rounded(to_jsonable_python(value)), default_flow_style=True)
    return text.removesuffix("\n").removesuffix("\n...")


def _rounded(value: Any) -> Any:
    """Four digits of a third are enough to read."""
    if isinstance(value, list):
        return [_rounded(part) for part in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value
