"""YAML in and out, and what is wrong with one in words."""

import difflib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from noisetune.errors import UserError


class _Loader(yaml.SafeLoader):
    """SafeLoader that also reads 1e-3 as a number, as YAML 1.2 does."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+$"),
    list("-+.0123456789"),
)


def read_yaml(path: Path) -> Any:
    """The content of a YAML file; UserError where it is missing or no YAML."""
    try:
        return yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({error})") from None
    except yaml.YAMLError as error:
        raise UserError(f"{path}: is no valid YAML: {error}") from None


def write_yaml(path: Path, content: Mapping[str, Any], header: str = "") -> None:
    """Write `content` in its own order, under a comment."""
    comment = "".join(f"# {line}\n" for line in header.splitlines())
    path.write_text(comment + yaml.safe_dump(dict(content), sort_keys=False), encoding="utf-8")


def explain(
    error: ValidationError, source: str, plugins: Mapping[str, Mapping[str, Any]]
) -> UserError:
    """All that is wrong, a line each: file, field, value, rule, and a near name where one is."""
    lines = [_explain_one(dict(problem), source, plugins) for problem in error.errors()]
    return UserError("\n".join(dict.fromkeys(lines)))


def _explain_one(
    problem: dict[str, Any], source: str, plugins: Mapping[str, Mapping[str, Any]]
) -> str:
    where = _field(problem["loc"], plugins)
    if problem["type"] == "extra_forbidden":
        return f"{source}: {where}: no such field{_nearest(where, problem['loc'], plugins)}"
    if problem["type"] == "union_tag_invalid":
        context = problem["ctx"]
        selector = context["discriminator"].strip("'")
        return (
            f"{source}: {where}.{selector}: {context['tag']!r} is unknown; "
            f"choose one of {context['expected_tags']}"
        )
    rule = problem["msg"].removeprefix("Value error, ").replace("Input should", "it should")
    given = problem["input"]
    shown = "" if isinstance(given, (dict, list)) else f" {given!r}:"
    return f"{source}: {where or 'the file'}:{shown} {rule}"


def _field(loc: tuple[Any, ...], plugins: Mapping[str, Mapping[str, Any]]) -> str:
    # pydantic puts the plug-in's name into the path, where the user's file has no such level.
    parts = list(loc)
    if len(parts) > 1 and parts[0] in plugins and parts[1] in plugins[parts[0]]:
        del parts[1]
    return ".".join(str(part) for part in parts)


def _nearest(where: str, loc: tuple[Any, ...], plugins: Mapping[str, Mapping[str, Any]]) -> str:
    if len(loc) < 2 or loc[0] not in plugins:
        return ""
    choices = plugins[loc[0]]
    config = choices.get(loc[1]) or next(iter(choices.values()))
    known = sorted(config.model_fields)
    near = difflib.get_close_matches(str(loc[-1]), known, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"{hint or ';'} {loc[0]} takes {', '.join(known)}"
