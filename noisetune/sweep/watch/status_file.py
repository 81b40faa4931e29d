"""The small file in a sweep's folder that says what its driver knows."""

import json
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path

from noisetune.records import MetricPoint, TrialRecord
from noisetune.sweep.study.watcher import Watcher
from noisetune.sweep.watch.progress import Progress

WRITE_SECONDS, LONGEST = 1.0, 30.0
MOST = 0.02
"""Of the driver's time that writing may take, however many trials run."""


class StatusFile(Watcher):
    """A watcher that writes what a `Progress` knows into a file, at most once a second, and where
    that takes long less often, down to every half minute."""

    def __init__(self, path: Path, progress: Progress) -> None:
        self.path, self.progress = path, progress
        self._next = -math.inf

    @contextmanager
    def kept(self) -> Iterator["StatusFile"]:
        """The file is there inside."""
        self._write()
        try:
            yield self
        finally:
            with suppress(OSError):
                self.path.unlink(missing_ok=True)

    def started(self, trial: TrialRecord) -> None:
        self.progress.started(trial)
        self._write()

    def point(self, trial: TrialRecord, point: MetricPoint) -> None:
        self.progress.point(trial, point)
        self._write()

    def ended(self, trial: TrialRecord) -> None:
        self.progress.ended(trial)
        self._write()

    def _write(self) -> None:
        """Whole or not at all; a disk that refuses is the ledger's to tell of."""
        began = self.progress.clock()
        if began < self._next:
            return
        beside = self.path.with_suffix(f".{os.getpid()}.new")
        with suppress(OSError):
            beside.write_text(json.dumps(asdict(self.progress.snapshot())))
            beside.replace(self.path)
        took = self.progress.clock() - began
        self._next = began + max(WRITE_SECONDS, min(took / MOST, LONGEST))
