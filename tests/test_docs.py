"""The documents say what there is: every field, and command lines that parse."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import click
import pytest
import typer
from pydantic import BaseModel

from noisetune import cli
from noisetune.config import PLUGINS, TrialConfig
from noisetune.sweep.spec.config import SweepConfig
from noisetune.sweep.spec.pruners import PRUNERS
from noisetune.sweep.spec.samplers import SAMPLERS
from noisetune.training.augment import AugmentConfig

ROOT = Path(__file__).resolve().parents[1]
CONFIGURATION = (ROOT / "docs" / "configuration.md").read_text()
TEXTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "infra" / "README.md"]
CHOICES = {name for plugins in PLUGINS.values() for name in plugins} | {*SAMPLERS, *PRUNERS}


def sections(root: type[BaseModel]) -> set[type[BaseModel]]:
    """A configuration, and those that are fields of it."""
    found, left = set(), [root]
    while left:
        model = left.pop()
        if model not in found:
            found.add(model)
            left += [each for field in model.model_fields.values() for each in of(field.annotation)]
    return found


def of(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from of(argument)


def every_field() -> set[str]:
    plugins = [config for configs in PLUGINS.values() for config in configs.values()]
    roots = [TrialConfig, SweepConfig, AugmentConfig, *plugins]
    return {field for root in roots for model in sections(root) for field in model.model_fields}


@pytest.mark.parametrize("word", sorted(every_field() | CHOICES))
def test_every_field_and_choice_is_documented(word: str) -> None:
    quoted = " ".join(re.findall(r"`([^`\n]+)`", CONFIGURATION))
    assert re.search(rf"(?<![\w]){word}(?![\w])", quoted)


def command_lines() -> Iterator[str]:
    """What the documents say to type: in indented blocks, and quoted in a line."""
    for file in TEXTS:
        text = file.read_text()
        for line in re.findall(r"^ {4}(.*\bnoisetune .*)$", text, re.MULTILINE):
            parts = (part.strip() for part in line.split("&&"))
            yield from (part for part in parts if part.startswith("noisetune "))
        yield from re.findall(r"`(noisetune [a-z][^`]*)`", text)


@pytest.fixture(scope="module")
def program() -> Iterator[click.Command]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cli.app, "registered_commands", [])
        cli.register()
        yield typer.main.get_command(cli.app)


@pytest.mark.parametrize("line", sorted(set(command_lines())))
def test_every_command_line_in_the_documents_parses(line: str, program: Any) -> None:
    words = shlex.split(line, comments=True)[1:]
    name, command, rest = program.resolve_command(click.Context(program), words)
    assert command is not None
    with command.make_context(name, rest) as context:
        assert context.command is command
