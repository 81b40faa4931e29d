"""The page: a trial, a sweep and a search space, with every section and plug-in below them."""

import inspect
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache

from pydantic import BaseModel

from noisetune.config import DETECTORS, PLUGINS, SELECTORS, TrialConfig, default_choice
from noisetune.reference.engines import engine_parts
from noisetune.reference.fields import Row, rows, table
from noisetune.section import yaml_fields
from noisetune.sweep.spec.config import SweepConfig
from noisetune.sweep.spec.space import SearchSpace
from noisetune.yaml_files import models_in

Model = type[BaseModel]

HEAD = """\
# Reference of every setting

Made from the code by `python -m noisetune.reference`, and never by hand.
[Settings](configuration.md) says how they work together. A key that is not here is refused, with
the nearest one that is. What a field means stands below it in the code.
"""
ROOTS: dict[str, Model] = {
    "A trial": TrialConfig,
    "A sweep": SweepConfig,
    "A search space": SearchSpace,
}
SECTION: dict[Model, str] = {
    **{config: name for name, configs in PLUGINS.items() for config in configs.values()},
    **dict.fromkeys(DETECTORS.values(), "detect"),
}
"""The section that a plug-in is a choice of; detectors stand in `detect.also`, too."""


def page() -> str:
    """The reference, in Markdown."""
    parts = [HEAD]
    for title, root in ROOTS.items():
        parts += [f"## {title}", *described(root)]
        below = [model for model in places(root) if model is not root]
        for section in dict.fromkeys(SECTION.get(model, model) for model in below):
            parts += _plugins(section) if isinstance(section, str) else _section(section)
        if root is SweepConfig:
            parts += engine_parts()
    return "\n\n".join(part.strip() for part in parts) + "\n"


def places(root: Model) -> dict[Model, list[str]]:
    """The models below one, and where each of them stands, as dotted paths of the YAML."""
    known: dict[Model, list[str]] = {root: []}

    def look_below(model: Model, above: str) -> None:
        for name, field in yaml_fields(model).items():
            path = f"{above}{name}"
            for inner in models_in(field.annotation):
                first = inner not in known
                if path not in known.setdefault(inner, []):
                    known[inner].append(path)
                if first:
                    look_below(inner, f"{path}.")

    look_below(root, "")
    return known


def slug(heading: str) -> str:
    """The anchor that GitHub gives to a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@cache
def headings() -> dict[Model, str]:
    """The heading under which each model is described."""
    known = {}
    for title, root in ROOTS.items():
        for model, paths in places(root).items():
            known[model] = SECTION.get(model) or ", ".join(f"`{path}`" for path in paths)
        known[root] = title
    return known


def link(models: Iterable[Model]) -> str:
    """Where the models that a field takes are described."""
    anchors = dict.fromkeys(slug(headings()[model]) for model in models)
    return " or ".join(f"[section](#{anchor})" for anchor in anchors)


def described(model: Model, bases: Sequence[Model] = (), without: str = "") -> list[str]:
    """What a model says of itself, and its fields; those of `bases` are described there."""
    known = {row for base in bases for row in rows(base, link)}
    own = [row for row in rows(model, link) if row not in known and row.field != f"`{without}`"]
    besides = ", ".join(f"[{base.__name__}](#{slug(base.__name__)})" for base in bases)
    return [
        inspect.cleandoc(model.__doc__ or ""),
        *([table(Row._fields, own)] if own else []),
        *([f"Besides: the fields of {besides}."] if bases else []),
        *(["It has no fields."] if not own and not bases else []),
    ]


def _section(model: Model) -> list[str]:
    return [f"### {headings()[model]}", *described(model)]


def _plugins(name: str) -> Iterator[str]:
    """A section that is one of several plug-ins: what they share, then each of them."""
    configs, selector = PLUGINS[name], SELECTORS[name]
    yield f"### `{name}`"
    choices = ", ".join(f"`{choice}`" for choice in configs)
    yield f"`{selector}` is one of {choices}; where it is left out, `{default_choice(name)}`."
    bases = shared(list(configs.values()), selector)
    for base, heirs in bases.items():
        yield f"#### {base.__name__}"
        yield f"Shared by {', '.join(f'`{c}`' for c in configs if configs[c] in heirs)}."
        yield from described(base, _above(base, bases), selector)
    for choice, config in configs.items():
        yield f"#### `{name}: {{{selector}: {choice}}}`"
        yield from described(config, _above(config, bases), selector)


def shared(configs: Sequence[Model], selector: str) -> dict[Model, set[Model]]:
    """The classes with fields that two or more plug-ins derive from, and which these are.

    Of several from which the same ones derive, it is the lowest, which has all of their fields.
    """
    heirs: dict[Model, set[Model]] = {}
    for config in configs:
        for base in config.__mro__[1:]:
            if issubclass(base, BaseModel) and base.model_fields.keys() - {selector}:
                heirs.setdefault(base, set()).add(config)
    return {
        base: below
        for base, below in sorted(heirs.items(), key=lambda item: -len(item[1]))
        if len(below) > 1
        and not any(
            other is not base and issubclass(other, base) and heirs[other] == below
            for other in heirs
        )
    }


def _above(model: Model, bases: Iterable[Model]) -> list[Model]:
    return [base for base in model.__mro__[1:] if base in bases]
