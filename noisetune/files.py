"""Files and folders that a user names: what is wrong with one is one message."""

import errno
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

from noisetune.errors import UserError

LONGEST_TEXT = 10_000_000
"""Bytes of a file that is read as a configuration; a device may have no end."""


@contextmanager
def refused(option: str, path: Path | str, deed: str, remedy: str) -> Iterator[None]:
    """What the file system refuses inside is the user's mistake.

    UserError with the `option`, its `path`, the reason why the `deed` (`be written`) failed, and
    the `remedy`.
    """
    try:
        yield
    except UserError:
        raise
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise UserError(f"{option} {path}: cannot {deed} ({why}); {remedy}") from None


def written(path: Path, option: str) -> AbstractContextManager[None]:
    """UserError where the file that is written inside, which `option` names, cannot be."""
    return refused(option, path, "be written", "give a file in a folder that is there")


def check_output(path: Path, option: str) -> None:
    """UserError where no file can be written at `path`; to be asked before long work.

    It leaves nothing, and a file that is there as it is.
    """
    with written(path, option):
        fresh = not path.exists()
        path.open("ab").close()
        if fresh:
            path.unlink()


def write_output(path: Path, text: str, option: str) -> None:
    """Write a file that `option` names; UserError where that is not possible."""
    with written(path, option):
        path.write_text(text, encoding="utf-8")


def replace_file(path: Path, content: bytes) -> None:
    """Put a whole file in the place of the one that is there: who reads finds either.

    It is on the disk when this returns. OSError where that is refused; the old one then stays.
    """
    beside = path.with_name(f"{path.name}.new")
    try:
        write_durably(beside, content)
        beside.replace(path)
    except OSError:
        with suppress(OSError):
            beside.unlink()
        raise


def write_durably(path: Path, content: bytes) -> None:
    """Write a file and return once it is on the disk."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(path: Path) -> None:
    """Put a folder's names (what was made, renamed or removed in it) on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(path: Path, option: str) -> Path:
    """The folder that `option` names, made where it is not there yet."""
    with refused(option, path, "be made a folder", "give one that is there or can be made"):
        path.mkdir(parents=True, exist_ok=True)
    return path


def check_folder(path: Path, option: str) -> Path:
    """`path`, which is a folder or not there yet; UserError for what can be neither.

    It only looks: whether a folder can be made is seen when it is.
    """
    with refused(option, path, "be used as a folder", "give one that is there or can be made"):
        above = path.expanduser().absolute()
        while not above.exists():
            above = above.parent
        if not above.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, f"{above} is no folder")
    return path


def check_room(path: Path, option: str) -> None:
    """UserError where the folder that `option` names is not there and cannot be made; what is made
    to see that is removed again."""
    missing = [each for each in (path, *path.parents) if not each.exists()]
    make_folder(path, option)
    for folder in missing:
        with suppress(OSError):
            folder.rmdir()


def read_text(path: Path) -> str:
    """The text of a file that is read as a configuration; UserError for any other file."""
    try:
        with path.open("rb") as file:
            content = file.read(LONGEST_TEXT + 1)
        if len(content) > LONGEST_TEXT:
            raise UserError(f"{path}: is too long to be a configuration; give a YAML file")
        return content.decode()
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such file") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read ({error}); give a YAML file") from None
