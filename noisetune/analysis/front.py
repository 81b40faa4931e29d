"""Pareto fronts: what several goals leave to choose from, in each condition."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.table import Table

from noisetune.analysis.cells import RULES, accuracy_text, known_choices
from noisetune.analysis.summaries import accuracies
from noisetune.analysis.tables import captioned, plain_table, short_names, shown
from noisetune.records import TrialRecord
from noisetune.selection import CHOICES


@dataclass(frozen=True)
class FrontPoint:
    """A trial that no other of its condition beats in every goal.

    `replicates` gives, for each choice of epoch, clean test accuracy by replicate seed.
    """

    trial: TrialRecord
    replicates: dict[str, dict[int, float]]


def pareto_front(records: Sequence[TrialRecord], maximize: Sequence[bool]) -> list[FrontPoint]:
    """The front of each condition, the best by the first goal first; a fixed recipe is its own.

    `maximize` says of each goal whether more of it is better.
    """
    points = []
    for condition in dict.fromkeys(record.condition for record in records):
        complete = [
            record
            for record in records
            if record.condition == condition and record.state == "complete"
        ]
        searched = [record for record in complete if record.kind == "search"] or complete[:1]
        best = [
            record
            for record in searched
            if not any(beats(other, record, maximize) for other in searched)
        ]
        best.sort(key=lambda record: (_signed(record, maximize)[0], -record.number), reverse=True)
        points += [FrontPoint(record, _again(record, records)) for record in best]
    return points


def beats(first: TrialRecord, second: TrialRecord, maximize: Sequence[bool]) -> bool:
    """Whether `first` is at least as good in every goal, and better in one."""
    pairs = list(zip(_signed(first, maximize), _signed(second, maximize), strict=True))
    return all(a >= b for a, b in pairs) and any(a > b for a, b in pairs)


def _signed(record: TrialRecord, maximize: Sequence[bool]) -> list[float]:
    goals = zip(record.objectives, maximize, strict=True)
    return [value if more else -value for value, more in goals]


def _again(record: TrialRecord, records: Sequence[TrialRecord]) -> dict[str, dict[int, float]]:
    """Those that diverged count, too, with what they had come to."""
    replicates = [
        other
        for other in records
        if other.kind == "replicate"
        and not other.replaced
        and (other.condition, other.parameters) == (record.condition, record.parameters)
    ]
    return {choice: accuracies(replicates, choice) for choice in CHOICES}


def front_table(points: Sequence[FrontPoint], metrics: Sequence[str], oracle: bool) -> Table:
    """One row a trial of a front: its goals, its settings, clean accuracy where it ran again."""
    mark = " (ORACLE objective)" if oracle else ""
    table = plain_table(
        f"Pareto front of {' and '.join(metrics)}{mark}; clean test accuracy in % over n replicates"
    )
    notes = [
        "no trial of the condition is better in every goal; (in brackets: the search trial itself)"
    ]
    table.caption = captioned(notes, [point.trial for point in points])
    table.add_column("trial")
    table.add_column("settings")
    for metric in metrics:
        table.add_column(metric.replace("/", "/\n"), justify="right")
    choices = known_choices([(point.replicates, point.trial) for point in points])
    for heading in ("n", *(RULES[choice] for choice in choices)):
        table.add_column(heading, justify="right", no_wrap=True)
    for point in points:
        trial, short = point.trial, short_names(point.trial.parameters)
        settings = [f"{short[name]} {shown(value)}" for name, value in trial.parameters.items()]
        table.add_row(
            trial.name,
            "\n".join(settings) or "fixed recipe",
            *(f"{value:.4g}" for value in trial.objectives),
            str(len(point.replicates["last"])),
            *(accuracy_text(point.replicates[choice], trial, choice) for choice in choices),
        )
    return table
