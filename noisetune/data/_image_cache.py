"""Decoded and resized images on disk: made once, then mapped into memory without reading them."""

import hashlib
import json
import logging
import os
import shutil
import uuid
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock
from torch import Tensor

from noisetune.caches import cache_folder, scratch
from noisetune.data._contents import (
    Contents,
    as_contents,
    hash_known,
    read_contents,
    state_digest,
    write_contents,
)
from noisetune.data._decoding import Form, decode_all, resize_all
from noisetune.data._pixels import ChannelSums, Statistics, content_digest, contents_of
from noisetune.errors import UserError

log = logging.getLogger(__name__)

VERSION = 2
IMAGES, CONTENTS, MANIFEST = "images.npy", "contents", "manifest.json"
DIGEST_CHARS = 32
LARGE_SET = 10_000


@dataclass(frozen=True)
class CachedImages:
    """uint8 images (N, C, H, W) over the file of the cache, and what is known of them.

    `contents` are digests of the N files, `content_hash` is that of `data.base`, `mean` and `std`
    are per channel in [0, 1] pixel units.
    """

    images: Tensor
    contents: Contents
    content_hash: str
    mean: Statistics
    std: Statistics


def default_cache() -> Path:
    return cache_folder() / "images"


def cached_images(
    files: Sequence[str], form: Form, cache: Path, where: Callable[[int], str]
) -> CachedImages:
    """The images of `files` in `form`, from the folder `cache`, where they are made if need be.

    The states of the files name a list of their contents, and these and the form name an entry
    with the images: files in a known state are not opened, and those of known content, in whatever
    files they lie, are not decoded. Entries appear at once or not at all, and one that is damaged
    is made again. Raises UserError, by `where(index)`, for files that are missing or no images,
    and for a cache that cannot be written.
    """
    states = state_digest(files, where)

    def find(folder: Path) -> CachedImages | None:
        return _find(folder / f"{states}.{CONTENTS}", form, len(files))

    def make(folder: Path) -> None:
        _make(files, form, folder / f"{states}.{CONTENTS}", where)

    return _kept(cache, states, find, make, "data.cache: the decoded images", "name another folder")


def resized_images(images: Tensor, size: tuple[int, int]) -> CachedImages:
    """uint8 images (N, C, H, W) at another size (H, W), from the usual cache, where they are made
    if need be: the shorter side resized (bilinear, antialiased) to cover it, the centre cropped.

    Raises UserError for a cache that cannot be written.
    """
    form, digests = Form(*size, images.shape[1]), contents_of(images)
    contents = as_contents(digests)

    def make(folder: Path) -> None:
        stacks = resize_all(images.numpy(), digests, form)
        _write_entry(len(images), form, folder, _entry(folder, form, contents).name, stacks)

    def find(folder: Path) -> CachedImages | None:
        return _open(_entry(folder, form, contents), form)

    name = _entry(Path(), form, contents).name
    what, instead = "data.size: the resized images", "set NOISETUNE_CACHE to another folder"
    return _kept(default_cache(), name, find, make, what, instead)


def _kept(
    cache: Path,
    name: str,
    find: Callable[[Path], CachedImages | None],
    make: Callable[[Path], None],
    what: str,
    instead: str,
) -> CachedImages:
    """What `find` finds in the folder `cache`; where that is nothing, `make` makes it, in one
    process at a time of those that want what is called `name`.

    UserError, that says `what` and what to do `instead`, for a folder that cannot be written.
    """
    found = find(cache)
    if found is not None:
        return found
    cache = scratch() or cache
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with FileLock(cache / f".{name}.lock"):
            # Another process may have made it meanwhile.
            found = find(cache)
            if found is None:
                make(cache)
                found = find(cache)
    # Not every file system can lock a file.
    except (OSError, NotImplementedError) as error:
        raise UserError(
            f"{what} cannot be kept in {cache} ({error}); make room or leave to write there, or "
            f"{instead}"
        ) from error
    if found is None:
        raise UserError(f"{what}: {cache} was written and cannot be read; look at the disk")
    return found


def _entry(cache: Path, form: Form, contents: Contents) -> Path:
    digest = hashlib.sha256(contents.tobytes()).hexdigest()[:DIGEST_CHARS]
    return cache / f"{_prefix(form)}{digest}"


def _prefix(form: Form) -> str:
    return f"v{VERSION}-{form.height}x{form.width}x{form.channels}-"


def _find(listing: Path, form: Form, count: int) -> CachedImages | None:
    contents = read_contents(listing, count)
    return None if contents is None else _open(_entry(listing.parent, form, contents), form)


class _Rows:
    """The images of all entries of a form, by the contents of their files."""

    def __init__(self, cache: Path, form: Form) -> None:
        opened = (_open(place, form) for place in sorted(cache.glob(f"{_prefix(form)}*")))
        self.entries = [entry for entry in opened if entry is not None]
        contents = [entry.contents for entry in self.entries]
        every = np.concatenate([as_contents([]), *contents])
        self.ends = np.cumsum([len(part) for part in contents])
        self.order = np.argsort(every)
        self.ordered = every[self.order]

    def known(self, content: bytes) -> bool:
        return self._place(content) is not None

    def row(self, content: bytes) -> np.ndarray | None:
        """uint8 (C, H, W); None for a content that no entry has."""
        place = self._place(content)
        if place is None:
            return None
        entry = int(np.searchsorted(self.ends, place, side="right"))
        return self.entries[entry].images[place - int(self.ends[entry])].numpy()

    def _place(self, content: bytes) -> int | None:
        wanted = as_contents([content])
        at = int(np.searchsorted(self.ordered, wanted)[0])
        return int(self.order[at]) if np.array_equal(self.ordered[at : at + 1], wanted) else None


def _make(files: Sequence[str], form: Form, listing: Path, where: Callable[[int], str]) -> None:
    """List the contents of `files`, and write their entry where there is none."""
    cache, rows = listing.parent, _Rows(listing.parent, form)
    hashed = hash_known(files, rows.known) if rows.entries else None
    contents = None if hashed is None else as_contents(hashed)
    if contents is None or _open(_entry(cache, form, contents), form) is None:
        stacks = decode_all(files, form, where, rows.row)
        contents = _write_entry(len(files), form, cache, listing.stem, stacks)
    write_contents(listing, contents)


def _write_entry(
    count: int,
    form: Form,
    cache: Path,
    name: str,
    stacks: Iterator[tuple[np.ndarray, list[bytes]]],
) -> Contents:
    """Write an entry of so many images beside its place, then move it there; returns the contents
    that they were made of. `name` is the caller's, who is the only one to use it meanwhile."""
    shape = (count, *form.shape)
    for torn in cache.glob(f".{name}.*.part"):
        shutil.rmtree(torn, ignore_errors=True)
    _require_room(cache, int(np.prod(shape)))
    if count >= LARGE_SET:
        log.info("making %d images once, into %s", count, cache)
    part = cache / f".{name}.{uuid.uuid4().hex}.part"
    part.mkdir()
    try:
        known, contents = _write_images(part / IMAGES, shape, stacks)
        known["file"] = _state(part / IMAGES)
        write_contents(part / CONTENTS, contents)
        manifest = json.dumps({"known": known, "check": _check(known)}, indent=1)
        (part / MANIFEST).write_text(manifest, encoding="utf-8")
        _publish(part, _entry(cache, form, contents), form)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return contents


def _publish(part: Path, place: Path, form: Form) -> None:
    # Files elsewhere may hold the same images, and be decoded at the same time.
    with FileLock(place.parent / ".publish.lock"):
        if _open(place, form) is None:
            shutil.rmtree(place, ignore_errors=True)
            part.rename(place)


def _open(place: Path, form: Form) -> CachedImages | None:
    """The entry at `place`; None where there is none, or not as it was written."""
    try:
        manifest = json.loads((place / MANIFEST).read_text(encoding="utf-8"))
        known = manifest["known"]
        # Neither is the file read here nor can a write through the map reach it.
        array = np.load(place / IMAGES, mmap_mode="r", allow_pickle=False)
        whole = manifest["check"] == _check(known) and known["file"] == _state(place / IMAGES)
        contents = read_contents(place / CONTENTS, len(array))
    # NumPy reads a header as Python, whose parser fails in ways of its own.
    except Exception:
        return None
    if not whole or contents is None or _entry(place.parent, form, contents) != place:
        return None
    if array.shape[1:] != form.shape or array.dtype != np.uint8:
        return None
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        images = torch.from_numpy(array)
    mean, std = tuple(known["mean"]), tuple(known["std"])
    return CachedImages(images, contents, known["hash"], mean, std)


def _write_images(
    file: Path, shape: tuple[int, ...], stacks: Iterator[tuple[np.ndarray, list[bytes]]]
) -> tuple[dict[str, Any], Contents]:
    """What is known of the images that were written, and the contents of their files."""
    contents: list[bytes] = []
    digest, sums = content_digest(np.dtype(np.uint8), shape), ChannelSums.none(shape[1])
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    with file.open("wb") as target:
        np.lib.format.write_array_header_1_0(target, header)
        for stack, digests in stacks:
            contents += digests
            target.write(stack.data)
            digest.update(stack.reshape(-1).data)
            sums += ChannelSums.of(torch.from_numpy(stack))
        target.flush()
        os.fsync(target.fileno())
    mean, std = sums.statistics()
    known = {"hash": digest.hexdigest()[:DIGEST_CHARS], "mean": mean, "std": std}
    return known, as_contents(contents)


def _require_room(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise OSError(f"{needed / 1e9:.1f} GB are needed, {free / 1e9:.1f} GB are free")


def _state(file: Path) -> list[int]:
    status = file.stat()
    return [status.st_size, status.st_mtime_ns]


def _check(known: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()
