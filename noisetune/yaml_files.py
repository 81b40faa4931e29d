"""YAML in and out, and what is wrong with one in words."""

import difflib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from noisetune.errors import UserError

UNION_MEMBER = re.compile(r"bool|(constrained-)?(int|float|str)|literal\[.*\]")


class _Loader(yaml.SafeLoader):
    """SafeLoader that also reads 1e-3 as a number, as YAML 1.2 does."""


class _Dumper(yaml.SafeDumper):
    """SafeDumper that quotes a text which _Loader would read as a number."""


for _kind in (_Loader, _Dumper):
    _kind.add_implicit_resolver(
        "tag:yaml.org,2002:float",
        re.compile(r"^[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+$"),
        list("-+.0123456789"),
    )


def read_yaml(path: Path) -> Any:
    """The content of a YAML file; UserError where it is missing or no YAML."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({error})") from None
    return parse_yaml(text, str(path))


def parse_yaml(text: str, source: str) -> Any:
    """The content of YAML text; UserError, naming `source`, where it is none."""
    try:
        return yaml.load(text, _Loader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        # A date such as 2024-13-45 is a ValueError of the loader's own.
        raise UserError(f"{source}: is no valid YAML: {error}") from None


def write_yaml(path: Path, content: Mapping[str, Any], header: str = "") -> None:
    """Write `content` in its own order, under a comment."""
    comment = "".join(f"# {line}\n" for line in header.splitlines())
    text = yaml.dump(dict(content), Dumper=_Dumper, sort_keys=False)
    path.write_text(comment + text, encoding="utf-8")


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
    # pydantic puts the plug-in's name into the path, and the type's for each member of a union,
    # where the user's file has no such level.
    parts = [part for part in loc if not UNION_MEMBER.fullmatch(str(part))]
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
