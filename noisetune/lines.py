"""Append-only files of lines, as the ledger and the outbox are."""

import os
from pathlib import Path

BLOCK = 4096


def drop_torn_line(path: Path) -> None:
    """Cut off what follows the last line end: a line appended to it would be lost with it."""
    if not path.exists():
        return
    with path.open("rb") as file:
        size = whole = file.seek(0, os.SEEK_END)
        while whole > 0:
            start = max(0, whole - BLOCK)
            file.seek(start)
            last_end = file.read(whole - start).rfind(b"\n")
            whole = start + last_end + 1 if last_end >= 0 else start
            if last_end >= 0:
                break
    if whole < size:
        os.truncate(path, whole)
