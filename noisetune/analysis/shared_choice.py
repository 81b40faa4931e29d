"""One setting for several conditions: of those that all of them ran, the one of best mean rank."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from noisetune.records import TrialRecord

Ran = Mapping[str, TrialRecord]
"""The complete trials of a condition by their setting."""


def shared_winners(
    records: Iterable[TrialRecord], blocks: Iterable[Sequence[str]], maximize: bool
) -> dict[str, TrialRecord | None]:
    """By condition, its trial of the setting that its block shares; None where no setting is
    complete in all of the block yet. Conditions of a block that is not searched are left out.

    Within each condition settings are ranked by the objective, ties at their average rank. The
    best mean rank over the block wins; of equals the one that its first condition ran first.
    """
    ran: dict[str, dict[str, TrialRecord]] = {}
    for record in records:
        if record.kind == "search":
            mine = ran.setdefault(record.condition, {})
            if record.state == "complete":
                mine.setdefault(_setting(record.parameters), record)
    winners: dict[str, TrialRecord | None] = {}
    for block in blocks:
        if any(name in ran for name in block):
            trials = [ran.get(name, {}) for name in block]
            best = _best(trials, maximize)
            winners |= {name: mine.get(best) for name, mine in zip(block, trials, strict=True)}
    return winners


def _best(trials: Sequence[Ran], maximize: bool) -> str:
    """The setting of best mean rank among those complete in all conditions; "" where none is."""
    common = [each for each in trials[0] if all(each in others for others in trials)]
    sign = -1 if maximize else 1
    totals = dict.fromkeys(common, 0.0)
    for mine in trials:
        scores = {each: sign * (mine[each].objective or 0.0) for each in common}
        for each in common:
            totals[each] += _rank(scores[each], list(scores.values()))
    return min(common, key=lambda each: (totals[each], trials[0][each].number), default="")


def _rank(score: float, scores: Sequence[float]) -> float:
    """The place of a score among all, 1 for the lowest; ties share the mean of their places."""
    lower = sum(other < score for other in scores)
    return lower + (sum(other == score for other in scores) + 1) / 2


def _setting(parameters: Mapping[str, Any]) -> str:
    return repr(sorted(parameters.items()))
