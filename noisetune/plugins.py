"""Plug-ins: one file in a folder is one choice, and the file's name is its name in YAML."""

import importlib
import pkgutil
from functools import reduce
from operator import or_
from types import ModuleType
from typing import Annotated, Any, get_args

from pydantic import BaseModel, ConfigDict, Field

BASE = "base"


class PluginConfig(BaseModel):
    """What every plug-in's `Config` is: frozen, and a key it does not know is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def choices(package: ModuleType, selector: str) -> dict[str, type[PluginConfig]]:
    """The `Config` of every plug-in file in a folder, by name.

    Raises TypeError for a file whose `Config` is missing or does not carry the file's name as
    `selector: Literal["<file name>"]`.
    """
    found = {}
    for info in sorted(pkgutil.iter_modules(package.__path__), key=lambda info: info.name):
        if info.name == BASE or info.name.startswith("_"):
            continue
        config = getattr(importlib.import_module(f"{package.__name__}.{info.name}"), "Config", None)
        if config is None or get_args(config.model_fields[selector].annotation) != (info.name,):
            raise TypeError(
                f"{package.__name__}/{info.name}.py needs a Config with "
                f'{selector}: Literal["{info.name}"] = "{info.name}"'
            )
        found[info.name] = config
    return found


def section(configs: dict[str, type[PluginConfig]], selector: str) -> Any:
    """The type of a configuration section that is any one of `configs`, told by `selector`."""
    if len(configs) == 1:
        return next(iter(configs.values()))
    either = reduce(or_, configs.values())
    return Annotated[either, Field(discriminator=selector)]
