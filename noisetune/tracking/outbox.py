"""The outbox: everything to be told to the tracking server, on disk before it is told."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from noisetune.errors import UserError
from noisetune.files import refused
from noisetune.lines import (
    Check,
    append_lines,
    cut_damaged_end,
    keep_whole_lines,
    nothing,
    read_lines,
)
from noisetune.tracking.messages import Message

BLOCK = 4096

REMEDY = (
    "`noisetune resume` keeps a copy of the file and goes on without what is damaged; a folder in "
    "its place is to be moved away"
)
ANEW = "make room, or move it away: `noisetune resume` makes it anew of what the ledger knows"


class Outbox:
    """An append-only file of JSON lines, with the place up to which they were delivered.

    For the one who writes it: damaged lines are taken out at the beginning, which is said, and a
    copy is kept. Nothing is lost when the process is killed: what was appended and not delivered
    is delivered by the next reader, perhaps a second time. `check` raises for who is no longer the
    one who writes it.
    """

    def __init__(self, path: Path, check: Check = nothing) -> None:
        self.path, self._check = path, check
        self._mark = path.with_suffix(".delivered")
        self.refused = path.with_suffix(".refused.jsonl")
        with refused("outbox", path, "be written", ANEW):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.open("ab").close()
            if not self._begins_line(self.delivered):
                self.deliver_up_to(0)
            self._mend()

    def _mend(self) -> None:
        try:
            cut_damaged_end(self.path, REMEDY, self._check)
        except UserError:
            keep_whole_lines(self.path, REMEDY, self._check)
            self.deliver_up_to(0)
        if self.delivered > (size := self.path.stat().st_size):
            self.deliver_up_to(size)

    def _begins_line(self, place: int) -> bool:
        with self.path.open("rb") as file:
            file.seek(max(0, place - 1))
            return place == 0 or file.read(1) == b"\n"

    def append(self, message: Message) -> None:
        """Write one message; OSError, and no part of it in the file, where that cannot be done."""
        append_lines(self.path, [message], check=self._check)

    @property
    def delivered(self) -> int:
        """Bytes from the start that were delivered; 0 where the note of it was lost."""
        text = self._mark.read_text() if self._mark.exists() else ""
        return int(text) if text.isdecimal() else 0

    @property
    def waiting(self) -> bool:
        return self.path.stat().st_size > self.delivered

    def unread(self) -> Iterator[tuple[int, Message]]:
        """What was not delivered yet: each message with the place behind it."""
        return read_lines(self.path, REMEDY, self.delivered)

    def all(self) -> Iterator[Message]:
        """Every message, delivered or not."""
        return read_messages(self.path)

    def deliver_up_to(self, place: int) -> None:
        """Note that everything before `place` was delivered."""
        beside = self._mark.with_suffix(f".{os.getpid()}.new")
        beside.write_text(str(place))
        self._check()
        beside.replace(self._mark)

    def note(self, place: int) -> str:
        """A place for the tracking store to keep, with a digest of what stands before it here."""
        with self.path.open("rb") as file:
            file.seek(max(0, place - BLOCK))
            before = file.read(place - file.tell())
        return f"{place} {hashlib.sha256(before).hexdigest()[:16]}"

    def place_of(self, note: str) -> int:
        """The place that a `note` is of; 0 where it is of another file's, or of none."""
        place = note.partition(" ")[0]
        known = place.isdecimal() and int(place) <= self.path.stat().st_size
        return int(place) if known and self.note(int(place)) == note else 0

    def set_aside(self, message: Message, reason: str) -> bool:
        """Write a message that is refused for ever to a file of its own; False if it is there."""
        self.refused.touch()
        if any(each["message"] == message for each in read_messages(self.refused)):
            return False
        append_lines(self.refused, [{"reason": reason, "message": message}])
        return True


def read_messages(path: Path) -> Iterator[Message]:
    """Every message of an outbox, whose sweep may be running: nothing in it is changed.

    UserError, with file and line, for damage before whole lines.
    """
    return (message for _, message in read_lines(path, REMEDY))
