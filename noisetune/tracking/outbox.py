"""The outbox: everything to be told to the tracking server, on disk before it is told."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Message = dict[str, Any]


class Outbox:
    """An append-only file of JSON lines, with the place up to which they were delivered.

    A line that a crash cut short is not read. Nothing is lost when the process is killed: what
    was appended and not delivered is delivered by the next reader, perhaps a second time.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._mark = path.with_suffix(".delivered")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        self._drop_torn_line()

    def append(self, message: Message) -> None:
        line = json.dumps(message, separators=(",", ":")) + "\n"
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND)
        try:
            os.write(descriptor, line.encode())
        finally:
            os.close(descriptor)

    @property
    def delivered(self) -> int:
        """Bytes from the start that were delivered."""
        return int(self._mark.read_text()) if self._mark.exists() else 0

    @property
    def waiting(self) -> bool:
        return self.path.stat().st_size > self.delivered

    def unread(self) -> Iterator[tuple[int, Message]]:
        """What was not delivered yet: each message with the place behind it."""
        with self.path.open("rb") as file:
            file.seek(self.delivered)
            place = file.tell()
            for line in file:
                if not line.endswith(b"\n"):
                    return
                place += len(line)
                yield place, json.loads(line)

    def deliver_up_to(self, place: int) -> None:
        """Note that everything before `place` was delivered."""
        beside = self._mark.with_suffix(".new")
        beside.write_text(str(place))
        beside.replace(self._mark)

    def _drop_torn_line(self) -> None:
        content = self.path.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            os.truncate(self.path, whole)
