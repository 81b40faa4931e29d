"""What the store and its leases need of a file system.

Paths are relative to the store's root and written with "/". What does not exist is a
FileNotFoundError when read, and nothing at all when listed or removed.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

MANIFEST = "manifest.json"
TEMPORARY = ".tmp"


class Backend(Protocol):
    """A place for bytes: `folder.Folder` or `objects.Objects`."""

    url: str

    def read(self, path: str) -> bytes: ...
    def names(self, path: str) -> list[str]: ...
    def exists(self, path: str) -> bool: ...

    def place(self, path: str) -> Path | None:
        """Where a path is on this host, to be read alone; None where it is no file here."""
        ...

    def size(self, path: str) -> int: ...
    def free(self) -> int | None: ...

    def create(self, path: str, data: bytes) -> bool:
        """Write a file that does not exist yet; False: it does, and is left alone."""
        ...

    def commit(self, folder: str, files: Mapping[str, bytes], check: Callable[[], None]) -> None:
        """Make `folder` appear with all files or not at all (the manifest, last, decides).

        `check` runs as the last thing before; what it raises leaves no trace.
        """
        ...

    def move(self, source: str, target: str) -> None: ...
    def remove(self, path: str) -> None: ...

    def touch(self, path: str, when: float | None = None) -> None:
        """Set a file's time, by default to `now`."""
        ...

    def touched(self, path: str) -> float:
        """The time of the last touch or writing, to be compared with `now` alone."""
        ...

    def now(self) -> float:
        """The time by the clock that `touch` uses."""
        ...
