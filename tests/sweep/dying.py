"""A ledger whose driver is killed between two writes."""

import math
from pathlib import Path
from typing import Any

from optuna.storages.journal import JournalFileBackend


class Killed(BaseException):
    """Stands for `kill -9`: nothing that comes after it is written."""


class DiesAfter(JournalFileBackend):
    """A journal whose driver is killed after a number of writes."""

    def __init__(self, file: Path, writes: float = math.inf) -> None:
        super().__init__(str(file))
        self.left = writes

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        if self.left <= 0:
            raise Killed
        self.left -= len(logs)
        super().append_logs(logs)
