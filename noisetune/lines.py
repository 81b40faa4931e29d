"""Append-only files of JSON lines, as the ledger and the outbox are.

A line ends with where it stands in its file and a checksum of both, as one more key of its object:
`,"checksum":"1f40-9ae01c55"}`. Whoever reads the object may pass it over. A line without one, as
other programs and earlier versions write it, is taken if it is what `json.dumps` makes of it.
"""

import json
import logging
import os
import re
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any
from zlib import crc32

from noisetune.errors import UserError
from noisetune.files import refused, sync_folder, write_durably

Record = dict[str, Any]
Check = Callable[[], None]

SEAL = re.compile(rb'"checksum":"([0-9a-f]+)-([0-9a-f]{8})"\}\Z')
# what a damaged seal looks like, by its name, by what it says, or with blanks in the place of its
# beginning: no line without one ends like that
LIKE_SEAL = re.compile(rb'"([^"]{8}":"[^"]*|[^"]*([0-9a-f]-[0-9a-f]{8}| {14,}[0-9a-f-]*))"\}\Z')

NEW = ".new"

log = logging.getLogger(__name__)


def nothing() -> None:
    """A check that everybody passes."""


@dataclass(frozen=True)
class Line:
    """A line of a file from byte `start` to `end`; `record` is None where it is damaged.

    `whole`: it is not damaged, and no line before it is missing. `cut`: its end is not there.
    """

    start: int
    end: int
    record: Record | None
    whole: bool
    cut: bool


def append_lines(
    path: Path,
    records: Iterable[Mapping[str, Any]],
    durable: bool = False,
    check: Check = nothing,
) -> None:
    """Write lines, at once on the disk if `durable`.

    OSError, and no part of them in the file, where that cannot be done. `check` raises for who is
    no longer the one writer: the file is open by then, so a later one has what is written, or has
    put another file in its place.
    """
    with path.open("ab", buffering=0) as file:
        check()
        start, content = file.tell(), b""
        for record in records:
            content += _sealed(record, start + len(content))
        try:
            while content:
                content = content[file.write(content) :]
            if durable:
                os.fsync(file.fileno())
        except BaseException:
            file.truncate(start)
            raise


def read_lines(path: Path, remedy: str, place: int = 0) -> Iterator[tuple[int, Record]]:
    """Each record from byte `place` on, with the place behind it; the file is left as it is.

    A line that is still being written is not read, and a damaged end is said and not read.
    UserError, with file, line and `remedy`, for damage before whole lines.
    """
    lines = scan(path, remedy, place)
    for line in lines:
        if line.record is None or not line.whole:
            _refuse_within(path, line, lines, remedy)
            if not line.cut:
                log.warning("%s is damaged, and not read from there on", _name(path, line))
            return
        yield line.end, line.record


def cut_damaged_end(path: Path, remedy: str, check: Check = nothing) -> None:
    """Put what stands behind the last whole line into a file beside, and say so.

    For the one writer of the file from now on: what is whole is put in its place anew, so that an
    earlier writer, who stood still in the middle of a line, ends it where nobody reads it. `check`
    raises for who is no longer the one writer. UserError as `read_lines` has it.
    """
    lines, end = scan(path, remedy), 0
    for line in lines:
        if not line.whole:
            _refuse_within(path, line, lines, remedy)
            aside = copy_aside(path, line.start)
            where = _name(path, line)
            log.warning("%s is damaged: what stood from there on is now %s", where, aside)
            break
        end = line.end
    if path.exists():
        _put_anew(path, path.read_bytes()[:end], check)


def keep_whole_lines(path: Path, remedy: str, check: Check = nothing) -> None:
    """Write the file anew without its damaged lines, and say so; as it was it is kept beside.

    `check` as `cut_damaged_end` has it.
    """
    lines = list(scan(path, remedy))
    aside, content = copy_aside(path), b""
    for each in lines:
        content += b"" if each.record is None else _sealed(each.record, len(content))
    _put_anew(path, content, check)
    left_out = [str(number) for number, each in enumerate(lines, 1) if each.record is None]
    which = f"line {', '.join(left_out)} is damaged and left out" if left_out else "lines are gone"
    log.warning("%s: %s; as it was it is now %s", path, which, aside)


def _put_anew(path: Path, content: bytes, check: Check) -> None:
    """Put a new file in the place of the one that is there, and let no earlier writer do so.

    What such a one has written beside goes first: if it stood still before it put that in place, it
    finds nothing to put; if it writes it later, its `check` raises.
    """
    for left in path.parent.glob(f"{path.name}.*{NEW}"):
        left.unlink(missing_ok=True)
    beside = path.with_name(f"{path.name}.{uuid.uuid4().hex}{NEW}")
    try:
        write_durably(beside, content)
        check()
        if not _renamed(beside, path):
            check()
            _put_anew(path, content, check)
        # Else the lines that follow could be on the disk, and not what names their file.
        sync_folder(path.parent)
    finally:
        beside.unlink(missing_ok=True)


def _renamed(old: Path, new: Path) -> bool:
    """Whether a file was there to be renamed, and so was."""
    try:
        old.replace(new)
    except FileNotFoundError:
        return False
    return True


def copy_aside(path: Path, start: int = 0) -> Path:
    """What a file holds from byte `start` on, in a new file beside it."""
    names = (path.with_name(f"{path.name}.damaged-{number}") for number in count(1))
    aside = next(name for name in names if not name.exists())
    with refused("copy", aside, "be written", "make room beside it"), path.open("rb") as file:
        file.seek(start)
        aside.write_bytes(file.read())
    return aside


def scan(path: Path, remedy: str, place: int = 0) -> Iterator[Line]:
    """Every line from byte `place` on, damaged or not; none where there is no file."""
    if not path.exists():
        return
    with refused("file", path, "be read", remedy):
        file = path.open("rb")
    with file:
        file.seek(place)
        for line in file:
            record, stated = _unsealed(line)
            whole = record is not None and stated in (None, place)
            yield Line(place, place + len(line), record, whole, not line.endswith(b"\n"))
            place += len(line)


def _refuse_within(path: Path, line: Line, behind: Iterator[Line], remedy: str) -> None:
    """UserError where a line is damaged, or others are gone, that are not the end of the file."""
    if line.record is not None:
        raise UserError(f"{_name(path, line)}: lines before it are missing; {remedy}")
    if any(each.record is not None for each in behind):
        raise UserError(f"{_name(path, line)} is damaged, and lines behind it are whole; {remedy}")


def _name(path: Path, line: Line) -> str:
    with path.open("rb") as file:
        return f"{path} line {file.read(line.start).count(10) + 1}"


def _encoded(record: Mapping[str, Any]) -> bytes:
    return json.dumps(record, separators=(",", ":")).encode()


def _sealed(record: Mapping[str, Any], place: int) -> bytes:
    body = _encoded(record)
    return _opened(body) + b'"checksum":"%x-%08x"}\n' % (place, _checksum(body, place))


def _opened(body: bytes) -> bytes:
    """An object up to where one more key goes."""
    return body[:-1] if body == b"{}" else body[:-1] + b","


def _checksum(body: bytes, place: int) -> int:
    return crc32(b"%x %s" % (place, body))


def _unsealed(line: bytes) -> tuple[Record | None, int | None]:
    """The record of a line (None: it is damaged), and where it says that it stands."""
    if not line.endswith(b"\n"):
        return None, None
    seal = SEAL.search(line, endpos=len(line) - 1)
    if seal:
        opened, stated = line[: seal.start()], int(seal[1], 16)
        body = opened.removesuffix(b",") + b"}"
        if opened != _opened(body) or int(seal[2], 16) != _checksum(body, stated):
            return None, None
    else:
        body, stated = line[:-1], None
    try:
        record = json.loads(body.decode("ascii"))
    except (ValueError, RecursionError):
        return None, None
    own = seal is not None or (_encoded(record) == body and not LIKE_SEAL.search(body))
    return (record, stated) if own and isinstance(record, dict) else (None, None)
