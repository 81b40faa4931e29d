"""The folder of a local Ray: nobody else enters it, and it goes with its process."""

import os
import signal
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noisetune.errors import UserError
from noisetune.sweep.execution import private_folder as module
from noisetune.sweep.execution.private_folder import LONGEST_SOCKET, PREFIX, SOCKET, private_folder

HOLDER = """
import sys
from noisetune.sweep.execution.private_folder import private_folder
with private_folder() as folder:
    (folder / "log").write_text("begun")
    print(folder, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(module, "SHORT", tmp_path)
    return tmp_path


def holder(place: Path) -> subprocess.Popen[str]:
    """Another process with such a folder, as long as its input is open."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    environment = os.environ | {"TMPDIR": str(place)}
    # Where TMPDIR is too long for a socket the folder is elsewhere: not what is looked at here.
    program = "from noisetune.sweep.execution import private_folder as p; p.LONGEST_SOCKET = 999\n"
    command = [sys.executable, "-c", program + HOLDER]
    process = subprocess.Popen(command, text=True, env=environment, **pipes)
    assert process.stdout
    assert Path(process.stdout.readline().strip(), "log").read_text() == "begun"
    return process


def test_nobody_else_enters_it_and_nothing_is_left(place: Path) -> None:
    with private_folder() as folder:
        (folder / "session").mkdir()
        folder.chmod(0o777)  # as Ray does
        assert stat.S_IMODE(folder.parent.stat().st_mode) == 0o700
        assert folder.parent.parent == place
    assert not list(place.iterdir())


def test_it_goes_when_what_is_done_in_it_fails(place: Path) -> None:
    with pytest.raises(KeyboardInterrupt), private_folder():
        raise KeyboardInterrupt
    assert not list(place.iterdir())


def test_what_a_killed_process_left_is_removed_by_the_next(place: Path) -> None:
    with holder(place) as killed:
        killed.send_signal(signal.SIGKILL)
    (left,) = place.iterdir()
    with private_folder() as folder:
        assert list(place.iterdir()) == [folder.parent]
        assert folder.parent != left


def test_what_a_living_process_holds_stays(place: Path) -> None:
    with holder(place) as living:
        (held,) = place.iterdir()
        with private_folder():
            assert held in place.iterdir()
        living.communicate()
    assert not list(place.iterdir())


def test_what_is_not_of_this_kind_stays(place: Path) -> None:
    """A folder that others enter, one just made, a link, a file, and a folder of another name."""
    (place / f"{PREFIX}open" / "r").mkdir(parents=True)
    (place / f"{PREFIX}new").mkdir(mode=0o700)
    (place / f"{PREFIX}file").touch(0o700)
    (place / "other" / "r").mkdir(parents=True, mode=0o700)
    (place / f"{PREFIX}link").symlink_to(place / "other")
    before = set(place.iterdir())
    with private_folder():
        pass
    assert set(place.iterdir()) == before


@given(st.text("abcü/", max_size=120))
def test_sockets_in_it_have_paths_that_a_system_takes(name: str) -> None:
    place = module._place(Path("/", name))
    assert len(os.fsencode(place / SOCKET)) <= LONGEST_SOCKET
    assert place in (Path("/", name), Path("/tmp"))


def test_no_room_for_it_is_a_user_error(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SHORT", place / "none")
    monkeypatch.setattr(tempfile, "tempdir", str(place / "none"))
    problem = r"TMPDIR .*none: cannot hold the files of Ray"
    with pytest.raises(UserError, match=problem), private_folder():
        pass
