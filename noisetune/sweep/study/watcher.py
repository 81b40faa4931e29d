"""Who is told what happens to the trials of a sweep."""

from typing import Protocol

from noisetune.records import MetricPoint, TrialRecord, TrialResult


class Watcher(Protocol):
    """Who is told what happens to trials, after the ledger has it; of a result before.

    What a class that is derived from it does not want to know, it need not hear.
    """

    def started(self, trial: TrialRecord) -> None:
        """It was handed out, for the first time or once more."""
        return

    def point(self, trial: TrialRecord, point: MetricPoint) -> None:
        """It has a new metric point; one that was taken before comes again after a resume."""
        return

    def result(self, trial: TrialRecord, result: TrialResult) -> None:
        """It went through the whole pipeline. The ledger keeps but the metrics of a result, so it
        is told first: where a driver dies between the two, the trial is run once more, and may end
        otherwise."""
        return

    def ended(self, trial: TrialRecord) -> None:
        """It ended as its record says."""
        return
