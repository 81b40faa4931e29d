"""One driver to a sweep: a lease on its folder, and a ledger that only its holder can write.

The number of the lease is the driver's epoch: it rises with each take-over, and a driver that was
taken over finds a higher one and may not write any more.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from optuna.storages import BaseStorage
from optuna.storages.journal import JournalFileOpenLock

from noisetune.errors import UserError
from noisetune.files import refused
from noisetune.store import FolderLeases, Lease, LeaseInfo
from noisetune.sweep.home import Home
from noisetune.sweep.study.ledger_file import LedgerFile, replayed

FOLDER = "driver"


def claim_sweep(home: Home, name: str) -> Lease:
    """The right to drive a sweep; UserError where another process does.

    That of a process that died on this host is taken over at once, that of another host's when
    its heartbeat stops.
    """
    leases = FolderLeases(home.sweep(name), option="--mlruns")
    lease = leases.claim(FOLDER)
    if lease is None:
        raise UserError(
            f"sweep {name!r} is being run by {leases.holder(FOLDER)}; wait for it, or stop it "
            "(Ctrl-C) and try again"
        )
    return lease


@contextmanager
def sweep_lease(home: Home, name: str) -> Iterator[Lease]:
    """The right to drive a sweep, held; one that does not come to begin leaves no folder."""
    folders = home.sweep(name), home.sweep(name).parent, home.root
    new = [folder for folder in folders if not folder.exists()]
    with claim_sweep(home, name) as lease:
        try:
            yield lease
        finally:
            if home.sweep(name) in new and name not in home.names():
                shutil.rmtree(home.sweep(name), ignore_errors=True)
                for folder in new[1:]:
                    with suppress(OSError):
                        folder.rmdir()


def driver_of(home: Home, name: str) -> LeaseInfo | None:
    """Who drives a sweep at the moment; None where nobody does, or that cannot be seen."""
    if not (home.sweep(name) / FOLDER).is_dir():
        return None
    with suppress(UserError, OSError):
        return FolderLeases(home.sweep(name)).holder(FOLDER)
    return None


class _Lock(JournalFileOpenLock):
    """The journal's lock; that it is gone is no error: a driver that took over has removed it."""

    def release(self) -> None:
        with suppress(RuntimeError):
            super().release()


def own_journal(path: Path, lease: Lease) -> BaseStorage:
    """The ledger file for the driver that holds `lease`; any other's writes raise LeaseLost.

    What a killed driver left half done is put right first: its lock, and a damaged end. One that
    only stood still writes to a file that is the ledger no more.
    """
    lease.check()
    lock = path.with_name(path.name + ".lock")
    with refused("lock", lock, "be removed", "move it away"):
        lock.unlink(missing_ok=True)
    file = LedgerFile(path, _Lock(str(path)), lease.check)
    file.mend()
    return replayed(file)
