"""What a sweep has to offer: each condition's winner, or of several goals its Pareto front."""

from collections.abc import Sequence
from typing import Any, Protocol

from noisetune.analysis.front import FrontPoint, pareto_front
from noisetune.analysis.summaries import summarise
from noisetune.records import TrialRecord
from noisetune.sweep.spec.config import SweepConfig


class AnySweep(Protocol):
    """A sweep that runs, or one that is only looked at in its ledger."""

    @property
    def config(self) -> SweepConfig: ...
    @property
    def cells(self) -> list[tuple[str, dict[str, Any]]]: ...
    @property
    def file_names(self) -> dict[str, str]: ...


def front_of(sweep: AnySweep, records: Sequence[TrialRecord]) -> list[FrontPoint]:
    """The Pareto front of each condition of a sweep with several goals."""
    return pareto_front(records, [goal.maximize for goal in sweep.config.objective.goals])


def offered(sweep: AnySweep, records: Sequence[TrialRecord]) -> list[FrontPoint]:
    """The trials to choose from, with their replicates: of one goal, each condition's winner."""
    objective = sweep.config.objective
    if objective.several:
        return front_of(sweep, records)
    return [
        FrontPoint(summary.winner, summary.replicates)
        for summary in summarise(records, objective.maximize)
        if summary.winner is not None
    ]


def chosen_trials(sweep: AnySweep, records: Sequence[TrialRecord]) -> dict[str, TrialRecord]:
    """The trials to export, by a name for their file that cannot leave its folder."""
    files = sweep.file_names
    several = sweep.config.objective.several
    trials = [point.trial for point in offered(sweep, records)]
    return {
        files[each.condition] + (f"-{each.kind}-{each.number}" if several else ""): each
        for each in trials
    }
