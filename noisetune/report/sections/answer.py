"""The answer in three sentences: what is established, how much it is, what is open."""

import math
import statistics
from collections.abc import Iterable, Sequence

from noisetune.analysis.comparisons import EPOCHS, contrast, verdict_lines
from noisetune.analysis.evidence import FEWEST
from noisetune.analysis.gains import gains_of
from noisetune.analysis.power import replicates_for, smallest_difference
from noisetune.analysis.question import Answer
from noisetune.analysis.statistics import Interval
from noisetune.report.contents import Section
from noisetune.report.view import SweepView
from noisetune.texts import counted

FEW_PLACES = 3


def answer(view: SweepView) -> Section | None:
    """Always there: that nothing has ended yet is an answer, too."""
    if view.several:
        return Section("The answer", [_of_front(view)])
    if not view.answers:
        return Section("The answer", [_without_replicates(view)])
    return Section("The answer", [established(view), overall(view), still_open(view)])


def established(view: SweepView) -> str:
    """What holds at every look, with the differences and their intervals."""
    claimed = [each for each in view.answers if each.verdict and each.verdict.claim]
    if not claimed:
        factors = {each.name: each for each in view.summaries}
        return _sentence(verdict_lines(view.answers, factors, view.question)[-1])
    words = [
        f"{what} {_places(view, members)}" for what, members in _by_contrast(view, claimed).items()
    ]
    level = " and ".join(dict.fromkeys(f"{100 * each.level:.3g} %" for each in _families(view)))
    return (
        f"Established at {EPOCHS[view.question.epoch]}, with a chance of at most {level} that any "
        f"of it is false however often one looks: {'; '.join(words)}."
    )


def overall(view: SweepView) -> str:
    """How much is gained over all groups; of a single group, what its differences are."""
    gains = gains_of(view.summaries, view.question)
    if gains:
        groups = max(gain.groups for gain in gains.values())
        words = [f"{what} {_points(gain.gain)}" for what, gain in gains.items()]
        start = f"Mean difference over {counted(groups, 'group')} of conditions: "
    else:
        words = [
            f"{what} {_points(member.fixed.difference)}"
            for what, members in _by_contrast(view, view.answers, " - ").items()
            for member in members
        ]
        start = "Mean difference: "
    fixed = "chosen on the way, so that the interval does not hold at its level"
    if not view.question.adaptive:
        fixed = "fixed beforehand"
    return f"{start}{'; '.join(words)} (95 %, for a number of replicates that was {fixed})."


def still_open(view: SweepView) -> str:
    """What has no verdict yet, and how many replicates would give it one."""
    left = [each for each in view.answers if each.verdict and each.verdict.open]
    if not left:
        return "No comparison is open."
    number = f"{len(left)} of {counted(len(view.answers), 'comparison')}"
    n = min(each.fixed.difference.n for each in left)
    spreads = [each.spread for each in left if each.spread]
    if n < FEWEST or not spreads:
        return f"Open: {number}; there is no verdict under {FEWEST} replicates."
    spread, pairs = statistics.median(spreads), len(view.question.pairs)
    largest = max(abs(each.fixed.difference.mean or 0.0) for each in left)
    least = smallest_difference(n, spread, pairs, _families(view)[0].level)
    takes = replicates_for(largest, spread, pairs, _families(view)[0].level)
    resolved = "" if math.isinf(least) else (
        f"; {n} replicates establish a difference of {100 * least:.1f} points with a chance of "
        "80 %"
    )  # fmt: skip
    needed = "more than 200 replicates" if takes is None else f"{takes} replicates"
    return (
        f"Open: {number}{resolved}, and the largest seen there, {100 * largest:.1f} points, takes "
        f"{needed} (for the spread of {100 * spread:.1f} points that was seen)."
    )


def _families(view: SweepView) -> Sequence:
    return view.question.families


def _by_contrast(
    view: SweepView, found: Iterable[Answer], between: str = " above "
) -> dict[str, list[Answer]]:
    """The answers to each contrast ("simclr above none")."""
    factors = {each.name: each.factors for each in view.summaries}
    groups: dict[str, list[Answer]] = {}
    for each in found:
        names = (each.fixed.a, each.fixed.b)
        below = between == " above " and each.verdict and each.verdict.claim == "below"
        first, second = names[::-1] if below else names
        _, what = contrast(factors[first], factors[second], between)
        groups.setdefault(what, []).append(each)
    return groups


def _places(view: SweepView, members: Sequence[Answer]) -> str:
    """Where it holds, and by how much; of many places, in how many and from what to what."""
    if len(members) <= FEW_PLACES:
        return ", ".join(_place(view, each) for each in members)
    means = sorted(abs(each.fixed.difference.mean or 0.0) for each in members)
    return f"in {len(members)} groups (by {100 * means[0]:.1f} to {100 * means[-1]:.1f} points)"


def _place(view: SweepView, each: Answer) -> str:
    factors = {summary.name: summary.factors for summary in view.summaries}
    where, _ = contrast(factors[each.fixed.a], factors[each.fixed.b])
    sign = -1 if each.verdict and each.verdict.claim == "below" else 1
    gap, ends = each.fixed.difference, ""
    if each.sequence is not None:
        low, high = sorted(100 * sign * end for end in each.sequence)
        ends = f", {low:+.1f} to {high:+.1f} at every look"
    size = f"({100 * sign * (gap.mean or 0.0):+.1f} points{ends}; n = {gap.n})"
    return f"at {where} {size}" if where else size


def _points(interval: Interval) -> str:
    mean = f"{100 * (interval.mean or 0.0):+.1f} points"
    if interval.low is None or interval.high is None:
        return mean
    return f"{mean} ({100 * interval.low:+.1f} to {100 * interval.high:+.1f})"


def _without_replicates(view: SweepView) -> str:
    done = [each for each in view.records if each.state == "complete"]
    if not done:
        return "No trial is complete yet."
    again = [each for each in done if each.kind == "replicate"]
    if again:
        return (
            f"{counted(len(again), 'replicate')} {'is' if len(again) == 1 else 'are'} complete, "
            "and no two of them can be compared yet."
        )
    return (
        f"{counted(len(done), 'trial')} {'is' if len(done) == 1 else 'are'} complete and no "
        "replicate yet: what follows are choices by noisy labels, and no estimates."
    )


def _of_front(view: SweepView) -> str:
    return (
        f"Several goals are traded off ({', '.join(view.goals)}), so that nothing wins: the table "
        "has the trials that no other of their condition beats in every goal."
    )


def _sentence(text: str) -> str:
    symbol = text.startswith("n = ")
    return f"{text[:1] if symbol else text[:1].upper()}{text[1:].rstrip('.')}."
