"""Leases on plain names, for what is no stage."""

from pathlib import Path

from .folder import Folder
from .lease import TTL_SECONDS, Lease, LeaseInfo, claim, forget, holder


class FolderLeases:
    """Leases on names in a folder, for what is no stage: one process at a time holds each.

    `option` is what named the folder: what is wrong with it begins so.
    """

    def __init__(self, root: Path, ttl: float = TTL_SECONDS, option: str = "store") -> None:
        self.backend, self.ttl = Folder(root, option), ttl

    def claim(self, name: str) -> Lease | None:
        """The lease on a name; None where somebody else holds a live one."""
        return claim(self.backend, name, self.ttl)

    def holder(self, name: str) -> LeaseInfo | None:
        """Who holds a name right now."""
        return holder(self.backend, name)

    def discard(self, lease: Lease) -> bool:
        """Give a lease back, and remove the folder of its name. False: another process has held the
        name since, or holds it now, and the folder stays; however long this one stood still."""
        forget(self.backend, lease)
        try:
            (self.backend.root / lease.folder).rmdir()
        except OSError:
            return False
        self.backend.clear()
        return True
