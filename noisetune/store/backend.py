"""Where a store's bytes lie: a folder (atomic rename, file times) or any fsspec file system.

Paths are relative to the store's root and written with "/". What does not exist is a
FileNotFoundError when read, and nothing at all when listed or removed.
"""

import errno
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

import fsspec

from noisetune.errors import UserError

MANIFEST = "manifest.json"
TEMPORARY = ".tmp"
CLOCK = ".clock"
TOUCHED = ".touched"


class Backend(Protocol):
    """What the store and its leases need of a file system."""

    url: str

    def read(self, path: str) -> bytes: ...
    def names(self, path: str) -> list[str]: ...
    def exists(self, path: str) -> bool: ...
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


def open_backend(url: str | Path) -> Backend:
    """A path or file:// URL is a folder, any other URL goes to fsspec."""
    text = str(url)
    if text.startswith("file://"):
        text = text.removeprefix("file://")
    return Objects(text) if "://" in text else Folder(Path(text))


def write_durably(path: Path, data: bytes) -> None:
    """Write a file and return once it is on the disk."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(path: Path) -> None:
    """Put a folder's names (what was made, renamed or removed in it) on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


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
    """A folder on a local or shared file system."""

    def __init__(self, root: Path) -> None:
        self.root = root.expanduser().absolute()
        self.url = str(self.root)
        try:
            (self.root / TEMPORARY).mkdir(parents=True, exist_ok=True)
            (self.root / CLOCK).touch()
        except OSError as error:
            raise UserError(
                f"store: {self.root} cannot be used as a folder ({error.strerror}): "
                "name one that exists or can be made, and that you may write to"
            ) from error

    def read(self, path: str) -> bytes:
        with _stale_is_absent():
            return (self.root / path).read_bytes()

    def names(self, path: str) -> list[str]:
        with suppress(FileNotFoundError), _stale_is_absent():
            return sorted(os.listdir(self.root / path))
        return []

    def exists(self, path: str) -> bool:
        return (self.root / path).exists()

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


class Objects:
    """An object store, or whatever else fsspec opens.

    There is no rename and no file time here: the manifest, written last, is the commit, and
    the time of a touch stands in an object beside, by the clock of the host that wrote it.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        try:
            self.fs, root = fsspec.core.url_to_fs(url)
        except (ImportError, ValueError) as error:
            raise UserError(
                f"store: {url} cannot be opened ({error}): name a folder, or install the "
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
