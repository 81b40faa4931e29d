"""Keeps the store under a sweep's size limit while it runs."""

import time

from noisetune.records import MetricPoint, TrialRecord, TrialResult
from noisetune.store import StoreLike

SECONDS_BETWEEN = 30.0


class StoreLimit:
    """Watches a sweep; when a trial ends, evicts what was not used for longest, down to `limit`
    bytes, at most twice a minute."""

    def __init__(self, store: StoreLike, limit: int) -> None:
        self.store, self.limit = store, limit
        self._last = -SECONDS_BETWEEN

    def started(self, trial: TrialRecord) -> None:
        pass

    def point(self, trial: TrialRecord, point: MetricPoint) -> None:
        pass

    def ended(self, trial: TrialRecord, result: TrialResult | None) -> None:
        """Look at the size of the store, unless that was done a moment ago."""
        if time.monotonic() - self._last >= SECONDS_BETWEEN:
            self.store.gc(self.limit)
            self._last = time.monotonic()
