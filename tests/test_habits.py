"""What the repository says of itself: one set of checks, typed, run as a module."""

import subprocess
import sys
import tomllib
from pathlib import Path

import yaml

import noisetune

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def checks() -> list[str]:
    """The commands of .ci/run between the two installations."""
    lines = (ROOT / ".ci" / "run").read_text().splitlines()
    first, last = (number for number, line in enumerate(lines) if line.startswith("pip install"))
    return lines[first + 1 : last]


def test_the_hooks_are_the_checks_of_ci() -> None:
    (local,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert local["repo"] == "local"
    assert [hook["entry"] for hook in local["hooks"]] == checks()
    assert {(hook["language"], hook["pass_filenames"]) for hook in local["hooks"]} == {
        ("system", False)
    }


def test_whoever_contributes_is_told_of_every_check() -> None:
    told = [line.strip() for line in (ROOT / "CONTRIBUTING.md").read_text().splitlines()]
    assert [check for check in checks() if check not in told] == []


def test_the_package_says_that_it_is_typed_and_carries_the_mark() -> None:
    assert "py.typed" in PROJECT["tool"]["setuptools"]["package-data"]["noisetune"]
    assert (Path(noisetune.__file__).parent / "py.typed").is_file()


def test_the_newest_version_has_its_changes() -> None:
    headings = (ROOT / "CHANGELOG.md").read_text().splitlines()
    assert f"## {PROJECT['project']['version']}" in headings
    assert PROJECT["project"]["version"] == noisetune.__version__


def test_the_package_runs_as_a_module() -> None:
    command = [sys.executable, "-m", "noisetune", "run", "no-such-file.yaml"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 2
    assert "no-such-file.yaml" in done.stderr
    assert "Traceback" not in done.stderr
