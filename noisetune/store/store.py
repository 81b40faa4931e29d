"""The content-addressed store of pipeline stages, shared by trials, sweeps and hosts.

ROOT/<stage>/<digest[:2]>/<digest>/key.json
                                  /lease-000001.json
                                  /step-000025/{tensors.safetensors, record.json, manifest.json}
ROOT/.damaged/   what failed its checksum, with the reason
ROOT/.tmp/       what is being written or removed

One key holds an entry per step, because with a horizon-free schedule 10, 25 and 50 epochs are
checkpoints of one run. An entry is there when its manifest is. Reads take no lock.
"""

import errno
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol, Self

from noisetune.errors import MachineError

from . import lease as leases
from . import upkeep
from .artifact import Artifact, DamagedError, map_files, pack, unpack, write_manifest
from .backend import MANIFEST, Backend
from .entries import (
    entry_folder,
    is_intact,
    is_published,
    key_folder,
    read_entry,
    step_folders,
)
from .folder import Folder
from .keys import StageKey, encode
from .lease import TTL_SECONDS, Lease, LeaseInfo
from .objects import Objects
from .upkeep import EntryInfo, GcReport, VerifyReport

LEASE_BYTES = 1024


class StoreFull(MachineError, OSError):  # noqa: N818
    """No room for what was to be written. Nothing of it is left."""

    errno = errno.ENOSPC


class StoreLike(Protocol):
    """What a pipeline asks of a store; the promises stand at `Store`."""

    def steps(self, key: StageKey) -> Sequence[int]: ...
    def load(self, key: StageKey, step: int) -> Artifact | None: ...
    def mapped(self, key: StageKey, step: int) -> Artifact | None: ...
    def latest(self, key: StageKey, at_most: int) -> tuple[int, Artifact] | None: ...
    def publish(self, key: StageKey, step: int, artifact: Artifact, lease: Lease) -> None: ...
    def drop(self, key: StageKey, step: int) -> None: ...
    def lease(self, key: StageKey) -> Lease | None: ...
    def holder(self, key: StageKey) -> LeaseInfo | None: ...
    def list(self) -> Iterator[EntryInfo]: ...
    def verify(self) -> VerifyReport: ...
    def gc(self, max_bytes: int) -> GcReport: ...


class Store:
    """Stages by key and step. Safe to use from many processes and hosts at once."""

    def __init__(
        self, backend: Backend, git_sha: str | None = None, ttl: float = TTL_SECONDS
    ) -> None:
        self.backend = backend
        self.git_sha = git_sha
        self.ttl = ttl

    @classmethod
    def open(
        cls,
        url: str | Path,
        *,
        git_sha: str | None = None,
        ttl: float = TTL_SECONDS,
        option: str = "store",
    ) -> Self:
        """A folder, or any fsspec URL; `git_sha` is recorded, `ttl` (seconds) is the leases'.

        `option` is what the user named it by: what is wrong with it begins so.
        UserError: the folder cannot be made, or the URL's protocol is unknown.
        """
        return cls(_backend(url, option), git_sha, ttl)

    @property
    def url(self) -> str:
        return self.backend.url

    def steps(self, key: StageKey) -> Sequence[int]:
        """The published steps of a key, ascending."""
        folder = _folder(key)
        return [
            step
            for step in step_folders(self.backend, folder)
            if is_published(self.backend, entry_folder(folder, step))
        ]

    def load(self, key: StageKey, step: int) -> Artifact | None:
        """An entry whose checksums hold; None when it is absent or damaged (then set aside)."""
        folder = _folder(key)
        try:
            files = read_entry(self.backend, folder, step)
        except DamagedError:
            return None
        if files is None:
            return None
        with suppress(OSError):
            self.backend.touch(f"{entry_folder(folder, step)}/{MANIFEST}")
        return unpack(files)

    def mapped(self, key: StageKey, step: int) -> Artifact | None:
        """As `load`, with tensors that lie over the entry's file, as the processes of a host share
        it; None where this store has no files to map, too."""
        folder = _folder(key)
        place = self.backend.place(entry_folder(folder, step))
        # It may be evicted while it is looked at.
        with suppress(DamagedError, FileNotFoundError):
            if place is not None and is_intact(self.backend, folder, step):
                self.backend.touch(f"{entry_folder(folder, step)}/{MANIFEST}")
                return map_files(place)
        return None

    def latest(self, key: StageKey, at_most: int) -> tuple[int, Artifact] | None:
        """The nearest usable entry at or below a step."""
        for step in reversed(self.steps(key)):
            if step <= at_most and (artifact := self.load(key, step)) is not None:
                return step, artifact
        return None

    def publish(self, key: StageKey, step: int, artifact: Artifact, lease: Lease) -> None:
        """Make an entry appear, whole or not at all. A step that is there already stays.

        LeaseLost: the lease no longer stands; a new one, if granted, may publish. StoreFull: no
        room, nothing is left behind. ValueError: the lease is another key's, or the record holds
        what JSON cannot say.
        """
        folder = _folder(key)
        if lease.folder != folder:
            raise ValueError(f"a lease on {lease.folder} does not allow to publish {folder}")
        lease.check()
        entry = entry_folder(folder, step)
        if is_published(self.backend, entry):
            return
        identity = {"stage": key.stage, "version": key.version, "inputs": key.inputs}
        made_by = {"host": lease.owner.host, "pid": lease.owner.pid, "git_sha": self.git_sha}
        facts = {"digest": key.digest, "step": step, "made": time.time(), "made_by": made_by}
        files = pack(artifact)
        files[MANIFEST] = write_manifest(files, {**identity, **facts})
        with self._room(sum(map(len, files.values()))):
            self.backend.create(f"{folder}/key.json", encode(identity))
            self.backend.commit(entry, files, lease.check)

    def drop(self, key: StageKey, step: int) -> None:
        """Remove an entry that nobody needs any more, such as an intermediate checkpoint."""
        self.backend.remove(entry_folder(_folder(key), step))

    def lease(self, key: StageKey) -> Lease | None:
        """The right to compute a key; None: somebody else holds a live lease (see `holder`)."""
        with self._room(LEASE_BYTES):
            return leases.claim(self.backend, _folder(key), self.ttl)

    def holder(self, key: StageKey) -> LeaseInfo | None:
        """Who computes a key right now."""
        return leases.holder(self.backend, _folder(key))

    def list(self) -> Iterator[EntryInfo]:
        """Every published entry, in the order of stage, digest and step."""
        return upkeep.entries(self.backend)

    def verify(self) -> VerifyReport:
        """Read every entry; what is damaged or unfinished is set aside, so it is made again."""
        return upkeep.verify(self.backend)

    def gc(self, max_bytes: int) -> GcReport:
        """Evict the longest unused entries that no live lease uses, down to `max_bytes`.

        What was set aside and stale temporary folders go in any case.
        """
        with self._room(0):
            return upkeep.gc(self.backend, max_bytes, self.ttl)

    @contextmanager
    def _room(self, needed: int) -> Iterator[None]:
        """Say of a full disk what a person can do about it."""
        try:
            yield
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            free = self.backend.free()
            left = "" if free is None else f", {free / 1e6:.1f} MB are free"
            raise StoreFull(
                f"the store {self.url} is full: {needed / 1e6:.1f} MB are needed{left}; make room "
                "with `noisetune store gc`, or name a store on a larger disk"
            ) from error


class NullStore:
    """A store that shares nothing: it finds nothing, grants every lease and keeps nothing."""

    def steps(self, key: StageKey) -> Sequence[int]:
        return []

    def load(self, key: StageKey, step: int) -> Artifact | None:
        return None

    def mapped(self, key: StageKey, step: int) -> Artifact | None:
        return None

    def latest(self, key: StageKey, at_most: int) -> tuple[int, Artifact] | None:
        return None

    def publish(self, key: StageKey, step: int, artifact: Artifact, lease: Lease) -> None:
        lease.check()

    def drop(self, key: StageKey, step: int) -> None:
        pass

    def lease(self, key: StageKey) -> Lease | None:
        return Lease(_folder(key), LeaseInfo.mine(TTL_SECONDS))

    def holder(self, key: StageKey) -> LeaseInfo | None:
        return None

    def list(self) -> Iterator[EntryInfo]:
        return iter(())

    def verify(self) -> VerifyReport:
        return VerifyReport(0, {})

    def gc(self, max_bytes: int) -> GcReport:
        return GcReport([], 0, 0, 0)


class ReadOnly(NullStore):
    """What is in a store, for who computes nothing: a lease is granted to nobody."""

    def __init__(self, store: StoreLike) -> None:
        self._store = store

    def steps(self, key: StageKey) -> Sequence[int]:
        return self._store.steps(key)

    def load(self, key: StageKey, step: int) -> Artifact | None:
        return self._store.load(key, step)

    def mapped(self, key: StageKey, step: int) -> Artifact | None:
        return self._store.mapped(key, step)

    def latest(self, key: StageKey, at_most: int) -> tuple[int, Artifact] | None:
        return self._store.latest(key, at_most)

    def lease(self, key: StageKey) -> Lease | None:
        return None


def _backend(url: str | Path, option: str) -> Backend:
    """A path or file:// URL is a folder, any other URL goes to fsspec."""
    text = str(url).removeprefix("file://")
    return Objects(text, option) if "://" in text else Folder(Path(text), option)


def _folder(key: StageKey) -> str:
    return key_folder(key.stage, key.digest)
