"""What a person does to a store: list it, verify it, make room in it."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from . import lease as leases
from .artifact import DamagedError, read_manifest
from .backend import MANIFEST, TEMPORARY, Backend
from .entries import (
    DAMAGED,
    entry_folder,
    is_published,
    key_folder,
    key_folders,
    read_entry,
    refuse_unfinished,
    step_folders,
)

STALE_SECONDS = 3600.0


@dataclass(frozen=True)
class EntryInfo:
    """A published entry. Times are Unix times: `made` by its maker's clock, `used` the store's."""

    stage: str
    digest: str
    step: int
    bytes: int
    made: float
    used: float
    version: int
    inputs: dict[str, Any]
    made_by: dict[str, Any]


@dataclass(frozen=True)
class VerifyReport:
    """How many entries were read, and the damaged ones, now set aside: path -> reason."""

    checked: int
    damaged: dict[str, str]


@dataclass(frozen=True)
class GcReport:
    """What was evicted, how many leftover folders went too, and the bytes that remain."""

    removed: list[EntryInfo]
    leftovers: int
    bytes_freed: int
    bytes_kept: int


def entries(backend: Backend) -> Iterator[EntryInfo]:
    """Every published entry, in the order of stage, digest and step."""
    for folder in key_folders(backend):
        for step in step_folders(backend, folder):
            if (info := _info(backend, folder, step)) is not None:
                yield info


def _info(backend: Backend, folder: str, step: int) -> EntryInfo | None:
    path = f"{entry_folder(folder, step)}/{MANIFEST}"
    try:
        sealed, used = backend.read(path), backend.touched(path)
        manifest = read_manifest(sealed)
    except (FileNotFoundError, DamagedError):
        return None
    size = len(sealed) + sum(file["bytes"] for file in manifest["files"].values())
    facts = {name: manifest[name] for name in ("made", "version", "inputs", "made_by")}
    stage, _, digest = folder.split("/")
    return EntryInfo(stage=stage, digest=digest, step=step, bytes=size, used=used, **facts)


def verify(backend: Backend) -> VerifyReport:
    """Read every entry. What is damaged or unfinished is set aside, so it is made again."""
    checked, damaged = 0, {}
    for folder in key_folders(backend):
        for step in step_folders(backend, folder):
            checked += 1
            try:
                if read_entry(backend, folder, step) is None:
                    refuse_unfinished(backend, folder, step)
            except DamagedError as problem:
                damaged[entry_folder(folder, step)] = str(problem)
    return VerifyReport(checked, damaged)


def gc(backend: Backend, max_bytes: int, ttl: float) -> GcReport:
    """Evict the longest unused entries until at most `max_bytes` of them remain.

    Entries of a key under a live lease stay. What was set aside, and temporary folders that
    nothing was written to for an hour, go in any case. An entry whose key is leased while it is
    being removed is simply absent for the new owner.
    """
    leftovers = [*_leftovers(backend)]
    freed = sum(_remove(backend, path) for path in leftovers)
    oldest_first = sorted(entries(backend), key=lambda info: info.used)
    kept, removed = sum(info.bytes for info in oldest_first), []
    for info in oldest_first:
        folder = key_folder(info.stage, info.digest)
        if kept > max_bytes and leases.holder(backend, folder) is None:
            backend.remove(entry_folder(folder, info.step))
            kept -= info.bytes
            removed.append(info)
    for folder in [*key_folders(backend)]:
        _remove_if_empty(backend, folder, ttl)
    freed += sum(info.bytes for info in removed)
    return GcReport(removed, len(leftovers), freed, kept)


def _leftovers(backend: Backend) -> Iterator[str]:
    """What was set aside, what a dead process was writing, and entries without a manifest."""
    for name in backend.names(DAMAGED):
        yield f"{DAMAGED}/{name}"
    for name in backend.names(TEMPORARY):
        with suppress(FileNotFoundError):
            if backend.now() - backend.touched(f"{TEMPORARY}/{name}") > STALE_SECONDS:
                yield f"{TEMPORARY}/{name}"
    for folder in key_folders(backend):
        steps = (entry_folder(folder, step) for step in step_folders(backend, folder))
        unfinished = [entry for entry in steps if not is_published(backend, entry)]
        if unfinished and leases.holder(backend, folder) is None:
            yield from unfinished


def _remove(backend: Backend, path: str) -> int:
    size = backend.size(path)
    backend.remove(path)
    return size


def _remove_if_empty(backend: Backend, folder: str, ttl: float) -> None:
    """A key's folder without entries goes, under a lease, so that nobody publishes into it."""
    if step_folders(backend, folder):
        return
    # a disk without room for a lease keeps the folder until the next time
    with suppress(OSError):
        lease = leases.claim(backend, folder, ttl)
        if lease is None:
            return
        with lease:
            if not step_folders(backend, folder):
                backend.remove(folder)
