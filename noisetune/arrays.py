"""NumPy's files, read as far as they are needed, and only where what they say of themselves is so.

Nothing in them is unpickled. `numpy.load` takes the memory that a header asks for before it looks
at what follows, and all rows where a few are wanted.
"""

import lzma
import math
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal, Self

import numpy as np

UNREADABLE = (
    ValueError, OSError, TypeError, EOFError, NotImplementedError, RuntimeError,
    zipfile.BadZipFile, zlib.error, lzma.LZMAError,
)  # fmt: skip
"""What NumPy, zipfile and its decoders raise for a file that is none, or a damaged one."""
SUFFIX = ".npy"
VERSION = (1, 0)
"""Later ones are for tables: their headers may be of any length."""
STEP = 2**20


@dataclass(frozen=True)
class Layout:
    """What a file says of its array: shape, type, and whether it lies by columns."""

    shape: tuple[int, ...]
    dtype: np.dtype
    by_columns: bool

    @property
    def size(self) -> int:
        """In bytes."""
        return math.prod(self.shape) * self.dtype.itemsize

    def rows(self, count: int | None) -> Self:
        """Of the first so many rows; of all where they cannot be read by themselves."""
        if count is None or self.by_columns or not self.shape:
            return self
        shape = (min(count, self.shape[0]), *self.shape[1:])
        return type(self)(shape, self.dtype, self.by_columns)


class Archive:
    """The arrays in an .npz by name. What it raises for a damaged one is UNREADABLE."""

    def __init__(self, path: Path) -> None:
        self._zip = zipfile.ZipFile(path)
        names = (each for each in self._zip.namelist() if each.endswith(SUFFIX))
        self.names = [each.removesuffix(SUFFIX) for each in names]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()

    def size(self, name: str, rows: int | None = None) -> int:
        """Bytes that the first rows of an array take, or all of it."""
        with self._zip.open(name + SUFFIX) as file:
            return self._layout(name, file).rows(rows).size

    def shape(self, name: str) -> tuple[int, ...]:
        with self._zip.open(name + SUFFIX) as file:
            return self._layout(name, file).shape

    def read(self, name: str, rows: int | None = None) -> np.ndarray:
        """The first rows of an array, or all of it."""
        with self._zip.open(name + SUFFIX) as file:
            array = _content(file, self._layout(name, file).rows(rows))
        return array if rows is None or not array.shape else array[:rows]

    def sizes(self, names: Iterable[str]) -> int:
        """Bytes that whole arrays take together."""
        return sum(map(self.size, names))

    def _layout(self, name: str, file: IO[bytes]) -> Layout:
        return _layout(file, self._zip.getinfo(name + SUFFIX).file_size)


def npy_size(path: Path) -> int:
    """Bytes that the array in an .npy file takes; UNREADABLE for another file."""
    with path.open("rb") as file:
        return _layout(file, path.stat().st_size).size


def read_npy(path: Path) -> np.ndarray:
    """The array in an .npy file; UNREADABLE for another file."""
    with path.open("rb") as file:
        return _content(file, _layout(file, path.stat().st_size))


def map_npy(path: Path) -> np.ndarray:
    """The array in an .npy file, mapped into memory, for reading alone; UNREADABLE for another
    file."""
    with path.open("rb") as file:
        layout, start = _layout(file, path.stat().st_size), file.tell()
    order: Literal["F", "C"] = "F" if layout.by_columns else "C"
    return np.memmap(path, layout.dtype, "r", start, layout.shape, order)


def _layout(file: IO[bytes], length: int) -> Layout:
    """What the header at the start of a file of `length` bytes says; ValueError for a lie."""
    if np.lib.format.read_magic(file) != VERSION:
        raise ValueError("it is in a version of NumPy's format that is for tables")
    try:
        shape, by_columns, dtype = np.lib.format.read_array_header_1_0(file)
    # NumPy reads a header as Python, whose parser fails in ways of its own.
    except Exception as error:
        raise ValueError(f"its header is none ({error})") from None
    if dtype.hasobject:
        raise ValueError("Object arrays cannot be loaded: they are Python's, and run as programs")
    layout = Layout(shape, dtype, by_columns)
    there = length - file.tell()
    if min(shape, default=0) < 0 or layout.size != there:
        raise ValueError(f"its header says {dtype} of shape {shape}, which {there} bytes are not")
    return layout


def _content(file: IO[bytes], layout: Layout) -> np.ndarray:
    raw = np.empty(layout.size, np.uint8)
    view, done = raw.data, 0
    while done < len(view):
        piece = file.read(min(STEP, len(view) - done))
        if not piece:
            raise EOFError("it ends too early")
        view[done : done + len(piece)] = piece
        done += len(piece)
    array = raw.view(layout.dtype)
    return array.reshape(layout.shape[::-1]).T if layout.by_columns else array.reshape(layout.shape)
