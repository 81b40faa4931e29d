"""The documents say what there is: engines, links that lead somewhere, commands that parse."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import typer

from noisetune import cli
from noisetune.reference.engines import engines
from noisetune.reference.page import slug

ROOT = Path(__file__).resolve().parents[1]
CONFIGURATION = (ROOT / "docs" / "configuration.md").read_text()
TEXTS = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    ROOT / "infra/README.md",
]


@pytest.mark.parametrize("engine", [name for names in engines().values() for name in names])
def test_every_sampler_and_pruner_is_told_of(engine: str) -> None:
    chapter = CONFIGURATION.split("### Samplers and pruners")[1].split("\n#")[0]
    assert re.search(rf"^\| .*`{engine}`.* \|", chapter, re.MULTILINE)


def links() -> Iterator[tuple[Path, str]]:
    """What the documents link to, beside pages elsewhere."""
    for file in TEXTS:
        found = re.findall(r"\]\(([^)\s]+)\)", file.read_text())
        yield from ((file, target) for target in found if "://" not in target)


def anchors(text: str) -> set[str]:
    bare = re.sub(r"\]\([^)\s]*\)", "", text)
    return {slug(heading) for heading in re.findall(r"^#+ (.*)$", bare, re.MULTILINE)}


@pytest.mark.parametrize(
    ("file", "target"), [pytest.param(*link, id=link[1]) for link in sorted(set(links()))]
)
def test_every_link_leads_somewhere(file: Path, target: str) -> None:
    path, _, anchor = target.partition("#")
    there = file.parent / path if path else file
    assert there.exists()
    assert not anchor or anchor in anchors(there.read_text())


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
