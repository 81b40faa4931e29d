"""Where entries lie in a store, and how to read one: intact, absent, or damaged and set aside."""

import json
import logging
import re
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TypeVar

from . import lease as leases
from .artifact import DamagedError, checked_files, read_manifest
from .backend import MANIFEST, Backend
from .keys import STAGE_NAME

log = logging.getLogger(__name__)

Taken = TypeVar("Taken")

DAMAGED = ".damaged"
STEP_FOLDER = re.compile(r"step-(\d{6,})")


def key_folder(stage: str, digest: str) -> str:
    return f"{stage}/{digest[:2]}/{digest}"


def entry_folder(folder: str, step: int) -> str:
    """The folder of one step below a key's folder. ValueError: a step below 0."""
    if step < 0:
        raise ValueError(f"step {step}: a step counts epochs done and is at least 0")
    return f"{folder}/step-{step:06d}"


def key_folders(backend: Backend) -> Iterator[str]:
    for stage in filter(STAGE_NAME.fullmatch, backend.names("")):
        for prefix in backend.names(stage):
            for digest in backend.names(f"{stage}/{prefix}"):
                yield key_folder(stage, digest)


def step_folders(backend: Backend, folder: str) -> list[int]:
    """The steps of a key that have a folder, ascending, published or not."""
    found = (STEP_FOLDER.fullmatch(name) for name in backend.names(folder))
    return sorted(int(match[1]) for match in found if match)


def is_published(backend: Backend, entry: str) -> bool:
    return backend.exists(f"{entry}/{MANIFEST}")


def read_entry(backend: Backend, folder: str, step: int) -> dict[str, bytes] | None:
    """An entry's verified files, by name; None when it is absent.

    DamagedError: its checksums do not hold, and it now stands aside.
    """
    return _taken(backend, folder, step, dict)


def is_intact(backend: Backend, folder: str, step: int) -> bool:
    """Whether an entry is there and its checksums hold; no more than a file of it is in memory.

    DamagedError, as `read_entry`.
    """
    return _taken(backend, folder, step, lambda files: [name for name, _ in files]) is not None


def _taken(
    backend: Backend,
    folder: str,
    step: int,
    take: Callable[[Iterator[tuple[str, bytes]]], Taken],
) -> Taken | None:
    entry = entry_folder(folder, step)
    if (sealed := _sealed(backend, entry)) is None:
        return None
    try:
        manifest = read_manifest(sealed)
        if (manifest["digest"], manifest["step"]) != (folder.rsplit("/", 1)[1], step):
            raise DamagedError(f"it is step {manifest['step']} of {manifest['digest']}")
        return take(checked_files(backend, entry, manifest))
    except DamagedError as problem:
        if _set_aside(backend, entry, sealed, str(problem)):
            raise
        return None


def refuse_unfinished(backend: Backend, folder: str, step: int) -> None:
    """DamagedError: the step has a folder without a manifest that nobody is writing (set aside)."""
    entry, reason = entry_folder(folder, step), f"{MANIFEST} is missing"
    if (
        _sealed(backend, entry) is None
        and leases.holder(backend, folder) is None
        and _set_aside(backend, entry, None, reason)
    ):
        raise DamagedError(reason)


def _sealed(backend: Backend, entry: str) -> bytes | None:
    try:
        return backend.read(f"{entry}/{MANIFEST}")
    except FileNotFoundError:
        return None


def _set_aside(backend: Backend, entry: str, sealed: bytes | None, reason: str) -> bool:
    """Move an entry away; False: it was evicted or published anew while it was being read."""
    target = f"{DAMAGED}/{entry.replace('/', '-')}-{uuid.uuid4().hex[:8]}"
    try:
        if _sealed(backend, entry) != sealed:
            return False
        backend.move(entry, target)
    except FileNotFoundError:
        return False
    with suppress(OSError):
        backend.create(f"{target}/reason.json", json.dumps({"reason": reason}).encode())
    log.warning("stored %s is damaged (%s): set aside as %s", entry, reason, target)
    return True
