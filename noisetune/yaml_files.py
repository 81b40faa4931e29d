"""YAML in and out, and what is wrong with one in words."""

import difflib
import re
from collections.abc import Collection, Hashable, Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from noisetune.errors import UserError
from noisetune.files import read_text
from noisetune.section import yaml_fields

UNION_MEMBER = re.compile(r"bool|(constrained-)?(int|float|str)|literal\[.*\]")


class _Loader(yaml.SafeLoader):
    """SafeLoader that also reads 1e-3 as a number, as YAML 1.2 does, and takes a key once."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [key for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        for index, key in enumerate(keys):
            if key.value in [other.value for other in keys[:index]]:
                problem = f"the key {key.value!r} stands there twice"
                raise yaml.constructor.ConstructorError(
                    problem=problem, problem_mark=key.start_mark
                )
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    """SafeDumper that quotes a text which _Loader would read as a number."""


for _kind in (_Loader, _Dumper):
    _kind.add_implicit_resolver(
        "tag:yaml.org,2002:float",
        re.compile(r"^[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+$"),
        list("-+.0123456789"),
    )


def read_yaml(path: Path) -> Any:
    """The content of a YAML file; UserError where it is missing, empty or no YAML."""
    content = parse_yaml(read_text(path), str(path))
    if content is None:
        raise UserError(f"{path}: is empty; write lines of `field: value` into it")
    return content


def parse_yaml(text: str, source: str) -> Any:
    """The content of YAML text; UserError, naming `source`, where it is none."""
    try:
        return yaml.load(text, _Loader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        # A date such as 2024-13-45 is a ValueError of the loader's own.
        why = str(error).replace('in "<unicode string>", ', "")
        raise UserError(f"{source}: is no valid YAML: {why}") from None


def read_trial_yaml(path: Path) -> Any:
    """The content of a trial's YAML file; UserError for a file of another kind."""
    content = read_yaml(path)
    if isinstance(content, dict) and "search_space" in content:
        raise UserError(
            f"{path}: is a sweep, which has a search_space: run it with `noisetune sweep {path}`"
        )
    if isinstance(content, dict) and {"conditions", "parameters"} & content.keys():
        raise UserError(
            f"{path}: is a search space: name it as search_space in a sweep's file, and run that "
            "with `noisetune sweep`"
        )
    return content


def write_yaml(path: Path, content: Mapping[str, Any], header: str = "") -> None:
    """Write `content` in its own order, under a comment."""
    comment = "".join(f"# {line}\n" for line in header.splitlines())
    text = yaml.dump(dict(content), Dumper=_Dumper, sort_keys=False)
    path.write_text(comment + text, encoding="utf-8")


def explain(error: ValidationError, source: str, model: type[BaseModel]) -> UserError:
    """All that is wrong, a line each: file, field, value, rule, and a near name where one is.

    `model` is what was validated: it knows the names that a section takes.
    """
    lines = [_explain_one(dict(problem), source, model) for problem in error.errors()]
    return UserError("\n".join(dict.fromkeys(lines)))


def explain_fields(
    error: ValidationError, source: str, model: type[BaseModel], fields: Collection[str]
) -> UserError | None:
    """As `explain`, of what is wrong with the values of these fields; None where nothing is."""
    wrong = [
        dict(problem)
        for problem in error.errors()
        if problem["type"] != "extra_forbidden" and _inside(problem["loc"], model, fields)
    ]
    lines = [_explain_one(problem, source, model) for problem in wrong]
    return UserError("\n".join(dict.fromkeys(lines))) if lines else None


def _inside(loc: tuple[Any, ...], model: type[BaseModel], fields: Collection[str]) -> bool:
    path = ".".join(_follow(loc, model)[0])
    return any(path == field or path.startswith(f"{field}.") for field in fields)


def _explain_one(problem: dict[str, Any], source: str, model: type[BaseModel]) -> str:
    path, sections = _follow(problem["loc"], model)
    where = ".".join(path)
    if problem["type"] == "extra_forbidden":
        return f"{source}: {where}: no such field{_nearest(path, sections)}"
    if problem["type"] == "union_tag_invalid":
        context = problem["ctx"]
        selector = context["discriminator"].strip("'")
        return (
            f"{source}: {where}.{selector}: {context['tag']!r} is unknown; "
            f"choose one of {context['expected_tags']}"
        )
    if problem["type"] == "union_tag_not_found":
        selector = problem["ctx"]["discriminator"].strip("'")
        known = ", ".join(sorted(set.union(*map(_tags, sections))))
        return f"{source}: {where}.{selector}: is missing; choose one of {known}"
    given = problem["input"]
    if not path and isinstance(given, dict):
        # A rule over several sections: its message names the field.
        return f"{source}: {_rule(problem['msg'])}"
    shown = "" if isinstance(given, (dict, list)) else f" {given!r}:"
    return f"{source}: {where or 'the file'}:{shown} {_rule(problem['msg'])}"


def _rule(message: str) -> str:
    """A rule of pydantic's in the words of a YAML file."""
    rule = message.removeprefix("Value error, ").replace("Input should", "it should")
    rule = re.sub(r"valid dictionary( or .*)?$", "valid dictionary (lines of `field: value`)", rule)
    return rule.replace("valid tuple", "valid list")


def _follow(
    loc: tuple[Any, ...], model: type[BaseModel]
) -> tuple[list[str], list[type[BaseModel]]]:
    """A path of pydantic's as the file has it, and the sections that its last part is asked of.

    pydantic puts the plug-in's name into the path, and the type's for each member of a union,
    where the file has no such level.
    """
    path, inside, sections = list[str](), [model], [model]
    for part in loc:
        tagged = [section for section in inside if part in _tags(section)]
        if (
            tagged
            or UNION_MEMBER.fullmatch(str(part))
            or part in [each.__name__ for each in inside]
        ):
            inside = tagged or inside
            continue
        path.append(str(part))
        sections = inside
        fields = [known[part] for known in map(yaml_fields, inside) if part in known]
        inside = [found for field in fields for found in models_in(field.annotation)] or inside
    return path, sections


def _tags(section: type[BaseModel]) -> set[Any]:
    """The fixed values of a section's fields: the plug-in's own name."""
    values = [get_args(field.annotation) for field in section.model_fields.values()]
    return {value[0] for value in values if len(value) == 1}


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models in a type such as `A | B | None` or `dict[str, A]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from models_in(part)


def _nearest(path: list[str], sections: list[type[BaseModel]]) -> str:
    known = sorted({name for section in sections for name in yaml_fields(section)})
    near = difflib.get_close_matches(path[-1], known, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ";"
    return f"{hint} {'.'.join(path[:-1]) or 'the file'} takes {', '.join(known)}"
