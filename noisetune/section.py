"""Sections of a YAML file: frozen, and strict where a mistake would pass for a value."""

from collections.abc import Iterator
from functools import cache
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_core import InitErrorDetails, PydanticCustomError

Scalar = None | bool | int | float | str
"""A single value, as YAML has it."""

NO_NUMBER = PydanticCustomError("no_number", "it should be a number, and true and false are none")


class Section(BaseModel):
    """What every section is: a key that it does not know is an error, and true is no number."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _true_is_no_number(cls, raw: Any) -> Any:
        # pydantic reads true as 1, so that `epochs: true` would train for one. A validator of each
        # field would not do: pydantic wants none on those that tell plug-ins apart.
        given = raw.items() if isinstance(raw, dict) else ()
        wrong = [
            InitErrorDetails(type=NO_NUMBER, loc=(field,), input=value)
            for field, value in given
            if field in yaml_fields(cls) and _holds_truth(value) and _numbers_alone(cls, field)
        ]
        if wrong:
            raise ValidationError.from_exception_data(cls.__name__, wrong)
        return raw


def yaml_fields(section: type[BaseModel]) -> dict[str, FieldInfo]:
    """The fields of a section by their names in YAML: one may be a word that Python keeps."""
    return {field.alias or name: field for name, field in section.model_fields.items()}


def _holds_truth(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return any(map(_holds_truth, value))
    return isinstance(value, bool)


@cache
def _numbers_alone(section: type[BaseModel], field: str) -> bool:
    """Whether a field takes numbers and neither true nor false."""
    types = list(_types(yaml_fields(section)[field].annotation))
    return (int in types or float in types) and bool not in types and Any not in types


def _types(annotation: Any) -> Iterator[Any]:
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        yield from map(type, parts)
    elif parts:
        for part in parts[:1] if origin is Annotated else parts:
            yield from _types(part)
    else:
        yield annotation
