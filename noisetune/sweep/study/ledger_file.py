"""The ledger as a file: Optuna's journal, each line of which carries a checksum.

Optuna's own journal backend reads it as it is; lines that it has written are read here.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from optuna.storages import JournalStorage
from optuna.storages.journal import BaseJournalBackend, JournalFileSymlinkLock
from optuna.storages.journal._file import BaseJournalFileLock, get_lock_file

from noisetune.errors import UserError
from noisetune.lines import Check, append_lines, cut_damaged_end, nothing, read_lines

REMEDY = (
    "put a copy of the file in its place; or keep only the lines that stand before, and "
    "`noisetune resume` runs again what those behind knew"
)


class LedgerFile(BaseJournalBackend):
    """The lines of a ledger. Reading never changes the file; `lock` is held while it is written,
    and `check` says, by what it raises, who may not.

    UserError, with file and line, for damage; but damage at the very end is not read.
    """

    def __init__(
        self,
        path: Path,
        lock: BaseJournalFileLock | None = None,
        check: Check = nothing,
    ) -> None:
        self.path, self.check, self.line = path, check, 0
        self._lock = lock or JournalFileSymlinkLock(str(path))
        self._place = 0

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:
        """The lines behind the first `log_number_from`, as Optuna asks for them."""
        if log_number_from < self.line:
            self.line = self._place = 0
        for place, record in read_lines(self.path, REMEDY, self._place):
            self.line, self._place = self.line + 1, place
            if self.line > log_number_from:
                yield record

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        with get_lock_file(self._lock):
            append_lines(self.path, logs, durable=True, check=self.check)
            # Who stood still while it wrote may have written to a file that is the ledger no more:
            # it would look for its lines in one that does not have them.
            self.check()

    def mend(self) -> None:
        """Shut out earlier writers, and cut off a damaged end, which is kept in a file beside; for
        who may write."""
        with get_lock_file(self._lock):
            cut_damaged_end(self.path, REMEDY, self.check)


def replayed(file: LedgerFile) -> JournalStorage:
    """What the lines of a ledger say, as Optuna's storage; UserError where they make no sense."""
    try:
        return JournalStorage(file)
    except UserError:
        raise
    except Exception as error:
        what = f"makes no sense ({type(error).__name__}: {error})"
        raise UserError(f"{file.path} line {file.line}: {what}; {REMEDY}") from error
