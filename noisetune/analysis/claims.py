"""Sentences of the paper beside its own figures, and beside ours."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from noisetune.analysis.published_tables import PublishedClaim, PublishedTable
from noisetune.analysis.reproduction import Reproduced, difference_of
from noisetune.analysis.statistics import Interval, welch_difference

PRETRAIN, RATE = "pretrain.method", "noise.rate"


@dataclass(frozen=True)
class Held:
    """One arm of a claim at one rate: differences in points of accuracy, the arm's minus that of
    what it is said to be above.

    Each has Welch's interval where both arms have values by seed. `ours` is None where one of our
    arms was not run as the paper's.
    """

    says: str
    rate: float
    arm: str
    against: str
    paper: Interval
    ours: Interval | None


def held(table: PublishedTable, rows: Sequence[Reproduced]) -> list[Held]:
    """Each claim of a table at each of its rates, arm by arm."""
    of = {
        (row.where.get(PRETRAIN), row.where.get(RATE)): row
        for row in rows
        if row.figure == "accuracy"
    }
    return [
        _held(claim, rate, arm, of[arm, rate], of[claim.against, rate])
        for claim in table.claims
        for rate in claim.rates
        for arm in claim.arms
    ]


def _held(claim: PublishedClaim, rate: float, arm: str, a: Reproduced, b: Reproduced) -> Held:
    paper = welch_difference(a.paper_values, b.paper_values)
    if paper.mean is None:
        paper = difference_of(Interval(a.paper, None, None, 0), b.paper)
    comparable = a.difference is not None and b.difference is not None
    ours = welch_difference(a.values, b.values) if comparable else None
    return Held(claim.says, rate, arm, claim.against, paper, ours)


def held_lines(table: PublishedTable, rows: Sequence[Reproduced]) -> Iterator[str]:
    """What `held` finds, in words."""
    by_claim: dict[tuple[str, str], list[Held]] = {}
    for each in held(table, rows):
        by_claim.setdefault((each.says, each.against), []).append(each)
    for (says, against), arms in by_claim.items():
        yield f'the paper says: "{says}". Difference in accuracy from {against}, in points:'
        yield from _lines("its figures", [(each, each.paper) for each in arms])
        yield from _lines("ours", [(each, each.ours) for each in arms])


def _lines(name: str, arms: Sequence[tuple[Held, Interval | None]]) -> Iterator[str]:
    by_rate: dict[float, list[str]] = {}
    for each, interval in arms:
        if interval is not None:
            by_rate.setdefault(each.rate, []).append(f"{each.arm} {_shown(interval)}")
    if by_rate:
        rates = (f"at rate {rate} {', '.join(shown)}" for rate, shown in by_rate.items())
        yield f"{name}: {'; '.join(rates)}"


def _shown(interval: Interval) -> str:
    if interval.low is None or interval.high is None:
        return f"{interval.mean:+.1f} (means alone)"
    return f"{interval.mean:+.1f} ({interval.low:+.1f} .. {interval.high:+.1f})"
