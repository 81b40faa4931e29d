"""Decoded images on disk: made once, then mapped into memory without reading them."""

import hashlib
import json
import logging
import os
import shutil
import stat
import uuid
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock
from torch import Tensor

from noisetune.caches import cache_folder
from noisetune.data._decoding import Form, decode_all
from noisetune.data._listing import refuse
from noisetune.data.base import ChannelSums, Statistics, content_digest
from noisetune.errors import UserError

log = logging.getLogger(__name__)

VERSION = 1
IMAGES, MANIFEST = "images.npy", "manifest.json"
DIGEST_CHARS = 32
STAT_THREADS, STATS_AT_ONCE = 8, 4096
LARGE_SET = 10_000


@dataclass(frozen=True)
class CachedImages:
    """uint8 images (N, C, H, W) over the file of the cache, and what is known of them.

    `content_hash` is that of `data.base`, `mean` and `std` are per channel in [0, 1] pixel units.
    """

    images: Tensor
    content_hash: str
    mean: Statistics
    std: Statistics


def default_cache() -> Path:
    return cache_folder() / "images"


def cached_images(
    files: Sequence[str], form: Form, cache: Path, where: Callable[[int], str]
) -> CachedImages:
    """The images of `files` in `form`, from the folder `cache`, where they are made if need be.

    An entry is named by paths, sizes and times of the files and by the form, so that a changed
    file makes another one; it appears at once or not at all, and one that is damaged is made
    again. Raises UserError, by `where(index)`, for files that are missing or no images, and for a
    cache that cannot be written.
    """
    place = cache / _digest(files, form, where)
    shape = (len(files), *form.shape)
    found = _open(place, shape)
    if found is not None:
        return found
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with FileLock(cache / f".{place.name}.lock"):
            # Another process may have made it meanwhile.
            found = _open(place, shape)
            if found is None:
                _make(place, shape, decode_all(files, form, where))
                found = _open(place, shape)
    # Not every file system can lock a file.
    except (OSError, NotImplementedError) as error:
        raise UserError(
            f"data.cache: the decoded images cannot be kept in {cache} ({error}); make room or "
            "leave to write there, or name another folder"
        ) from error
    if found is None:
        raise UserError(f"data.cache: {place} was written and cannot be read; look at the disk")
    return found


def _digest(files: Sequence[str], form: Form, where: Callable[[int], str]) -> str:
    """The name of the entry; UserError for files that are missing."""
    starts = range(0, len(files), STATS_AT_ONCE)
    with ThreadPoolExecutor(STAT_THREADS, "noisetune-stat") as pool:
        parts = pool.map(lambda start: _states(files[start : start + STATS_AT_ONCE]), starts)
        states = [state for part in parts for state in part]
    problems = [f"{where(i)}: {state}" for i, state in enumerate(states) if isinstance(state, str)]
    refuse(problems, "data: the files must be there; mend the list, or data.root")
    digest = hashlib.sha256(repr((VERSION, form)).encode())
    for file, state in zip(files, states, strict=True):
        digest.update(f"{file}\0{state}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()[:DIGEST_CHARS]


def _states(files: Sequence[str]) -> list[tuple[int, int] | str]:
    """Size and time of each file, or what is wrong with it."""
    states: list[tuple[int, int] | str] = []
    for file in files:
        try:
            status = os.stat(file)
        except (OSError, ValueError) as error:
            states.append(f"cannot be found ({getattr(error, 'strerror', None) or error})")
            continue
        is_file = stat.S_ISREG(status.st_mode)
        states.append((status.st_size, status.st_mtime_ns) if is_file else "is no file")
    return states


def _open(place: Path, shape: tuple[int, ...]) -> CachedImages | None:
    """The entry at `place`; None where there is none, or not as it was written."""
    try:
        manifest = json.loads((place / MANIFEST).read_text(encoding="utf-8"))
        known = manifest["known"]
        # Neither is the file read here nor can a write through the map reach it.
        array = np.load(place / IMAGES, mmap_mode="r", allow_pickle=False)
        whole = manifest["check"] == _check(known) and known["file"] == _state(place / IMAGES)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if not whole or array.shape != shape or array.dtype != np.uint8:
        return None
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        images = torch.from_numpy(array)
    return CachedImages(images, known["hash"], tuple(known["mean"]), tuple(known["std"]))


def _make(place: Path, shape: tuple[int, ...], stacks: Iterator[np.ndarray]) -> None:
    """Write an entry beside its place, then move it there."""
    for torn in place.parent.glob(f".{place.name}.*.part"):
        shutil.rmtree(torn, ignore_errors=True)
    _require_room(place.parent, int(np.prod(shape)))
    if shape[0] >= LARGE_SET:
        log.info("decoding %d images once, into %s", shape[0], place)
    part = place.with_name(f".{place.name}.{uuid.uuid4().hex}.part")
    part.mkdir()
    try:
        known = _write_images(part / IMAGES, shape, stacks)
        known["file"] = _state(part / IMAGES)
        manifest = json.dumps({"known": known, "check": _check(known)}, indent=1)
        (part / MANIFEST).write_text(manifest, encoding="utf-8")
        shutil.rmtree(place, ignore_errors=True)
        part.rename(place)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _write_images(
    file: Path, shape: tuple[int, ...], stacks: Iterator[np.ndarray]
) -> dict[str, Any]:
    digest, sums = content_digest(np.dtype(np.uint8), shape), ChannelSums.none(shape[1])
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    with file.open("wb") as target:
        np.lib.format.write_array_header_1_0(target, header)
        for stack in stacks:
            target.write(stack.data)
            digest.update(stack.reshape(-1).data)
            sums += ChannelSums.of(torch.from_numpy(stack))
        target.flush()
        os.fsync(target.fileno())
    mean, std = sums.statistics()
    return {"hash": digest.hexdigest()[:DIGEST_CHARS], "mean": mean, "std": std}


def _require_room(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise OSError(f"{needed / 1e9:.1f} GB are needed, {free / 1e9:.1f} GB are free")


def _state(file: Path) -> list[int]:
    status = file.stat()
    return [status.st_size, status.st_mtime_ns]


def _check(known: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()
