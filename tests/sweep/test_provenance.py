"""What is written down of where a sweep is driven."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from noisetune.errors import UserError
from noisetune.sweep import provenance
from noisetune.sweep.home import Home
from noisetune.sweep.provenance import command, commit, drive_here, drives_of, note_drive


def git(folder: Path, *words: str) -> str:
    who = ("-c", "user.name=me", "-c", "user.email=me@example.org")
    done = subprocess.run(["git", "-C", folder, *who, *words], capture_output=True, text=True)
    return done.stdout.strip()


def test_what_was_written_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = Home(tmp_path)
    home.sweep("mine").mkdir(parents=True)
    assert drives_of(home, "mine") == []
    note_drive(home, "mine")
    note_drive(home, "mine")
    assert drives_of(home, "mine") == [drive_here() | {"resolutions": []}]
    monkeypatch.setattr(provenance, "version", lambda package: f"{package} 9.9")
    note_drive(home, "mine")
    first, second = drives_of(home, "mine")
    assert first["versions"].keys() == second["versions"].keys()
    assert second["noisetune"] == "noisetune 9.9"


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.sweep("mine").mkdir(parents=True)
    note_drive(home, "mine")
    whole = home.drives("mine").read_bytes()
    home.drives("mine").write_bytes(b"nothing\n" + whole)
    with pytest.raises(UserError, match=r"drives.jsonl line 1 is damaged.*delete it"):
        drives_of(home, "mine")


@pytest.mark.parametrize("damage", [b'{"command": "noi', b"nothing\n"])
def test_what_a_dead_driver_left_does_not_stop_the_next(tmp_path: Path, damage: bytes) -> None:
    home = Home(tmp_path)
    home.sweep("mine").mkdir(parents=True)
    note_drive(home, "mine")
    whole = home.drives("mine").read_bytes()
    home.drives("mine").write_bytes(damage + whole if damage.endswith(b"\n") else whole + damage)
    note_drive(home, "mine")
    assert len(drives_of(home, "mine")) == 1


def test_no_name_of_a_host_or_a_user_is_in_it() -> None:
    import getpass
    import socket

    told = json.dumps({key: value for key, value in drive_here().items() if key != "command"})
    assert socket.gethostname() not in told
    assert f"/{getpass.getuser()}/" not in told


def test_the_commit_says_whether_sources_were_changed(tmp_path: Path) -> None:
    assert commit(tmp_path) is None
    git(tmp_path, "init")
    (tmp_path / "code.py").write_text("1")
    git(tmp_path, "add", "code.py")
    git(tmp_path, "commit", "-m", "first")
    head = git(tmp_path, "rev-parse", "HEAD")
    assert commit(tmp_path) == head
    (tmp_path / "code.py").write_text("2")
    assert commit(tmp_path) == f"{head} (changed)"


def test_without_git_there_is_no_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert commit(Path(__file__).parent) is None


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["/bin/noisetune", "sweep", "my file.yaml"], "noisetune sweep 'my file.yaml'"),
        (["/lib/noisetune/__main__.py", "resume", "x"], "noisetune resume x"),
        (
            ["/bin/noisetune", "resume", "x", "--ledger", "postgresql://me:s3cret@h/d"],
            "noisetune resume x --ledger 'postgresql://me:***@h/d'",
        ),
        (["/home/someone/secret/notebook.py", "--token", "x"], "notebook.py"),
    ],
)
def test_the_command_is_told_and_of_other_programs_the_name(
    monkeypatch: pytest.MonkeyPatch, words: list[str], shown: str
) -> None:
    monkeypatch.setattr(sys, "argv", words)
    assert command() == shown
