"""One ranking out of several detectors, and how likely each label is wrong.

Each detector's suspicions become normal scores (Blom) by their ranks among those of the given
labels; the combined score of a label is their mean over detectors and rounds. No detector's scale
counts, and one of them alone cannot put a label first.

The probability rests on planted errors (`planting`). Of the density of scores f, that of planted
labels f_w and the rate of wrong labels r, Bayes' rule has P(wrong | score) = r f_w / f: the ratio
is an isotonic regression of which of the two a score is of, so that it never falls with the score.

The rate cannot be known without truth: an image that is hard looks like a label that is wrong. So
three looks at it are taken that fail in different ways:

- `confident`: how often the tenth of each predicted class that the networks are surest of
  disagrees with its given labels. Too low where labels of easy images are seldom wrong.
- `likely`: the same of the surer half. Too high where networks err.
- `mixture`: twice the share of labels that are as suspicious as half of the planted ones. Too low
  where real errors are harder to see than planted ones, too high where right labels look so, too.

Where these agree within `TOLERANCE`, the estimate is `likely`, which most images have a say in, and
the probability is given; elsewhere it is `confident`, and there is a ranking only.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm
from sklearn.isotonic import IsotonicRegression

Vector = NDArray[np.float64]

TOLERANCE = 0.05
"""The calibration error that is promised: the rate may not be less certain than that."""
FEWEST = 200
"""So few labels say nothing of probabilities."""
SUREST, SURER = 0.1, 0.5
FEWEST_SURE = 5
EDGE = 1e-4
REVIEWS = (0.5, 0.8, 0.95)


@dataclass(frozen=True)
class Rates:
    """Three looks at the share of wrong labels, 0..1."""

    confident: float
    likely: float
    mixture: float

    @property
    def estimate(self) -> float:
        """What most images say where all agree, else what the surest say."""
        return self.likely if self.agree else self.confident

    @property
    def spread(self) -> float:
        """How far they are apart."""
        return self.highest - self.lowest

    @property
    def agree(self) -> bool:
        """Whether a probability can rest on them."""
        return self.spread <= TOLERANCE

    @property
    def lowest(self) -> float:
        return min(self.confident, self.likely, self.mixture)

    @property
    def highest(self) -> float:
        return max(self.confident, self.likely, self.mixture)


def normal_scores(values: Vector, among: Vector) -> Vector:
    """Where `values` (M,) stand `among` others (N,), as deviations of a normal distribution;
    equals share a rank."""
    ordered = np.sort(among)
    below = np.searchsorted(ordered, values, side="left")
    up_to = np.searchsorted(ordered, values, side="right")
    return norm.ppf(((below + up_to) / 2 + 0.125) / (len(among) + 0.25))


def combined(
    rounds: Sequence[Mapping[str, Vector]], among: Sequence[Mapping[str, Vector]]
) -> Vector:
    """The combined score of labels by the suspicions of each round, ranked `among` those of the
    given labels in the same round."""
    scores = [
        normal_scores(values, theirs[name])
        for judged, theirs in zip(rounds, among, strict=True)
        for name, values in judged.items()
    ]
    return np.mean(scores, axis=0)


def density_ratio(scores: Vector, planted: Vector) -> Vector:
    """f_w / f at each of `scores` (N,), which are drawn from f, as `planted` (M,) are from f_w."""
    pooled = np.concatenate([scores, planted])
    which = np.repeat([0.0, 1.0], [len(scores), len(planted)])
    fitted = IsotonicRegression(y_min=EDGE, y_max=1 - EDGE, out_of_bounds="clip")
    chance = fitted.fit(pooled, which).predict(scores)
    return np.asarray(chance / (1 - chance) * len(scores) / len(planted))


def look_at_rates(
    given: NDArray[np.int64],
    probabilities: NDArray[np.floating],
    scores: Vector,
    planted: Vector,
) -> Rates:
    """The three looks, by the labels (N,), the networks' probabilities (N, C), and the scores of
    the labels (N,) and of planted ones (M,)."""
    as_suspicious = float((scores >= np.median(planted)).mean())
    return Rates(
        disagreement(given, probabilities, SUREST),
        disagreement(given, probabilities, SURER),
        min(1.0, 2 * as_suspicious),
    )


def disagreement(
    given: NDArray[np.int64], probabilities: NDArray[np.floating], share: float
) -> float:
    """How often the surest `share` of the predictions of each class is not the given label; classes
    weigh as often as they are predicted."""
    predicted, sure = probabilities.argmax(axis=1), probabilities.max(axis=1)
    wrong = 0.0
    for label in np.unique(predicted):
        rows = np.flatnonzero(predicted == label)
        surest = rows[np.argsort(-sure[rows], kind="stable")]
        surest = surest[: max(FEWEST_SURE, round(share * len(rows)))]
        wrong += len(rows) * float((given[surest] != label).mean())
    return wrong / len(given)


def probability_wrong(ratio: Vector, rate: float) -> Vector:
    """P(wrong | score) of each label (N,), 0..1, with mean `rate`, as far as none is above 1.

    What is cut off at 1 is given to the others, in proportion.
    """
    low, high = 0.0, 1.0 / EDGE
    for _ in range(60):
        factor = (low + high) / 2
        mean = float(np.minimum(1.0, factor * ratio).mean())
        low, high = (factor, high) if mean < rate else (low, factor)
    return np.minimum(1.0, low * ratio)


def review_shares(scores: Vector, planted: Vector) -> dict[float, float]:
    """Which share of the ranking, from its top, has 50, 80 and 95 % of the errors, if they are as
    hard to see as planted ones."""
    return {found: float((scores >= np.quantile(planted, 1 - found)).mean()) for found in REVIEWS}
