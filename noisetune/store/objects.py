"""A store in an object store, or in whatever else fsspec opens."""

import errno
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import fsspec

from noisetune.errors import UserError

from .backend import MANIFEST

TOUCHED = ".touched"


class Objects:
    """A place that an fsspec URL names.

    There is no rename and no file time here: the manifest, written last, is the commit, and
    the time of a touch stands in an object beside, by the clock of the host that wrote it.
    `option` is what named the URL.
    """

    def __init__(self, url: str, option: str = "store") -> None:
        self.url = url
        try:
            self.fs, root = fsspec.core.url_to_fs(url)
        except (ImportError, ValueError) as error:
            raise UserError(
                f"{option}: {url} cannot be opened ({error}): name a folder, or install the "
                "fsspec package of that protocol"
            ) from error
        self.root = root.rstrip("/")

    def _at(self, path: str) -> str:
        return f"{self.root}/{path}".rstrip("/")

    def read(self, path: str) -> bytes:
        return bytes(self.fs.cat_file(self._at(path)))

    def names(self, path: str) -> list[str]:
        self.fs.invalidate_cache()
        try:
            found = self.fs.ls(self._at(path), detail=False)
        except FileNotFoundError:
            return []
        return sorted(name.rstrip("/").rsplit("/", 1)[-1] for name in found)

    def exists(self, path: str) -> bool:
        self.fs.invalidate_cache()
        return bool(self.fs.exists(self._at(path)))

    def place(self, path: str) -> Path | None:
        return None

    def size(self, path: str) -> int:
        return int(self.fs.du(self._at(path)))

    def free(self) -> int | None:
        return None

    def create(self, path: str, data: bytes) -> bool:
        if self.exists(path):
            return False
        self._write(path + TOUCHED, repr(time.time()).encode())
        try:
            self._write(path, data, mode="create")
        except FileExistsError:
            return False
        return True

    def _write(self, path: str, data: bytes, mode: str = "overwrite") -> None:
        target = self._at(path)
        self.fs.makedirs(target.rsplit("/", 1)[0], exist_ok=True)
        self.fs.pipe_file(target, data, mode=mode)

    def commit(self, folder: str, files: Mapping[str, bytes], check: Callable[[], None]) -> None:
        for name, data in files.items():
            if name != MANIFEST:
                self._write(f"{folder}/{name}", data)
        check()
        self.create(f"{folder}/{MANIFEST}", files[MANIFEST])

    def move(self, source: str, target: str) -> None:
        self.fs.copy(self._at(source), self._at(target), recursive=True)
        self.remove(source)

    def remove(self, path: str) -> None:
        """The manifest goes first: from then on the entry is absent."""
        for part in (f"{path}/{MANIFEST}", path, path + TOUCHED):
            with suppress(FileNotFoundError, NotADirectoryError):
                self.fs.rm(self._at(part), recursive=True)

    def touch(self, path: str, when: float | None = None) -> None:
        if not self.exists(path):
            raise FileNotFoundError(errno.ENOENT, "nothing to touch", path)
        self._write(path + TOUCHED, repr(time.time() if when is None else when).encode())

    def touched(self, path: str) -> float:
        try:
            return float(self.read(path + TOUCHED))
        except FileNotFoundError:
            return 0.0
        except ValueError:
            # read while it was being written, where writing is not atomic
            return self.now()

    def now(self) -> float:
        return time.time()
