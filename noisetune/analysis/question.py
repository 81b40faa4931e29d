"""What a sweep asks of its conditions, and what its replicates answer by now."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from noisetune.analysis.evidence import confidence_sequence
from noisetune.analysis.families import Family, Pair
from noisetune.analysis.image_sampling import interval_over_images
from noisetune.analysis.intervals import collapsed
from noisetune.analysis.statistics import Comparison, Interval, compare_all
from noisetune.analysis.summaries import ConditionSummary
from noisetune.analysis.verdicts import Verdict, judge
from noisetune.predictions import Kept
from noisetune.records import Claim
from noisetune.selection import Choice


@dataclass(frozen=True)
class Question:
    """The families of comparisons of a sweep, at one choice of epoch.

    `margin`, of accuracy (0..1), is what counts as equal; `claims` are those that the sweep keeps.
    `adaptive` says that it chose its number of replicates as it went, so that intervals and
    p-values of a fixed number do not hold at their level.
    """

    families: tuple[Family, ...]
    epoch: Choice = "noisy_best"
    margin: float | None = None
    claims: tuple[Claim, ...] = ()
    adaptive: bool = False

    @property
    def pairs(self) -> list[Pair]:
        """All pairs that are asked about, in their order."""
        return list(dict.fromkeys(pair for family in self.families for pair in family.pairs))


@dataclass(frozen=True)
class Answer:
    """What is known of one pair: `fixed` holds where the number of replicates was fixed beforehand,
    `sequence` (95 %) and `verdict` at every look.

    `verdict` is None at a choice of epoch that the sweep does not ask about. `correlation` is that
    of the paired arms, `spread` the standard deviation of their differences; None where they are
    too few or do not vary. `images` is the interval over test images, which all replicates share;
    None where no predictions were kept. `low` names the arms with collapsed seeds, and how many;
    `diverged` how many counted as what they had come to; `without` is the verdict that leaves those
    out.
    """

    fixed: Comparison
    sequence: tuple[float, float] | None
    verdict: Verdict | None
    correlation: float | None
    spread: float | None
    images: Interval | None
    low: Mapping[str, int]
    diverged: Mapping[str, int]
    without: Verdict | None


def answers(
    summaries: Sequence[ConditionSummary],
    question: Question,
    choice: Choice,
    predictions: Kept | None = None,
    judged: bool = True,
) -> list[Answer]:
    """What the replicates answer to each pair, at a choice of epoch, in the order of the pairs.

    `predictions` are those that the trials left of each test image. Without `judged` there is no
    verdict at any epoch.
    """
    arms = {summary.name: summary for summary in summaries}
    pairs = [pair for pair in question.pairs if set(pair) <= arms.keys()]
    groups = {name: summary.replicates[choice] for name, summary in arms.items()}
    untested = [name for name, summary in arms.items() if summary.one_encoder]
    fixed = compare_all(groups, pairs, untested=untested)
    asked = judged and choice == question.epoch
    verdicts = _verdicts(arms, question, groups) if asked else {}
    kept = {name: _without_diverged(arms[name], values) for name, values in groups.items()}
    without = _verdicts(arms, question, kept) if asked and kept != groups else {}
    compared = dict.fromkeys(name for pair in pairs for name in pair)
    right = {name: _right(arms[name], choice, predictions) for name in compared}
    return [
        _answer(
            each,
            arms,
            groups,
            verdicts.get(pair),
            without.get(pair),
            _over_images(*(right[name] for name in pair)),
        )
        for pair, each in zip(pairs, fixed, strict=True)
    ]


def _answer(
    fixed: Comparison,
    arms: Mapping[str, ConditionSummary],
    groups: Mapping[str, Mapping[int, float]],
    verdict: Verdict | None,
    without: Verdict | None,
    images: Interval | None,
) -> Answer:
    first, second = groups[fixed.a], groups[fixed.b]
    seeds = sorted(first.keys() & second.keys())
    a, b = (np.array([arm[seed] for seed in seeds]) for arm in (first, second))
    names = (fixed.a, fixed.b)
    diverged = {name: n for name in names if (n := len(arms[name].diverged))}
    varies = len(seeds) > 1 and min(np.ptp(a), np.ptp(b)) > 0
    return Answer(
        fixed=fixed,
        sequence=None if fixed.p is None else confidence_sequence(a - b),
        verdict=verdict,
        correlation=float(np.corrcoef(a, b)[0, 1]) if varies and len(seeds) > 2 else None,
        spread=float((a - b).std(ddof=1)) if len(seeds) > 1 else None,
        images=images,
        low={name: n for name in names if (n := len(collapsed(groups[name])))},
        diverged=diverged,
        without=without if diverged else None,
    )


Right = list[NDArray[np.bool_]]
"""Which test images (N,) each replicate of an arm is right about."""


def _right(summary: ConditionSummary, choice: Choice, predictions: Kept | None) -> Right:
    kept = predictions.of(run.name for run in summary.runs) if predictions is not None else {}
    return [each.correct(choice) for each in kept.values() if choice in each.predicted]


def _over_images(a: Right, b: Right) -> Interval | None:
    """The sampling error of the test set; None where the arms have none, or other images."""
    sizes = {len(each) for arm in (a, b) for each in arm}
    return interval_over_images(a, b) if a and b and len(sizes) == 1 else None


def _verdicts(
    arms: Mapping[str, ConditionSummary],
    question: Question,
    groups: Mapping[str, Mapping[int, float]],
) -> dict[Pair, Verdict]:
    """By pair; what the sweep has claimed before stays claimed."""
    untested = [name for name, summary in arms.items() if summary.one_encoder]
    waiting = {name: summary.waiting for name, summary in arms.items()}
    found = judge(question.families, groups, question.margin, untested, waiting)
    return {(each.a, each.b): _with_claims(each, question.claims) for each in found}


def _with_claims(verdict: Verdict, claims: Sequence[Claim]) -> Verdict:
    mine = [
        claim
        for claim in claims
        if (claim.a, claim.b, claim.family) == (verdict.a, verdict.b, verdict.family)
    ]
    for claim in mine:
        if claim.kind == "equal":
            verdict = replace(verdict, equal=True, equal_at_n=claim.n)
        else:
            verdict = replace(verdict, claim=claim.kind, at_n=claim.n)
    return verdict


def _without_diverged(
    summary: ConditionSummary, values: Mapping[int, float]
) -> Mapping[int, float]:
    return {seed: value for seed, value in values.items() if seed not in summary.diverged}
