"""Where things are kept that only save time: no result depends on them."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from tempfile import TemporaryDirectory

_SCRATCH: ContextVar[Path | None] = ContextVar("scratch", default=None)


def cache_folder() -> Path:
    """$NOISETUNE_CACHE, else `noisetune` in the user's cache folder."""
    if given := os.environ.get("NOISETUNE_CACHE"):
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "noisetune"


@contextmanager
def nothing_kept() -> Iterator[Path]:
    """What is kept is read inside, and nothing is added: that goes to this folder, which is
    removed."""
    with TemporaryDirectory(prefix="noisetune-") as folder:
        before = _SCRATCH.set(Path(folder))
        try:
            yield Path(folder)
        finally:
            _SCRATCH.reset(before)


def scratch() -> Path | None:
    """Where to put what would be added to a cache; None: where it belongs."""
    return _SCRATCH.get()
