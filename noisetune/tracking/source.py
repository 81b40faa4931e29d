"""Who ran what, of which commit: the tags that MLflow shows as user and source."""

import getpass
import os
import shlex
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from noisetune.answers import without_password

USER, NAME, TYPE = "mlflow.user", "mlflow.source.name", "mlflow.source.type"
COMMIT, DIRTY = "mlflow.source.git.commit", "mlflow.source.git.dirty"
GIT_SECONDS = 5.0


def source_tags(folder: Path = Path()) -> dict[str, str]:
    """The user, this process's command without passwords, and the commit of the repository that
    `folder` is in; what cannot be told is left out."""
    known = {USER: _user(), NAME: command(sys.argv), TYPE: "LOCAL", **git_tags(folder)}
    return {name: value for name, value in known.items() if value}


def command(words: list[str]) -> str:
    """A command as it may be kept."""
    program = Path(words[0] if words else "").name
    return shlex.join([program, *(without_password(word) for word in words[1:])])


def git_tags(folder: Path) -> dict[str, str]:
    """The commit that is checked out there, and whether files that it knows differ from it; none
    where there is no commit or no git."""
    with suppress(OSError, subprocess.SubprocessError):
        commit = _git(folder, "rev-parse", "HEAD").strip()
        changed = _git(folder, "status", "--porcelain", "-uno")
        return {COMMIT: commit, DIRTY: "true" if changed else "false"}
    return {}


def _git(folder: Path, *words: str) -> str:
    # A repository's own settings may name programs to be run: status asks one that watches files.
    safe = ["git", "-c", "core.fsmonitor=false", "-C", str(folder), *words]
    done = subprocess.run(safe, capture_output=True, text=True, check=True, timeout=GIT_SECONDS)
    return done.stdout


def _user() -> str:
    with suppress(OSError, KeyError):
        return getpass.getuser()
    return os.environ.get("USER", "")
