"""A store in a folder of a local or shared file system: atomic renames and file times."""

import errno
import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from noisetune.errors import UserError
from noisetune.files import sync_folder, write_durably

from .backend import MANIFEST, TEMPORARY

CLOCK = ".clock"


@contextmanager
def _stale_is_absent() -> Iterator[None]:
    """NFS says ESTALE of a file that another host removed while we had it open."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ESTALE, errno.ENOTDIR):
            raise
        raise FileNotFoundError(*error.args) from error


class Folder:
    """A folder; `url` is its absolute path, `option` what named it."""

    def __init__(self, root: Path, option: str = "store") -> None:
        self.root = root.expanduser().absolute()
        self.url = str(self.root)
        try:
            try:
                self._make()
            except FileNotFoundError:
                # Another process has removed it in the meantime: one that had made it for itself.
                self._make()
        except OSError as error:
            raise UserError(
                f"{option}: {self.root} cannot be used as a folder ({error.strerror}): "
                "name one that exists or can be made, and that you may write to"
            ) from error

    def _make(self) -> None:
        (self.root / TEMPORARY).mkdir(parents=True, exist_ok=True)
        (self.root / CLOCK).touch()

    def clear(self) -> None:
        """Remove what is in it for its own sake, and nobody's."""
        (self.root / CLOCK).unlink(missing_ok=True)
        with suppress(OSError):
            (self.root / TEMPORARY).rmdir()

    def read(self, path: str) -> bytes:
        with _stale_is_absent():
            return (self.root / path).read_bytes()

    def names(self, path: str) -> list[str]:
        with suppress(FileNotFoundError), _stale_is_absent():
            return sorted(os.listdir(self.root / path))
        return []

    def exists(self, path: str) -> bool:
        return (self.root / path).exists()

    def place(self, path: str) -> Path | None:
        return self.root / path

    def size(self, path: str) -> int:
        total = 0
        for folder, _, files in os.walk(self.root / path):
            for name in files:
                with suppress(FileNotFoundError):
                    total += os.stat(os.path.join(folder, name)).st_size
        return total

    def free(self) -> int | None:
        return shutil.disk_usage(self.root).free

    def create(self, path: str, data: bytes) -> bool:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with target.open("xb") as file:
                file.write(data)
        except FileExistsError:
            return False
        except OSError:
            target.unlink(missing_ok=True)
            raise
        return True

    def commit(self, folder: str, files: Mapping[str, bytes], check: Callable[[], None]) -> None:
        aside = self._aside()
        try:
            aside.mkdir(parents=True)
            for name, data in files.items():
                write_durably(aside / name, data)
            sync_folder(aside)
            check()
            self._put(aside, folder)
        finally:
            shutil.rmtree(aside, ignore_errors=True)

    def _put(self, aside: Path, folder: str) -> None:
        """Rename into place, unless a whole entry came to stand there in the meantime."""
        target = self.root / folder
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.rename(aside, target)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            if self.exists(f"{folder}/{MANIFEST}"):
                return
            self.remove(folder)
            os.rename(aside, target)
        for parent in target.relative_to(self.root).parents:
            sync_folder(self.root / parent)

    def _aside(self) -> Path:
        return self.root / TEMPORARY / uuid.uuid4().hex

    def move(self, source: str, target: str) -> None:
        (self.root / target).parent.mkdir(parents=True, exist_ok=True)
        os.rename(self.root / source, self.root / target)

    def remove(self, path: str) -> None:
        """A folder vanishes in one step: a reader sees all of it or nothing."""
        target = self.root / path
        if not target.is_dir():
            target.unlink(missing_ok=True)
            return
        aside = self._aside()
        with suppress(FileNotFoundError):
            os.rename(target, aside)
            shutil.rmtree(aside, ignore_errors=True)

    def touch(self, path: str, when: float | None = None) -> None:
        os.utime(self.root / path, None if when is None else (when, when))

    def touched(self, path: str) -> float:
        # opened, because an NFS client asks the server then; a bare stat may be a minute old
        with _stale_is_absent():
            descriptor = os.open(self.root / path, os.O_RDONLY)
            try:
                return os.fstat(descriptor).st_mtime
            finally:
                os.close(descriptor)

    def now(self) -> float:
        """The file system's own time, so that the clocks of hosts do not matter."""
        (self.root / CLOCK).touch()
        return self.touched(CLOCK)
