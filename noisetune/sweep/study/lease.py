"""One driver to a sweep: a lease on its folder, and a ledger that only its holder can write.

The number of the lease is the driver's epoch: it rises with each take-over, and a driver that was
taken over finds a higher one and may not write any more.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from optuna.storages import BaseStorage
from optuna.storages.journal import JournalFileOpenLock

from noisetune.errors import UserError
from noisetune.files import refused
from noisetune.store import FolderLeases, Lease, LeaseInfo
from noisetune.sweep.home import Home
from noisetune.sweep.study.ledger_file import LedgerFile, replayed

FOLDER, OPTION = "driver", "--mlruns"
ATTEMPTS = 5


def claim_sweep(home: Home, name: str) -> Lease:
    """The right to drive a sweep; UserError where another process does.

    That of a process that died on this host is taken over at once, that of another host's when
    its heartbeat stops.
    """
    for _ in range(ATTEMPTS):
        leases = FolderLeases(home.sweep(name), option=OPTION)
        lease = leases.claim(FOLDER)
        if lease is not None:
            return lease
        holder = leases.holder(FOLDER)
        if holder is not None:
            break
        # One that did not come to begin has just taken its folder away.
    raise UserError(
        f"sweep {name!r} is being run by {holder or 'another process'}; wait for it, or stop it "
        "(Ctrl-C) and try again"
    )


@contextmanager
def sweep_lease(home: Home, name: str) -> Iterator[Lease]:
    """The right to drive a sweep, held; one that does not come to begin leaves no folder.

    Of what others have begun there in the meantime it removes nothing.
    """
    folders = home.sweep(name), home.sweep(name).parent, home.root
    new = [folder for folder in folders if not folder.exists()]
    with claim_sweep(home, name) as lease:
        try:
            yield lease
        finally:
            if home.sweep(name) in new and name not in home.names():
                with suppress(OSError, UserError):
                    _discard(home, name, lease, new)


def _discard(home: Home, name: str, lease: Lease, new: Sequence[Path]) -> None:
    """Remove the `new` folders of a sweep, unless another process has come to it."""
    if FolderLeases(home.sweep(name), option=OPTION).discard(lease):
        home.log(name).unlink(missing_ok=True)
        for folder in new:
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
