"""The outbox: everything to be told to the tracking server, on disk before it is told."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

from noisetune.lines import BLOCK, drop_torn_line
from noisetune.tracking.messages import Message


class Outbox:
    """An append-only file of JSON lines, with the place up to which they were delivered.

    A line that a crash cut short is not read. Nothing is lost when the process is killed: what
    was appended and not delivered is delivered by the next reader, perhaps a second time.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._mark = path.with_suffix(".delivered")
        self.refused = path.with_suffix(".refused.jsonl")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        drop_torn_line(path)
        if self.delivered > path.stat().st_size:
            self.deliver_up_to(0)

    def append(self, message: Message) -> None:
        """Write one message; OSError, and no part of it in the file, where that cannot be done."""
        line = (json.dumps(message, separators=(",", ":")) + "\n").encode()
        with self.path.open("ab", buffering=0) as file:
            whole = file.tell()
            try:
                while line:
                    line = line[file.write(line) :]
            except OSError:
                file.truncate(whole)
                raise

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
        return _messages(self.path, self.delivered)

    def all(self) -> Iterator[Message]:
        """Every message, delivered or not."""
        return read_messages(self.path)

    def deliver_up_to(self, place: int) -> None:
        """Note that everything before `place` was delivered."""
        beside = self._mark.with_suffix(".new")
        beside.write_text(str(place))
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
        with self.refused.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"reason": reason, "message": message}) + "\n")
        return True


def read_messages(path: Path) -> Iterator[Message]:
    """Every message of an outbox, whose sweep may be running: nothing in it is changed."""
    return (message for _, message in _messages(path, 0))


def _messages(path: Path, place: int) -> Iterator[tuple[int, Message]]:
    with path.open("rb") as file:
        file.seek(place)
        for line in file:
            if not line.endswith(b"\n"):
                return
            place += len(line)
            yield place, json.loads(line)
