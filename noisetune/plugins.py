"""Plug-ins: one file in a folder, or one entry point of another package, is one choice in YAML."""

import importlib
import json
import logging
import os
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, partial, reduce
from importlib.metadata import EntryPoint, distributions
from importlib.util import find_spec
from operator import or_
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Annotated, Any, ClassVar, get_args

from pydantic import ConfigDict, Field

from noisetune.section import Section

BASE = "base"
ENTRY_POINTS = "NOISETUNE_PLUGINS"
"""The environment variable that tells a cluster's hosts of the driver's entry points, as JSON."""
NOTHING: Mapping[str, Any] = MappingProxyType({})

log = logging.getLogger(__name__)


class PluginConfig(Section):
    """What every plug-in's `Config` is: frozen, and a key it does not know is an error.

    `default_under` names the protocols under which it is chosen where a YAML names none, `recipes`
    what a protocol says of its own fields. `smallest` are the fields that a smoke run makes small,
    each with its smallest value; one more than that must be valid, too.
    """

    model_config = ConfigDict(allow_inf_nan=False)

    default_under: ClassVar[tuple[str, ...]] = ()
    recipes: ClassVar[Mapping[str, Mapping[str, Any]]] = NOTHING
    smallest: ClassVar[Mapping[str, int]] = NOTHING

    def written(self) -> Mapping[str, Path]:
        """The files and folders that are written where it is used, by the fields that name them.

        A user is asked before a YAML file has anything written outside of the usual places.
        """
        return NOTHING


@dataclass(frozen=True)
class StandIn:
    """What a smoke run puts in place of what it would have to fetch: fields, and why in words."""

    fields: Mapping[str, Any]
    why: str


class Choices(dict[str, type[PluginConfig]]):
    """The `Config` of every plug-in of a kind, by name; `broken` says why others are none."""

    def __init__(self) -> None:
        super().__init__()
        self.broken: dict[str, str] = {}


def choices(package: ModuleType, selector: str) -> Choices:
    """The plug-ins in a folder and those that other packages add to it.

    Those are entry points of the group that is the folder's own name, `noisetune.ssl` say: the
    name of the entry point is the name in YAML, its object a module with a `Config`, or that class.
    One that cannot be loaded, lacks `selector: Literal["<its name>"]` or takes the name of another
    is left out, with a warning; whoever names it is told the reason.
    """
    found = Choices()
    for name, place, load in [*_files(package), *_others(package.__name__)]:
        try:
            if name in found:
                raise TypeError(f"the name is taken by {found[name].__module__}; choose another")
            found[name] = _config(load(), name, selector)
        # Whatever somebody's half-written file raises.
        except Exception as error:
            found.broken[name] = f"{place}: {type(error).__name__}: {error}"
            log.warning("a plug-in is left out: %s", found.broken[name])
    return found


def _files(package: ModuleType) -> Iterator[tuple[str, str, Callable[[], Any]]]:
    for info in sorted(pkgutil.iter_modules(package.__path__), key=lambda info: info.name):
        if info.name != BASE and not info.name.startswith("_"):
            module = f"{package.__name__}.{info.name}"
            place = f"{module.replace('.', '/')}.py"
            yield info.name, place, partial(importlib.import_module, module)


def _others(group: str) -> Iterator[tuple[str, str, Callable[[], Any]]]:
    for entry in outside():
        if entry.group == group:
            yield entry.name, f"entry point {entry.name} = {entry.value}", entry.load


@cache
def outside() -> tuple[EntryPoint, ...]:
    """The entry points of other packages, in the order of their names: those installed here, and
    on a host of a cluster those of the driver."""
    listed = json.loads(os.environ.get(ENTRY_POINTS, "[]"))
    sent = [EntryPoint(name=name, value=value, group=group) for name, value, group in listed]
    here = [
        entry
        for distribution in distributions()
        for entry in distribution.entry_points
        if entry.group.startswith("noisetune.")
    ]
    known = {(entry.name, entry.value, entry.group): entry for entry in [*sent, *here]}
    return tuple(known[key] for key in sorted(known))


def for_hosts() -> tuple[list[str], dict[str, str]]:
    """What a cluster's hosts need of the plug-ins from outside: the folders or files of their
    packages, and the environment variable that names the entry points."""
    places = {name: _place(name) for name in {_package(entry) for entry in outside()}}
    # One whose package is not there was left out with a warning: a host need not say it again.
    entries = [
        [entry.name, entry.value, entry.group] for entry in outside() if places[_package(entry)]
    ]
    if not entries:
        return [], {}
    return sorted(place for place in places.values() if place), {ENTRY_POINTS: json.dumps(entries)}


def _package(entry: EntryPoint) -> str:
    return entry.module.partition(".")[0]


def _place(package: str) -> str | None:
    """The folder or file of a top-level package, which is not imported; None where it has none."""
    spec = find_spec(package)
    if spec is None:
        return None
    folders = spec.submodule_search_locations
    where = next(iter(folders), None) if folders is not None else spec.origin
    return None if where is None else str(Path(where).resolve())


def _config(loaded: Any, name: str, selector: str) -> type[PluginConfig]:
    """The `Config` of a plug-in; TypeError where it is none of that name."""
    config = getattr(loaded, "Config", None) if isinstance(loaded, ModuleType) else loaded
    if isinstance(config, type) and issubclass(config, PluginConfig):
        field = config.model_fields.get(selector)
        if field is not None and get_args(field.annotation) == (name,):
            return config
    raise TypeError(f'it needs a Config with {selector}: Literal["{name}"] = "{name}"')


def section(configs: Mapping[str, type[PluginConfig]], selector: str) -> Any:
    """The type of a configuration section that is any one of `configs`, told by `selector`."""
    if len(configs) == 1:
        return next(iter(configs.values()))
    either = reduce(or_, configs.values())
    return Annotated[either, Field(discriminator=selector)]
