"""Memory that files ask for: looked at before it is taken, and shared out among threads."""

import ctypes
import os
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Condition

import psutil

from noisetune.errors import UserError
from noisetune.sizes import parse_size

LIMIT = "NOISETUNE_MEMORY"
"""The environment variable with the bytes that reading data may take: `4G`."""
FREE_SHARE = 0.75
CONTAINER = Path("/sys/fs/cgroup")

# Parameters of mallopt(3), and the most that glibc takes for the second.
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
KEPT, LARGEST = 2**29, 2**25


def memory_limit() -> int:
    """Bytes that reading data may take: $NOISETUNE_MEMORY, else three quarters of what this
    machine, or the container that this process is in, has free."""
    if given := os.environ.get(LIMIT):
        try:
            return parse_size(given)
        except ValueError as error:
            raise UserError(f"{LIMIT}: {error}") from None
    return int(FREE_SHARE * min(psutil.virtual_memory().available, _container_room()))


def require_memory(needed: int, what: str, limit: int | None = None) -> None:
    """UserError where `what`, a field and a file say, would take more bytes than the limit."""
    limit = memory_limit() if limit is None else limit
    if needed > limit:
        raise UserError(
            f"{what} would take {needed / 1e9:.3g} GB of memory, and {limit / 1e9:.3g} GB may be "
            f"taken; make it smaller, or set {LIMIT} (now "
            f"{os.environ.get(LIMIT) or 'three quarters of what is free'}) to more"
        )


def unpacked_bytes(path: Path) -> int:
    """What the content of a file takes: of an archive, such as torch.save writes, all of it."""
    if not zipfile.is_zipfile(path):
        return path.stat().st_size
    with zipfile.ZipFile(path) as archive:
        return sum(each.file_size for each in archive.infolist())


def keep_freed_memory() -> None:
    """Let this process keep up to half a GiB that it freed, blocks of up to 32 MiB in it.

    Every step of a network frees and takes the same megabytes: given back to the system each time,
    each of their pages costs a fault when it is touched again. Nothing happens without glibc.
    """
    if mallopt := _of_libc("mallopt"):
        mallopt(MMAP_THRESHOLD, LARGEST)
        mallopt(TRIM_THRESHOLD, KEPT)


def give_freed_memory_back() -> None:
    """Give what this process freed, and keeps, back to the system, until it keeps some again.

    Between two pieces of work that take blocks of other sizes it is of no use.
    """
    if malloc_trim := _of_libc("malloc_trim"):
        malloc_trim(0)


def _of_libc(name: str) -> Callable[..., int] | None:
    """A function of glibc; None where there is another library."""
    try:
        found: Callable[..., int] = getattr(ctypes.CDLL(None), name)
    except (AttributeError, OSError, TypeError):
        return None
    return found


class Shares:
    """So many bytes, of which threads take a share each; who finds too few left waits."""

    def __init__(self, size: int) -> None:
        self._left = size
        self._changed = Condition()

    @contextmanager
    def taken(self, share: int) -> Iterator[None]:
        """A share, which is at most the whole, until it is given back."""
        with self._changed:
            self._changed.wait_for(lambda: share <= self._left)
            self._left -= share
        try:
            yield
        finally:
            with self._changed:
                self._left += share
                self._changed.notify_all()


def _container_room() -> int:
    """Bytes that are left of a container's limit, where there is one; files that it keeps in
    memory go when others need it."""
    try:
        limit, used = (
            int((CONTAINER / f"memory.{name}").read_text()) for name in ("max", "current")
        )
        lines = (CONTAINER / "memory.stat").read_text().splitlines()
        kinds = dict(line.split() for line in lines)
        kept = int(kinds["inactive_file"]) + int(kinds["active_file"])
    # No container, one without a limit (`max`), or another kind of system.
    except (OSError, ValueError, KeyError):
        return sys.maxsize
    return max(0, limit - used + kept)
