"""A folder for the files of a local Ray: its user's alone, and gone when its process is."""

import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from noisetune.files import refused

PREFIX, INNER = "noisetune-ray-", "r"
LONGEST_SOCKET = 103
"""Bytes of a socket's path, where the system takes the fewest."""
SOCKET = f"{PREFIX}12345678/{INNER}/session_2026-01-31_23-59-59_123456_4194304/sockets/plasma_store"
SHORT = Path("/tmp")


@contextmanager
def private_folder() -> Iterator[Path]:
    """A folder inside of one that nobody else enters (0700): Ray opens its own to everybody.

    It is removed in the end. What processes that were killed left of theirs goes at the start.
    UserError where there is no room for it.
    """
    place = _place(Path(tempfile.gettempdir()))
    with refused("TMPDIR", place, "hold the files of Ray", "free space there, or name another"):
        _remove_left_behind(place)
        outer = Path(tempfile.mkdtemp(prefix=PREFIX, dir=place))
        held = _hold(outer)
        inner = outer / INNER
        inner.mkdir()
    try:
        yield inner
    finally:
        shutil.rmtree(outer, ignore_errors=True)
        os.close(held)


def _place(temporary: Path) -> Path:
    """The folder for temporary files, where the sockets' paths in it are not too long."""
    longest = os.fsencode(temporary / SOCKET)
    return temporary if len(longest) <= LONGEST_SOCKET else SHORT


def _hold(folder: Path) -> int:
    """Lock a folder for as long as this process lives; BlockingIOError where another has."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        raise
    return handle


def _remove_left_behind(place: Path) -> None:
    for folder in place.glob(f"{PREFIX}*"):
        with suppress(OSError):
            status = folder.lstat()
            mine = status.st_uid == os.geteuid() and stat.S_IMODE(status.st_mode) == 0o700
            # One without the inner folder has just been made, and is about to be held.
            if mine and (folder / INNER).is_dir():
                held = _hold(folder)
                shutil.rmtree(folder, ignore_errors=True)
                os.close(held)
