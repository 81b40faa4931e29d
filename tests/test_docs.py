"""The documents say what there is: engines, links that lead somewhere, commands that parse."""

import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import typer
from pages import blocks, calls

from noisetune import cli
from noisetune.config import PLUGINS
from noisetune.reference.engines import engines
from noisetune.reference.page import slug

ROOT = Path(__file__).resolve().parents[1]
CONFIGURATION = (ROOT / "docs" / "configuration.md").read_text()
TEXTS = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    ROOT / "infra/README.md",
]
OWN_FILE = re.compile(r"(?:infra|sweeps|search_spaces|docs|tests|\.ci)/\S+|[\w.-]+\.(?:py|tex|txt)")
"""What a command names that the repository has, or the page writes."""
SCRIPTS = ["infra/mlflow-server", "infra/mlflow/serve", "infra/ray-node", "infra/with-mps"]
SCRIPTS += ["infra/slurm/sweep.sbatch", ".ci/run"]
SHELLCHECK = ["shellcheck", "-e", "SC1091"]  # what `.` reads need not be there


@pytest.mark.parametrize("engine", [name for names in engines().values() for name in names])
def test_every_sampler_and_pruner_is_told_of(engine: str) -> None:
    chapter = CONFIGURATION.split("### Samplers and pruners")[1].split("\n#")[0]
    assert re.search(rf"^\| .*`{engine}`.* \|", chapter, re.MULTILINE)


@pytest.mark.parametrize("method", PLUGINS["finetune"])
def test_every_method_of_fine_tuning_is_told_of(method: str) -> None:
    chapter = CONFIGURATION.split("### Methods of fine-tuning")[1].split("\n#")[0]
    assert re.search(rf"^\| .*`{method}`.* \|", chapter, re.MULTILINE)
    assert f"`{method}`" in (ROOT / "README.md").read_text()


@pytest.mark.parametrize("name", PLUGINS["model"])
def test_every_backbone_is_told_of(name: str) -> None:
    chapter = CONFIGURATION.split("### Backbones")[1].split("\n#")[0]
    assert re.search(rf"^\| `{name}` \|", chapter, re.MULTILINE)


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
    """What the documents say to type to noisetune: in blocks for a shell, and quoted in a line."""
    for file in TEXTS:
        text = file.read_text()
        typed = (words for _, words in typed_in(text))
        yield from (shlex.join(words) for words in typed if words[0] == "noisetune")
        yield from re.findall(r"`(noisetune [a-z][^`]*)`", text)


def typed_in(text: str) -> Iterator[tuple[str, list[str]]]:
    """The lines for a shell in a page, and the words of each program that they call."""
    for block in blocks(text):
        for line in block.commands:
            yield from ((line, words) for words in calls(line))


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


@pytest.mark.parametrize("file", TEXTS, ids=lambda file: file.name)
def test_commands_name_files_that_are_there(file: Path) -> None:
    text = file.read_text()
    written = {block.file for block in blocks(text)}
    for line, words in typed_in(text):
        for word in words:
            named = OWN_FILE.fullmatch(word) is not None and word not in written
            assert not named or (ROOT / word).exists(), line


@pytest.mark.system
@pytest.mark.parametrize("file", TEXTS, ids=lambda file: file.name)
def test_commands_are_good_shell(file: Path) -> None:
    if shutil.which("shellcheck") is None:
        pytest.skip("no shellcheck on this machine")
    lines = [line for block in blocks(file.read_text()) for line in block.commands]
    script = "\n".join(["#!/usr/bin/env bash", *lines, ""])
    checked = subprocess.run([*SHELLCHECK, "-"], input=script, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize("script", SCRIPTS)
def test_scripts_parse(script: str) -> None:
    subprocess.run(["bash", "-n", ROOT / script], check=True)


@pytest.mark.system
@pytest.mark.parametrize("script", SCRIPTS)
def test_scripts_are_good_shell(script: str) -> None:
    if shutil.which("shellcheck") is None:
        pytest.skip("no shellcheck on this machine")
    checked = subprocess.run([*SHELLCHECK, ROOT / script], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout
