"""What is known of each condition, out of the records of its trials: pure functions."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from noisetune.analysis.statistics import kendall
from noisetune.analysis.ties import tied_methods, tied_settings
from noisetune.records import TrialRecord
from noisetune.selection import CHOICES, best_trial, group_of, selection_resolution

FEWEST_RANKED = 4


@dataclass(frozen=True)
class ConditionSummary:
    """What is known of one condition.

    `counts` are of its search trials by state. `winner` is the best complete search trial by the
    objective, or the first replicate of a fixed recipe. `replicates` gives, for each choice of
    epoch, clean test accuracy by replicate seed; those that `diverged` count with what they had
    come to. `runs` are those that completed. `planned` seeds were asked for so far: those that are
    `waiting` have not ended, those in `failed` have no value for another reason. `ties` is how many
    other settings the noisy scores do not tell from the winner's, where replicates show their
    spread. `tau` says how well the objective ranks complete search trials by clean test accuracy
    (Kendall, -1..1); None for fewer than four. Where each replicate is a search, `runs` are the
    winners, tau is the mean over searches, `trials_each` the trials of the longest, and nothing
    ties: another seed's score tells of another split. It is None otherwise.
    """

    name: str
    factors: dict[str, Any]
    counts: Counter[str]
    winner: TrialRecord | None
    replicates: dict[str, dict[int, float]]
    replicate_objectives: dict[int, float]
    runs: tuple[TrialRecord, ...] = ()
    planned: int = 0
    waiting: tuple[int, ...] = ()
    diverged: tuple[int, ...] = ()
    failed: tuple[int, ...] = ()
    ties: int | None = None
    tau: float | None = None
    trials_each: int | None = None

    @property
    def one_encoder(self) -> bool:
        """Whether its intervals are conditional on the encoder that all replicates begin with."""
        return self.winner is not None and self.winner.one_encoder


def summarise(
    records: Sequence[TrialRecord],
    maximize: bool,
    winners: Mapping[str, TrialRecord | None] | None = None,
) -> list[ConditionSummary]:
    """The conditions in their first order.

    `winners` are, by condition, those that another rule chose, and None where it chose none yet.
    """
    conditions: dict[str, list[TrialRecord]] = {}
    for record in records:
        conditions.setdefault(record.condition, []).append(record)
    return [
        _summary(mine, maximize, winners[name])
        if winners is not None and name in winners
        else _summary(mine, maximize, winner_of(complete_of(mine), maximize))
        for name, mine in conditions.items()
    ]


def _summary(
    records: Sequence[TrialRecord], maximize: bool, winner: TrialRecord | None
) -> ConditionSummary:
    complete = complete_of(records)
    searches = _searches_again(records)
    again = [_outcome(search) for search in searches] or _replicates(records, winner)
    done = [record for record in again if record.state == "complete"]
    failed = [record for record in again if record.state == "failed"]
    objectives = {record.seed: record.objective for record in done if record.objective is not None}
    return ConditionSummary(
        name=records[0].condition,
        factors=records[0].factors,
        counts=Counter(record.state for record in records if record.kind == "search"),
        winner=winner,
        replicates={choice: accuracies(again, choice) for choice in CHOICES},
        replicate_objectives=objectives,
        runs=tuple(done),
        planned=len({record.seed for record in again}),
        waiting=tuple(sorted(r.seed for r in again if r.state in ("running", "interrupted"))),
        diverged=tuple(sorted(record.seed for record in failed if record.diverged)),
        failed=tuple(sorted(record.seed for record in failed if not record.diverged)),
        ties=None if searches else _ties(complete, winner, objectives),
        tau=_mean_ranking(searches or [records], maximize),
        trials_each=max(map(len, searches), default=None),
    )


def _searches_again(records: Iterable[TrialRecord]) -> list[list[TrialRecord]]:
    """The trials of each search that is a replicate, without those that were run again."""
    searches: dict[int, list[TrialRecord]] = {}
    for record in records:
        if record.kind == "search" and record.seed and not record.replaced:
            searches.setdefault(record.seed, []).append(record)
    return [searches[seed] for seed in sorted(searches)]


def _outcome(search: Sequence[TrialRecord]) -> TrialRecord:
    """A search as the replicate that it is: its winner; of one that goes on, or that came to no
    value, a trial that says so."""
    if search[0].won is None:
        return replace(search[0], state="running", diverged=False)
    failed = replace(search[0], state="failed", diverged=False)
    return next((record for record in search if record.won), failed)


def _ties(
    complete: Sequence[TrialRecord], winner: TrialRecord | None, objectives: Mapping[int, float]
) -> int | None:
    """How many other settings that were searched are not told from the winner's."""
    if winner is None or winner.kind == "replicate" or winner.objective is None:
        return None
    others = [
        record.objective
        for record in complete
        if record.kind == "search" and record is not winner and record.objective is not None
    ]
    return tied_settings([winner.objective, *others], list(objectives.values()))


def _replicates(records: Sequence[TrialRecord], winner: TrialRecord | None) -> list[TrialRecord]:
    """The replicates of the winner, those that ended and those that did not; of one that was run
    again, the last run.

    An extended search may have found another winner than the one that was run again before.
    """
    searched = any(record.kind == "search" for record in records)
    settings: dict[str, Any] | None = None if searched else {}
    if winner is not None:
        settings = winner.parameters
    return [
        record
        for record in records
        if record.kind == "replicate" and not record.replaced and record.parameters == settings
    ]


def _mean_ranking(searches: Sequence[Sequence[TrialRecord]], maximize: bool) -> float | None:
    """The mean of what `ranking` says of each of the searches; None where it does of none."""
    complete = [[each for each in search if each.state == "complete"] for search in searches]
    known = [tau for each in complete if (tau := ranking(each, maximize)) is not None]
    return sum(known) / len(known) if known else None


def ranking(complete: Sequence[TrialRecord], maximize: bool) -> float | None:
    """Kendall's tau between the objective, better being higher, and clean test accuracy at the
    noisy-best epoch, over the search trials; None for fewer than four, or where one is constant.
    """
    pairs = [
        (record.objective if maximize else -record.objective, clean)
        for record in complete
        if record.kind == "search"
        and record.objective is not None
        and (clean := record.metrics.get("test/accuracy_at_noisy_best")) is not None
    ]
    return kendall(*zip(*pairs, strict=True)) if len(pairs) >= FEWEST_RANKED else None


def complete_of(records: Iterable[TrialRecord]) -> list[TrialRecord]:
    """Those that are complete."""
    return [record for record in records if record.state == "complete"]


def winner_of(complete: Sequence[TrialRecord], maximize: bool) -> TrialRecord | None:
    """The winner among search trials; of a fixed recipe, which has none, the first replicate."""
    searched = [record for record in complete if record.kind == "search"] or list(complete)[:1]
    return best_trial(searched, lambda record: record.objective, maximize)


def accuracies(records: Iterable[TrialRecord], choice: str) -> dict[int, float]:
    """Clean test accuracy by seed, of those that have one: a replicate that diverged has, too."""
    values = {
        record.seed: record.metrics.get(f"test/accuracy_at_{choice}")
        for record in records
        if record.counts
    }
    return {seed: value for seed, value in values.items() if value is not None}


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
    `resolution` is by condition, in units of the objective: the binomial error of that score.
    """
    groups: dict[str, list[ConditionSummary]] = {}
    for summary in summaries:
        if summary.winner is not None:
            groups.setdefault(repr(group_of(summary.factors)), []).append(summary)
    best_groups = []
    for members in groups.values():
        scores = {member.name: _score(member) for member in members}
        sign = 1 if maximize else -1
        best = max(members, key=lambda member: sign * scores[member.name])
        replicates = {member.name: member.replicate_objectives for member in members}
        equal = tied_methods(best.name, scores, replicates, resolution)
        best_groups.append(
            GroupBest(group_of(best.factors), best, scores[best.name], sorted(equal - {best.name}))
        )
    return best_groups


def _score(summary: ConditionSummary) -> float:
    values = list(summary.replicate_objectives.values())
    if values:
        return sum(values) / len(values)
    assert summary.winner is not None
    return summary.winner.objective or 0.0


def score_resolution(summary: ConditionSummary, labels: int, slope: float = 1.0) -> float:
    """Standard error of the noisy accuracy, on so many `labels`, that a condition is judged by.

    In units of that accuracy, or at the `slope` of its noise in units of clean accuracy.
    """
    replicates = max(1, len(summary.replicate_objectives))
    return selection_resolution(_score(summary), labels * replicates, slope)
