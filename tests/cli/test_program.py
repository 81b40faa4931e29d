"""The command line as a whole: version, help, completion, and the words of its messages."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from noisetune import __version__
from noisetune.cli import app, register
from noisetune.cli.completion import sweeps, yaml_files
from noisetune.texts import counted

if not app.registered_commands:
    register()
COMMANDS = sorted(get_command(app).commands)  # type: ignore[attr-defined]


def test_it_says_its_version(noisetune: Callable[..., Any]) -> None:
    assert noisetune("--version").out == f"noisetune {__version__}\n"


def commands(words: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Every command, those of `store` and `bench` too."""
    found = get_command(app)
    for word in words:
        found = found.commands[word]  # type: ignore[attr-defined]
    below = getattr(found, "commands", None)
    if below is None:
        return [words]
    return [each for name in sorted(below) for each in commands((*words, name))]


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_help_has_examples_one_a_line(
    noisetune: Callable[..., Any], words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    help_text = noisetune(*words, "--help").out
    assert max(map(len, help_text.splitlines())) <= 80
    examples = help_text.partition("Examples:")[2].splitlines()
    begun = [line for line in examples if " ".join(("noisetune", *words)) in line]
    assert begun, "no example"
    assert all(line.count("noisetune ") <= 1 for line in examples)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two sweeps that were begun, two YAML files and a folder."""
    for name in ("first", "fine-tuned", "other"):
        folder = tmp_path / "mlruns" / "sweeps" / name
        folder.mkdir(parents=True)
        (folder / "ledger.journal").write_text("")
    (tmp_path / "sweeps").mkdir()
    for name in ("sweeps/mine.yaml", "sweeps/mine.txt", "top.yml"):
        (tmp_path / name).write_text("")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_names_of_sweeps_are_completed(project: Path) -> None:
    context: Any = type("Context", (), {"params": {}})
    assert sweeps(context, "fi") == ["fine-tuned", "first"]
    context.params = {"mlruns": project / "elsewhere"}
    assert sweeps(context, "") == []


@pytest.mark.parametrize(
    ("begun", "offered"),
    [
        ("", ["top.yml", "mlruns/", "sweeps/"]),
        ("sweeps/", ["sweeps/mine.yaml"]),
        ("sweeps/mi", ["sweeps/mine.yaml"]),
        ("none/", []),
    ],
)
def test_yaml_files_and_folders_are_completed(
    project: Path, begun: str, offered: list[str]
) -> None:
    assert yaml_files(begun) == offered


def test_a_shell_is_offered_them(project: Path) -> None:
    """As bash asks, through the program itself."""
    asked = {
        "_NOISETUNE_COMPLETE": "complete_bash",
        "COMP_WORDS": "noisetune status f",
        "COMP_CWORD": "2",
    }
    program = "from noisetune.cli import app, register; register(); app(prog_name='noisetune')"
    command = [sys.executable, "-c", program]
    done = subprocess.run(
        command, env=os.environ | asked, capture_output=True, text=True, timeout=60, cwd=project
    )
    assert done.stdout.split() == ["fine-tuned", "first"]


@pytest.mark.parametrize(("count", "words"), [(0, "0 trials"), (1, "1 trial"), (2, "2 trials")])
def test_one_is_not_many(count: int, words: str) -> None:
    assert counted(count, "trial") == words


def test_a_plan_of_one_condition_says_so(noisetune: Callable[..., Any], tmp_path: Path) -> None:
    trial = {"data": {"train_samples": 60, "test_samples": 30}, "model": {"width": 4}}
    sweep = {"name": "mine", "search_space": "space.yaml", "trial": trial, "replicates": 1}
    space = {"parameters": {"finetune.lr": {"choices": [0.001]}}}
    for name, content in (("sweep", sweep | {"trials_per_condition": 1}), ("space", space)):
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(content))
    said = noisetune("plan", tmp_path / "sweep.yaml", "--no-measure")
    assert "mine: 1 condition, 1 search trial and 1 replicate, " in said.out


@pytest.mark.parametrize(
    ("words", "blamed"),
    [
        (("resume", "none", "--mlruns", "{folder}"), "no sweep 'none' in {folder}/sweeps"),
        (("sweep", "{folder}/sweep.yaml", "--set", "replicates"), "--set replicates: "),
        (("sweep", "{folder}/sweep.yaml", "--set", "trials=2"), "trials: no such field"),
    ],
)
def test_a_message_names_what_was_typed(
    noisetune: Callable[..., Any], tmp_path: Path, words: tuple[str, ...], blamed: str
) -> None:
    sweep = {"name": "mine", "search_space": "space.yaml"}
    for name, content in (("sweep", sweep), ("space", {"parameters": {}})):
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(content))
    said = noisetune(*(word.format(folder=tmp_path) for word in words))
    assert said.code == 2
    assert blamed.format(folder=tmp_path) in said.err
    assert not re.search(r"\b(ledger|store)\b", said.err)
