"""The fields of a model as rows of a table, with the meaning that stands below each of them."""

import ast
import inspect
import textwrap
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

from pydantic import BaseModel

from noisetune.reference.words import Link, default_words, range_words, type_words


class Row(NamedTuple):
    """A field of a configuration, in words."""

    field: str
    type: str
    range: str
    default: str
    meaning: str


def rows(model: type[BaseModel], link: Link) -> list[Row]:
    """The fields of a model, in their order."""
    meaning = meanings(model)
    return [
        Row(
            f"`{field.alias or name}`",
            type_words(field.annotation, link),
            range_words(field),
            default_words(field),
            meaning[name],
        )
        for name, field in model.model_fields.items()
    ]


def meanings(model: type[BaseModel]) -> dict[str, str]:
    """What every field means: its description, or the docstring below it; empty for none.

    A field that a subclass gives another default keeps the meaning of the one above it.
    The docstrings are read from the source when they are asked for, since pydantic's own
    `use_attribute_docstrings` would read them at every import.
    """
    below: dict[str, str] = {}
    for base in reversed(model.__mro__):
        if issubclass(base, BaseModel) and base is not BaseModel:
            below |= _docstrings(base)
    said = {name: field.description for name, field in model.model_fields.items()}
    return {name: " ".join((text or below.get(name, "")).split()) for name, text in said.items()}


def _docstrings(model: type[BaseModel]) -> dict[str, str]:
    """The texts that stand directly below fields in the source of a class."""
    definition = ast.parse(textwrap.dedent(inspect.getsource(model))).body[0]
    assert isinstance(definition, ast.ClassDef)
    return {
        field.target.id: text.value.value
        for field, text in pairwise(definition.body)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant)
        if isinstance(text.value.value, str)
    }


def table(columns: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    cells = [columns, ["---"] * len(columns)]
    cells += [[cell.replace("|", "\\|") for cell in line] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)
