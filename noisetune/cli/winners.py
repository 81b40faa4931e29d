"""What a sweep has to offer: each condition's winner, or of several goals its Pareto front."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

    from noisetune.analysis.front import FrontPoint
    from noisetune.records import TrialRecord
    from noisetune.sweep.spec.sweep import Sweep


def front_of(prepared: "Sweep", records: "list[TrialRecord]") -> "list[FrontPoint]":
    """The Pareto front of each condition of a sweep with several goals."""
    from noisetune.analysis.front import pareto_front

    return pareto_front(records, [goal.maximize for goal in prepared.config.objective.goals])


def chosen_trials(prepared: "Sweep", records: "list[TrialRecord]") -> "dict[str, TrialRecord]":
    """The trials to export, by a name for their file that cannot leave its folder."""
    from noisetune.analysis.summaries import summarise

    objective = prepared.config.objective
    files = {condition.name: condition.file_name for condition in prepared.conditions}
    if objective.several:
        front = [point.trial for point in front_of(prepared, records)]
        return {f"{files[each.condition]}-{each.kind}-{each.number}": each for each in front}
    summaries = summarise(records, objective.maximize)
    return {files[each.name]: each.winner for each in summaries if each.winner is not None}


def front_shown(prepared: "Sweep", front: "list[FrontPoint]") -> "Table":
    from noisetune.analysis.front import front_table

    goals = prepared.config.objective.goals
    oracle = any(goal.oracle for goal in goals)
    return front_table(front, [goal.metric for goal in goals], oracle)
