"""NumPy's files: what a header says is held against what follows, before memory is taken."""

import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from noisetune.arrays import UNREADABLE, Archive, map_npy, npy_size, read_npy

DTYPES = ["u1", "i8", ">i4", "f4", "?", "U3", "S2", "M8[s]", "c8"]


def header(text: str) -> bytes:
    """The start of an .npy file that says `text`, whatever follows."""
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text) + 1) + text.encode() + b"\n"


def says(shape: Any, descr: str = "|u1", by_columns: bool = False) -> str:
    return repr({"descr": descr, "fortran_order": by_columns, "shape": shape})


def write(file: Path, name: str, content: bytes) -> Path:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return file


@given(
    st.data(),
    st.sampled_from(DTYPES),
    st_numpy.array_shapes(min_dims=0, min_side=0, max_side=4),
    st.booleans(),
    st.one_of(st.none(), st.integers(1, 5)),
)
def test_every_array_is_read_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory,
    data: st.DataObject,
    dtype: str,
    shape: tuple[int, ...],
    by_columns: bool,
    rows: int | None,
) -> None:
    array = data.draw(st_numpy.arrays(np.dtype(dtype), shape))
    array = np.asfortranarray(array) if by_columns else array
    folder = tmp_path_factory.mktemp("arrays")
    np.savez_compressed(folder / "a.npz", a=array)
    np.save(folder / "a.npy", array)
    wanted = array if rows is None or not shape else array[:rows]
    with Archive(folder / "a.npz") as archive:
        assert archive.names == ["a"]
        read = archive.read("a", rows)
        assert archive.size("a", rows) >= wanted.nbytes
        assert archive.shape("a") == array.shape
    wholes = [read_npy(folder / "a.npy"), *([map_npy(folder / "a.npy")] if array.nbytes else [])]
    for found, expected in ((read, wanted), *((whole, array) for whole in wholes)):
        assert found.dtype == expected.dtype
        assert found.shape == expected.shape
        assert found.tobytes() == expected.tobytes()


def test_a_few_rows_take_no_more_than_themselves(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", a=np.ones((10**4, 10**3), np.uint8))
    with Archive(tmp_path / "a.npz") as archive:
        assert archive.size("a", 3) == 3000
        assert archive.read("a", 3).base.nbytes == 3000
        assert archive.size("a") == 10**7


@pytest.mark.parametrize(
    "text",
    [
        says((10**12,)), says((2**40, 2**40)), says((-4,)), says((-2, -2)), says((3,)), says((5,)),
        says((4,), "|O"), says((2**70,), "|V0"), says((4,), "<U4000000000"), says("4"), "{", "",
        "(" * 5000,
    ],
)  # fmt: skip
def test_a_header_that_lies_is_refused_before_memory_is_taken(tmp_path: Path, text: str) -> None:
    content = header(text) + b"\x00" * 4
    (tmp_path / "a.npy").write_bytes(content)
    for read in (read_npy, npy_size, map_npy):
        with pytest.raises(UNREADABLE):
            read(tmp_path / "a.npy")
    with Archive(write(tmp_path / "a.npz", "a.npy", content)) as archive:
        for look in (archive.read, archive.size, archive.shape):
            with pytest.raises(UNREADABLE):
                look("a")


def test_a_header_of_any_length_is_refused(tmp_path: Path) -> None:
    """Version 2 of the format has headers of up to 4 GB."""
    content = b"\x93NUMPY\x02\x00" + struct.pack("<I", 10**7) + b" " * 10**7
    archive = Archive(write(tmp_path / "a.npz", "a.npy", content))
    with archive, pytest.raises(ValueError, match="for tables"):
        archive.size("a")


@given(st.binary(max_size=300))
def test_any_bytes_are_an_array_or_refused(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    file = tmp_path_factory.mktemp("arrays") / "a.npy"
    for start in (b"", b"\x93NUMPY\x01\x00"):
        file.write_bytes(start + content)
        try:
            read_npy(file)
        except UNREADABLE:
            continue
