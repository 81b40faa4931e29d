"""Results as tables: pure functions over trial records, and rich tables made of them."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from noisetune.analysis.statistics import (
    Comparison,
    Interval,
    compare_all,
    mean_interval,
    selection_resolution,
    tied,
)
from noisetune.records import TrialRecord

CHOICES = ("last", "noisy_best", "oracle")
BASELINE = "none"


@dataclass(frozen=True)
class ConditionSummary:
    """What is known of one condition.

    `winner` is the best complete search trial by the objective, or the first replicate of a fixed
    recipe. `replicates` gives, for each choice of epoch, clean test accuracy by replicate seed.
    """

    name: str
    factors: dict[str, Any]
    counts: Counter[str]
    winner: TrialRecord | None
    replicates: dict[str, dict[int, float]]
    replicate_objectives: dict[int, float]

    def interval(self, choice: str) -> Interval:
        return mean_interval(list(self.replicates[choice].values()))


def summarise(records: Sequence[TrialRecord], maximize: bool) -> list[ConditionSummary]:
    """The conditions in their first order."""
    names = list(dict.fromkeys(record.condition for record in records))
    return [
        _summary([record for record in records if record.condition == name], maximize)
        for name in names
    ]


def _summary(records: Sequence[TrialRecord], maximize: bool) -> ConditionSummary:
    complete = [record for record in records if record.state == "complete"]
    again = [record for record in complete if record.kind == "replicate"]
    return ConditionSummary(
        name=records[0].condition,
        factors=records[0].factors,
        counts=Counter(record.state for record in records),
        winner=winner_of(complete, maximize),
        replicates={choice: _accuracies(again, choice) for choice in CHOICES},
        replicate_objectives={
            record.seed: record.objective for record in again if record.objective is not None
        },
    )


def winner_of(complete: Sequence[TrialRecord], maximize: bool) -> TrialRecord | None:
    """The best search trial by the objective, the earlier of equals; a fixed recipe has none."""
    sign = -1 if maximize else 1
    searched = [record for record in complete if record.kind == "search"] or list(complete)[:1]
    return min(
        searched, key=lambda record: (sign * (record.objective or 0.0), record.number), default=None
    )


def _accuracies(records: Iterable[TrialRecord], choice: str) -> dict[int, float]:
    values = {record.seed: record.metrics.get(f"test/accuracy_at_{choice}") for record in records}
    return {seed: value for seed, value in values.items() if value is not None}


def group_of(factors: Mapping[str, Any]) -> dict[str, Any]:
    """The factors that make conditions comparable: equal data, equal noise."""
    return {
        field: value for field, value in factors.items() if field.split(".")[0] in ("data", "noise")
    }


def comparable_pairs(summaries: Sequence[ConditionSummary]) -> list[tuple[str, str]]:
    """Pairs of conditions of one group that differ in a single factor; the baseline second."""
    pairs = []
    for index, first in enumerate(summaries):
        for second in summaries[index + 1 :]:
            differing = [
                field
                for field in first.factors
                if first.factors[field] != second.factors.get(field)
            ]
            if len(differing) == 1 and group_of(first.factors) == group_of(second.factors):
                swap = first.factors[differing[0]] == BASELINE
                pairs.append((second.name, first.name) if swap else (first.name, second.name))
    return pairs


def compare(summaries: Sequence[ConditionSummary], choice: str = "noisy_best") -> list[Comparison]:
    """Clean test accuracy of comparable conditions, paired by replicate seed, Holm-adjusted."""
    groups = {summary.name: summary.replicates[choice] for summary in summaries}
    return compare_all(groups, comparable_pairs(summaries))


@dataclass(frozen=True)
class GroupBest:
    """The best method of a group, by the noisy objective alone, and what ties with it."""

    group: dict[str, Any]
    best: ConditionSummary
    score: float
    ties: list[str]


def best_of_groups(
    summaries: Sequence[ConditionSummary], maximize: bool, resolution: Mapping[str, float]
) -> list[GroupBest]:
    """The best condition of each group; never one across noise rates.

    The score is the mean objective of the replicates, or the winner's where there are none;
    `resolution` is by condition, in units of the objective.
    """
    groups: dict[str, list[ConditionSummary]] = {}
    for summary in summaries:
        if summary.winner is not None:
            groups.setdefault(repr(group_of(summary.factors)), []).append(summary)
    found = []
    for members in groups.values():
        scores = {member.name: _score(member) for member in members}
        sign = 1 if maximize else -1
        best = max(members, key=lambda member: sign * scores[member.name])
        direction = "maximize" if maximize else "minimize"
        equal = tied(scores, resolution[best.name], direction) - {best.name}
        found.append(GroupBest(group_of(best.factors), best, scores[best.name], sorted(equal)))
    return found


def _score(summary: ConditionSummary) -> float:
    values = list(summary.replicate_objectives.values())
    if values:
        return sum(values) / len(values)
    assert summary.winner is not None
    return summary.winner.objective or 0.0


def noisy_resolution(summary: ConditionSummary, n_validation: int) -> float:
    """Standard error of the noisy accuracy that the condition was chosen by."""
    n = n_validation * max(1, len(summary.replicate_objectives))
    return selection_resolution(_score(summary), n, slope=1.0)


def shown(value: Any) -> str:
    """A parameter's value in few characters."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def conditions_table(summaries: Sequence[ConditionSummary], objective: str, oracle: bool) -> Table:
    """One row a condition: its trials, its winner, and accuracy at the three choices of epoch."""
    mark = " (ORACLE objective)" if oracle else ""
    table = Table(
        title=f"chosen by {objective}{mark}; clean test accuracy in %, mean over replicates",
        title_justify="left",
    )
    for heading in ("condition", "trials", "chosen configuration", objective):
        table.add_column(heading, overflow="fold")
    for heading in ("last", "noisy best", "oracle"):
        table.add_column(heading, justify="right", no_wrap=True)
    for summary in summaries:
        table.add_row(*_row(summary))
    return table


def _row(summary: ConditionSummary) -> list[str]:
    counts = ", ".join(f"{count} {state}" for state, count in sorted(summary.counts.items()))
    if summary.winner is None:
        return [summary.name, counts, "none completed", *[""] * 4]
    chosen = ", ".join(
        f"{field} {shown(value)}" for field, value in summary.winner.parameters.items()
    )
    objective = "" if summary.winner.objective is None else f"{summary.winner.objective:.4f}"
    return [
        summary.name,
        counts,
        chosen or "fixed recipe",
        objective,
        *(accuracy_cell(summary, choice) for choice in CHOICES),
    ]


def accuracy_cell(summary: ConditionSummary, choice: str) -> str:
    """Mean and half-width of the 95 % interval over replicates; the winner's where none ran."""
    interval = summary.interval(choice) if summary.replicates[choice] else None
    if interval is not None and interval.mean is not None:
        half = "" if interval.high is None else f" ±{100 * (interval.high - interval.mean):.1f}"
        return f"{100 * interval.mean:.1f}{half}"
    value = summary.winner and summary.winner.metrics.get(f"test/accuracy_at_{choice}")
    return "" if value is None else f"({100 * value:.1f})"


def comparisons_table(comparisons: Sequence[Comparison]) -> Table:
    """Differences in clean test accuracy at the epoch that noisy validation chose."""
    table = Table(
        title="difference in clean test accuracy (points) at the noisy-best epoch, "
        "paired by replicate",
        title_justify="left",
    )
    table.add_column("conditions compared", overflow="fold")
    for heading in ("difference", "95 % interval", "n", "p (Holm)"):
        table.add_column(heading, justify="right", no_wrap=True)
    for each in comparisons:
        gap = each.difference
        if gap.mean is None:
            continue
        wide = gap.low is None or gap.high is None
        interval = "" if wide else f"{100 * gap.low:+.1f} .. {100 * gap.high:+.1f}"  # type: ignore[operator]
        p = "" if each.p_adjusted is None else f"{each.p_adjusted:.4f}"
        table.add_row(f"{each.a}\n- {each.b}", f"{100 * gap.mean:+.1f}", interval, str(gap.n), p)
    return table
