"""Who is told what happens to the trials of a sweep."""

from typing import Protocol

from noisetune.records import MetricPoint, TrialRecord, TrialResult


class Watcher(Protocol):
    """Who is told what happens to trials, after the ledger has it."""

    def started(self, trial: TrialRecord) -> None:
        """It was handed out, for the first time or once more."""

    def point(self, trial: TrialRecord, point: MetricPoint) -> None:
        """It has a new metric point; one that was taken before comes again after a resume."""

    def ended(self, trial: TrialRecord, result: TrialResult | None) -> None:
        """It ended as its record says; `result` where it went through the whole pipeline."""
