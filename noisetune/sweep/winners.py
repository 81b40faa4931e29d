"""What a sweep has to offer: each condition's winner, or of several goals its Pareto front."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol

from noisetune.analysis.front import FrontPoint, pareto_front
from noisetune.analysis.shared_choice import shared_winners
from noisetune.analysis.summaries import ConditionSummary, summarise
from noisetune.records import TrialRecord
from noisetune.selection import blocks_of
from noisetune.sweep.spec.config import SweepConfig
from noisetune.texts import file_stem

if TYPE_CHECKING:
    from noisetune.analysis.shared_tables import SharedChoice

Rule = Literal["own", "shared"]
"""Who chooses a condition's setting: itself, or with all those that it is to share it with."""


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


def summaries_of(
    sweep: AnySweep, records: Sequence[TrialRecord], rule: Rule = "own"
) -> list[ConditionSummary]:
    """The conditions of a sweep with one goal, each with the setting that a rule chose."""
    config, winners = sweep.config, None
    if rule == "shared":
        blocks = blocks_of(sweep.cells, config.shared_across)
        winners = shared_winners(records, blocks, config.objective.maximize)
    return summarise(records, config.objective.maximize, winners)


def shared_choice(sweep: AnySweep, records: Sequence[TrialRecord]) -> "SharedChoice | None":
    """What both rules chose; None of a sweep that has one of them."""
    from noisetune.analysis.shared_tables import SharedChoice

    config = sweep.config
    if not config.shared_across or not records:
        return None
    own, shared = (summaries_of(sweep, records, rule) for rule in ("own", "shared"))
    return SharedChoice(own, shared, config.shared_across, config.objective.metric)


def offered(
    sweep: AnySweep, records: Sequence[TrialRecord], rule: Rule = "own"
) -> list[FrontPoint]:
    """The trials to choose from, with their replicates: of one goal, each condition's winner."""
    if sweep.config.objective.several:
        return front_of(sweep, records)
    return [
        FrontPoint(summary.winner, summary.replicates)
        for summary in summaries_of(sweep, records, rule)
        if summary.winner is not None
    ]


def chosen_trials(sweep: AnySweep, records: Sequence[TrialRecord]) -> dict[str, TrialRecord]:
    """The trials to export, by a name for their file that cannot leave its folder; where a
    condition shares a setting that is another than its own, that with `-shared` in its name."""
    files = sweep.file_names
    several = sweep.config.objective.several
    trials = [point.trial for point in offered(sweep, records)]
    chosen = {
        files[each.condition] + (f"-{each.kind}-{each.number}" if several else ""): each
        for each in trials
    }
    if not sweep.config.shared_across:
        return chosen
    shared = [point.trial for point in offered(sweep, records, "shared")]
    own = {each.condition: each.parameters for each in trials}
    for each in shared:
        if each.parameters != own[each.condition]:
            stem = f"{files[each.condition]}-shared"
            chosen[stem if stem not in chosen else file_stem(stem)] = each
    return chosen
