"""A disk of a world: files as they are, in a folder, with the world's clock and its faults.

All that is changed below that folder goes through here, whoever changes it and by which call, so
nothing of the product is left out or copied. A process that dies leaves what it wrote up to then,
of its last write a part; where the power of its host fails, that loses a part of what it did not
sync. In memory it is where the folder is one of a file system in memory.
"""

import io
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from world import EPOCH, Host, World

WRITES = frozenset("wax+")
CHANGES = ("rename", "replace", "link", "unlink", "remove", "rmdir", "truncate")


class Disk:
    """`wrote` is told of each write to a file that is there under its name: its path."""

    def __init__(
        self, world: World, folder: Path, wrote: Callable[[str], None], durable: bool = False
    ) -> None:
        self.world, self.folder, self.wrote = world, str(folder), wrote
        self.durable, self._within = durable, False
        self._open_files: dict[int, str] = {}
        self._unsynced: dict[str, tuple[Host, int]] = {}
        world.unplugged = self._lose
        self.open, self._open, self._utime, self._fsync = io.open, os.open, os.utime, os.fsync
        self._truncate = os.truncate

    @contextmanager
    def installed(self) -> Iterator[None]:
        """All of this process uses it inside."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(io, "open", self._opened)
            patch.setattr(os, "open", self._opened_low)
            patch.setattr(os, "utime", self._touched)
            patch.setattr(os, "fsync", self._synced)
            for name in CHANGES:
                patch.setattr(os, name, self._changing(name, getattr(os, name)))
            patch.setattr(shutil, "rmtree", self._whole("rmtree", shutil.rmtree))
            yield

    @property
    def now(self) -> float:
        return EPOCH + self.world.now + self.world.disk_skew

    def name(self, path: Any) -> str | None:
        """What a path is called here; None where it is elsewhere, or nobody of the world asks."""
        if self._within or self.world.task is None or isinstance(path, int):
            return None
        text = os.fspath(path)
        return text[len(self.folder) :] if str(text).startswith(self.folder) else None

    def stamp(self, file: int | str) -> None:
        self._utime(file, (self.now, self.now))

    def _opened(self, file: Any, mode: str = "r", *rest: Any, **more: Any) -> Any:
        name = self.name(file)
        if name is None or not WRITES.intersection(mode):
            return self.open(file, mode, *rest, **more)
        self.world.effect("open", name)
        opened = self.open(file, mode, *rest, **more)
        self.stamp(opened.fileno())
        self._open_files[opened.fileno()] = str(file)
        return WrittenFile(self, opened, name, str(file))

    def _opened_low(self, path: Any, flags: int, *rest: Any, **more: Any) -> int:
        name = self.name(path)
        if name is None or not flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            return self._open(path, flags, *rest, **more)
        self.world.effect("open", name)
        opened = self._open(path, flags, *rest, **more)
        self.stamp(opened)
        return opened

    def _touched(self, path: Any, times: Any = None, **more: Any) -> None:
        name = self.name(path)
        if name is None:
            return self._utime(path, times, **more)
        self.world.effect("touch", name)
        return self._utime(path, times or (self.now, self.now))

    def _synced(self, file: int) -> None:
        self.world.effect("sync")
        self._unsynced.pop(self._open_files.get(file, ""), None)
        if self.durable or self.world.task is None:
            self._fsync(file)

    def _changing(self, kind: str, change: Callable[..., Any]) -> Callable[..., Any]:
        def changed(path: Any, *rest: Any, **more: Any) -> Any:
            if not more and (name := self.name(path)) is not None:
                self.world.effect(kind, name)
                moved = self._unsynced.pop(str(path), None)
                if moved is not None and kind in ("rename", "replace"):
                    self._unsynced[str(rest[0])] = moved
            return change(path, *rest, **more)

        return changed

    def written(self, path: str, size: int) -> None:
        """A file of this size is about to be written to."""
        assert self.world.task is not None
        host = self.world.task.process.host
        if self._unsynced.get(path, (None, 0))[0] is not host:
            self._unsynced[path] = host, size

    def forget(self, file: int) -> None:
        """An open file is closed."""
        self._open_files.pop(file, None)

    def _lose(self, host: Host) -> None:
        """Of what a host wrote and did not sync, some."""
        for path, (writer, synced) in list(self._unsynced.items()):
            if writer is host and os.path.exists(path):
                del self._unsynced[path]
                before = os.stat(path)
                size = before.st_size
                kept = synced + int((size - synced) * self.world.random.choice([0.0, 0.5, 1.0]))
                self._truncate(path, max(0, min(size, kept)))
                self._utime(path, (before.st_atime, before.st_mtime))

    def _whole(self, kind: str, change: Callable[..., Any]) -> Callable[..., Any]:
        """A change that is made of many, as one."""

        def changed(path: Any, *rest: Any, **more: Any) -> Any:
            if (name := self.name(path)) is not None:
                self.world.effect(kind, name)
            self._within = True
            try:
                return change(path, *rest, **more)
            finally:
                self._within = False

        return changed


class WrittenFile:
    """A file that is open for writing; each write is on the disk when it returns."""

    def __init__(self, disk: Disk, file: Any, name: str, path: str) -> None:
        self._disk, self._file, self._name, self._path = disk, file, name, path

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> "WrittenFile":
        return self

    def __exit__(self, *error: Any) -> None:
        self._disk.forget(self._file.fileno())
        self._file.close()

    def write(self, content: Any) -> int:
        def torn(share: float) -> None:
            self._put(content[: int(len(content) * share)])

        self._disk.world.effect("write", self._name, torn)
        if self._is_there:
            self._disk.wrote(self._path)
        return self._put(content)

    @property
    def _is_there(self) -> bool:
        """Whether it is still the file of its name: another one may have come in its place."""
        with suppress(FileNotFoundError):
            return os.path.samestat(os.fstat(self._file.fileno()), os.stat(self._path))
        return False

    def truncate(self, size: int | None = None) -> int:
        self._disk.world.effect("truncate", self._name)
        return self._file.truncate(size)

    def _put(self, content: Any) -> int:
        file = self._file.fileno()
        self._disk.written(self._path, os.fstat(file).st_size)
        count = self._file.write(content)
        self._file.flush()
        self._disk.stamp(file)
        return count
