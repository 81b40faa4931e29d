import subprocess
from pathlib import Path

import pytest

from noisetune.tracking import source
from noisetune.tracking.source import COMMIT, DIRTY, command, git_tags, source_tags


def git(folder: Path, *words: str) -> str:
    who = ["-c", "user.name=a", "-c", "user.email=a@b"]
    done = subprocess.run(["git", "-C", str(folder), *who, *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    git(tmp_path, "init", "-q")
    (tmp_path / "sweep.yaml").write_text("a: 1\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "begin")
    return tmp_path


def test_the_commit_is_that_of_the_sweeps_repository(repository: Path) -> None:
    commit = git(repository, "rev-parse", "HEAD")
    assert git_tags(repository) == {COMMIT: commit, DIRTY: "false"}
    (repository / "sweep.yaml").write_text("a: 2\n")
    assert git_tags(repository) == {COMMIT: commit, DIRTY: "true"}


def test_no_repository_and_no_git_are_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert git_tags(tmp_path) == git_tags(tmp_path / "none") == {}
    monkeypatch.setenv("PATH", "")
    assert git_tags(tmp_path) == {}


def test_a_command_is_kept_without_passwords() -> None:
    words = ["bin/noisetune", "sweep", "my sweep.yaml", "--ledger", "postgresql://me:s3@h/d"]
    shown = command([*words, "--tracking-uri=http://me:s3@h:5000"])
    assert shown.startswith("noisetune sweep 'my sweep.yaml' --ledger ")
    assert "s3" not in shown


def test_the_user_and_the_program_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source.getpass, "getuser", lambda: "ada")
    monkeypatch.setattr(source.sys, "argv", ["noisetune", "resume", "mine"])
    known = source_tags()
    assert known["mlflow.user"] == "ada"
    assert known["mlflow.source.name"] == "noisetune resume mine"
    assert known["mlflow.source.type"] == "LOCAL"
