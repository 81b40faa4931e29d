"""Where things are kept that only save time: no result depends on them."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """$NOISETUNE_CACHE, else `noisetune` in the user's cache folder."""
    if given := os.environ.get("NOISETUNE_CACHE"):
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "noisetune"
