"""What image files hold: a digest of each, kept by the state that the file was in.

A state is path, size, times of change (of its content, and of the file itself, which nobody can
set) and inode: two files that change names, or one that is put in another's place, are told apart.
Files in a known state are not opened.
"""

import hashlib
import os
import stat
import uuid
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from noisetune.data._listing import refuse
from noisetune.training.runtime import available_cpus

Contents = NDArray[np.bytes_]
"""Digests (N,) of files, `CONTENT_BYTES` each."""
State = tuple[int, int, int, int]

CONTENT_BYTES = 16
CHECK_BYTES = 32
STAT_THREADS, STATS_AT_ONCE = 8, 4096
HASHES_AT_ONCE = 64


def content_of(data: bytes) -> bytes:
    """The digest of a file's bytes."""
    return hashlib.sha256(data).digest()[:CONTENT_BYTES]


def as_contents(digests: Iterable[bytes]) -> Contents:
    return np.frombuffer(b"".join(digests), dtype=f"S{CONTENT_BYTES}")


def state_digest(files: Sequence[str], where: Callable[[int], str]) -> str:
    """Tells the states of `files` from all others; UserError for files that are missing.

    It takes a stat call for each, made by threads, and opens none.
    """
    starts = range(0, len(files), STATS_AT_ONCE)
    with ThreadPoolExecutor(STAT_THREADS, "noisetune-stat") as pool:
        parts = pool.map(lambda start: _states(files[start : start + STATS_AT_ONCE]), starts)
        states = [state for part in parts for state in part]
    problems = [f"{where(i)}: {state}" for i, state in enumerate(states) if isinstance(state, str)]
    refuse(problems, "data: the files must be there; mend the list, or data.root")
    digest = hashlib.sha256()
    for file, state in zip(files, states, strict=True):
        digest.update(f"{file}\0{state}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()[: 2 * CONTENT_BYTES]


def _states(files: Sequence[str]) -> list[State | str]:
    """The state of each file, or what is wrong with it."""
    states: list[State | str] = []
    for file in files:
        try:
            found = os.stat(file)
        except (OSError, ValueError) as error:
            states.append(f"cannot be found ({getattr(error, 'strerror', None) or error})")
            continue
        state = found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino
        states.append(state if stat.S_ISREG(found.st_mode) else "is no file")
    return states


def read_contents(place: Path, count: int) -> Contents | None:
    """What `write_contents` wrote; None where there is none, or not as it was written."""
    try:
        data = place.read_bytes()
    except OSError:
        return None
    check, body = data[:CHECK_BYTES], data[CHECK_BYTES:]
    if len(body) != count * CONTENT_BYTES or hashlib.sha256(body).digest() != check:
        return None
    return as_contents([body])


def write_contents(place: Path, contents: Contents) -> None:
    """Keep the contents of files, at once or not at all."""
    body = contents.tobytes()
    part = place.with_name(f".{place.name}.{uuid.uuid4().hex}")
    try:
        part.write_bytes(hashlib.sha256(body).digest() + body)
        part.replace(place)
    finally:
        part.unlink(missing_ok=True)


def hash_known(files: Sequence[str], is_known: Callable[[bytes], bool]) -> list[bytes] | None:
    """The contents of all `files`; None as soon as one is not known, or cannot be read."""

    def content(file: str) -> bytes | None:
        try:
            with Path(file).open("rb") as opened:
                return hashlib.file_digest(opened, "sha256").digest()[:CONTENT_BYTES]
        except (OSError, ValueError):
            return None

    contents: list[bytes] = []
    # One alone at first: of a new data set no file is read in vain but that.
    bounds = [0, *range(1, len(files), HASHES_AT_ONCE), len(files)]
    with ThreadPoolExecutor(available_cpus(), "noisetune-hash") as pool:
        for start, end in pairwise(bounds):
            for each in pool.map(content, files[start:end]):
                if each is None or not is_known(each):
                    return None
                contents.append(each)
    return contents
