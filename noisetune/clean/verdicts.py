"""What is said of every image, and of the whole: from what the networks made of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest
from scipy.stats import t as student

from noisetune.clean.looking import Look
from noisetune.clean.planting import (
    parts_to_plant,
    planted_labels,
    planted_suspicions,
    suspicions,
)
from noisetune.clean.ranking import (
    FEWEST,
    REVIEWS,
    Rates,
    combined,
    density_ratio,
    look_at_rates,
    probability_wrong,
    review_shares,
)
from noisetune.detectors.base import Detector, Evidence
from noisetune.stages.noise_estimate import estimate_noise

NEIGHBOURS = 10
SEED = 16
JUDGE = "judge"
"""What comes after the networks: neighbours, ranking, duplicates."""
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Interval:
    """A number with the ends of its 95 % interval; None where nothing can be said."""

    estimate: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Verdicts:
    """Of N images: `scores` (N,), the higher the more suspicious; `probability` (N,) of being
    wrong, None where there is a ranking only; `suggested` (N,), the likeliest class but the given
    one, with `suggested_probability` (N,), that it is the right one (None with the former);
    `by_detector`, its mean suspicion of each. `likeliness` (N, C) are the mean probabilities of the
    networks, `votes` (N, C) the shares of the neighbours' votes.

    `rates` are of all images, `rate` over folds and rounds; `reviews` gives the share of the
    ranking that has 50, 80 and 95 % of the errors, `matrix` [true][given] an interval each.
    `doubts` say why there is a ranking only.
    """

    scores: NDArray[np.float64]
    probability: NDArray[np.float64] | None
    suggested: NDArray[np.int64]
    suggested_probability: NDArray[np.float64] | None
    by_detector: Mapping[str, NDArray[np.float64]]
    likeliness: NDArray[np.float64]
    votes: NDArray[np.float64]
    rates: Rates
    rate: Interval
    reviews: Mapping[float, Interval]
    matrix: Sequence[Sequence[Interval]]
    doubts: Sequence[str]

    @property
    def order(self) -> NDArray[np.int64]:
        """The rows, the most suspicious first; equals as they came."""
        return np.argsort(-self.scores, kind="stable")

    @property
    def suspects(self) -> int:
        """How many of the ranking are as many as are held to be wrong."""
        return round(self.rates.estimate * len(self.scores))


def judge(look: Look, detectors: Sequence[Detector]) -> Verdicts:
    """Rank all images by all detectors, and calibrate on planted errors (`ranking`)."""
    rng = np.random.default_rng(SEED)
    given = look.rounds[0].given
    labels = planted_labels(look.rounds[0], rng)
    rows = parts_to_plant(len(given), rng)
    judged = [suspicions(detectors, each) for each in look.rounds]
    planted = [planted_suspicions(detectors, each, labels, rows) for each in look.rounds]
    scores, wrong = combined(judged, judged), combined(planted, judged)
    likeliness = np.mean([each.probabilities for each in look.rounds], axis=0)
    ratio = density_ratio(scores, wrong)
    rates = look_at_rates(given, likeliness, scores, wrong)
    doubts = _doubts(given, likeliness, rates)
    probability = None if doubts else probability_wrong(ratio, rates.estimate)
    suggested, share = _suggestions(given, likeliness)
    parts = [
        _part(evidence, fold == number, scores, wrong)
        for evidence, fold in zip(look.rounds, look.folds, strict=True)
        for number in np.unique(fold)
    ]
    return Verdicts(
        scores=scores,
        probability=probability,
        suggested=suggested,
        suggested_probability=None if probability is None else probability * share,
        by_detector={name: np.mean([each[name] for each in judged], axis=0) for name in judged[0]},
        likeliness=likeliness,
        votes=_votes(look, likeliness.shape[1]),
        rates=rates,
        rate=_counted(_around(rates.estimate, [each.rate for each in parts]), len(given)),
        reviews={
            found: _around(review_shares(scores, wrong)[found], [p.reviews[found] for p in parts])
            for found in REVIEWS
        },
        matrix=_matrix(estimate_noise(given, likeliness).matrix, [each.matrix for each in parts]),
        doubts=doubts,
    )


@dataclass(frozen=True)
class _Part:
    """What the images of one fold of one round say by themselves."""

    rate: float
    reviews: Mapping[float, float]
    matrix: Sequence[Sequence[float | None]]


def _part(
    evidence: Evidence,
    mine: NDArray[np.bool_],
    scores: NDArray[np.float64],
    planted: NDArray[np.float64],
) -> _Part:
    given, probabilities = evidence.given[mine], evidence.probabilities[mine]
    rates = look_at_rates(given, probabilities, scores[mine], planted)
    return _Part(
        rates.estimate,
        review_shares(scores[mine], planted),
        estimate_noise(given, probabilities).matrix,
    )


def _doubts(given: NDArray[np.int64], likeliness: NDArray[np.float64], rates: Rates) -> list[str]:
    """Why there is a ranking only, in words; nothing where the probability may be given."""
    doubts = []
    if len(given) < FEWEST:
        doubts.append(f"{len(given)} images are too few to say; {FEWEST} are the fewest")
    agreeing = float((likeliness.argmax(axis=1) == given).mean())
    commonest = float(np.bincount(given).max() / len(given))
    if agreeing <= commonest:
        doubts.append(
            f"the networks agree with {agreeing:.0%} of the labels, and the commonest class alone "
            f"has {commonest:.0%}: they learnt nothing from these labels, or there are too few"
        )
    if not rates.agree:
        doubts.append(
            f"the networks cannot tell labels that are wrong from images that are hard: by the "
            f"images that they are surest of {rates.confident:.1%} of the labels are wrong, by the "
            f"surer half {rates.likely:.1%}, by planted errors {rates.mixture:.1%}"
        )
    return doubts


def _suggestions(
    given: NDArray[np.int64], likeliness: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The likeliest other class (N,), and its share among the others."""
    others = likeliness.copy()
    others[np.arange(len(given)), given] = 0
    total = np.maximum(others.sum(axis=1), np.finfo(float).tiny)
    return others.argmax(axis=1), others.max(axis=1) / total


def _votes(look: Look, classes: int) -> NDArray[np.float64]:
    given = look.rounds[0].given
    votes = look.neighbours.votes(given, classes, NEIGHBOURS).astype(np.float64)
    return votes / np.maximum(votes.sum(axis=1, keepdims=True), np.finfo(float).tiny)


def _around(estimate: float | None, parts: Sequence[float | None]) -> Interval:
    """An estimate with an interval by how far its parts are apart; it holds the estimate."""
    known = [each for each in parts if each is not None]
    if estimate is None or len(known) < 2:
        return Interval(estimate, None, None)
    factor = float(student.ppf((1 + CONFIDENCE) / 2, len(known) - 1))
    half = factor * float(np.std(known, ddof=1)) / np.sqrt(len(known))
    centre = float(np.mean(known))
    low, high = min(estimate, centre - half), max(estimate, centre + half)
    return Interval(estimate, max(0.0, low), min(1.0, high))


def _counted(share: Interval, images: int) -> Interval:
    """The interval of a share, no narrower than as many images leave open (Clopper and Pearson
    1934): where none is found to be wrong, some still may be."""
    assert share.estimate is not None
    wrong = round(share.estimate * images)
    exact = binomtest(wrong, images).proportion_ci(CONFIDENCE, "exact")
    lows = [exact.low, *([] if share.low is None else [share.low])]
    highs = [exact.high, *([] if share.high is None else [share.high])]
    return Interval(share.estimate, min(lows), max(highs))


def _matrix(
    whole: Sequence[Sequence[float | None]], parts: Sequence[Sequence[Sequence[float | None]]]
) -> list[list[Interval]]:
    return [
        [_around(value, [part[true][label] for part in parts]) for label, value in enumerate(row)]
        for true, row in enumerate(whole)
    ]
