"""Keeps the store under a sweep's size limit while it runs."""

import time

from noisetune.records import TrialRecord
from noisetune.store import StoreLike
from noisetune.sweep.study.watcher import Watcher

SECONDS_BETWEEN = 30.0


class StoreLimit(Watcher):
    """Watches a sweep; when a trial ends, evicts what was not used for longest, down to `limit`
    bytes, at most twice a minute."""

    def __init__(self, store: StoreLike, limit: int) -> None:
        self.store, self.limit = store, limit
        self._last = -SECONDS_BETWEEN

    def ended(self, trial: TrialRecord) -> None:
        """Look at the size of the store, unless that was done a moment ago."""
        if time.monotonic() - self._last >= SECONDS_BETWEEN:
            self.store.gc(self.limit)
            self._last = time.monotonic()
