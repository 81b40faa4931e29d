"""Whether what was measured is the whole of it."""

from noisetune.sweep.execution.stop import Stopped
from noisetune.sweep.outcome import Outcome


def check_whole(outcome: Outcome) -> None:
    """RuntimeError where a sweep has trials left, or MLflow was not told all of it; Stopped where
    that is so because of a signal."""
    if outcome.signal is not None:
        raise Stopped(outcome.signal)
    if not outcome.delivered or not outcome.scheduler.finished:
        raise RuntimeError("the sweep or its tracking did not come to its end")
