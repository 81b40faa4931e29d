"""Keeps the store under a sweep's size limit while it runs."""

import time

from noisetune.records import MetricPoint, TrialRecord, TrialResult
from noisetune.store import StoreLike

SECONDS_BETWEEN = 30.0


class StoreLimit:
    """Watches a sweep; when trials end, evicts what was not used for longest, once in a while."""

    def __init__(self, store: StoreLike, limit: int) -> None:
        self.store, self.limit = store, limit
        self._last = -SECONDS_BETWEEN

    def started(self, trial: TrialRecord) -> None:
        pass

    def point(self, trial: TrialRecord, point: MetricPoint) -> None:
        pass

    def ended(self, trial: TrialRecord, result: TrialResult | None) -> None:
        if time.monotonic() - self._last >= SECONDS_BETWEEN:
            self.store.gc(self.limit)
            self._last = time.monotonic()
