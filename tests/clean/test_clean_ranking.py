"""The ranking and its probability, on labels whose errors are known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from noisetune.clean.looking import Look
from noisetune.clean.planting import parts_to_plant, planted_labels
from noisetune.clean.ranking import (
    TOLERANCE,
    Rates,
    density_ratio,
    normal_scores,
    probability_wrong,
    review_shares,
)
from noisetune.clean.verdicts import Verdicts, judge
from noisetune.config import DETECTORS
from noisetune.detectors._neighbours import Neighbours
from noisetune.detectors.base import Evidence

CLASSES = 5
DETECTED = [DETECTORS["self_confidence"](), DETECTORS["knn"]()]


def made_up(images: int, rate: float, sure: float, seed: int = 0) -> tuple[Evidence, NDArray]:
    """Labels of which a share is wrong, and networks that are right with about `sure`."""
    rng = np.random.default_rng(seed)
    true = rng.integers(0, CLASSES, images)
    given = np.where(
        rng.random(images) < rate, (true + rng.integers(1, CLASSES, images)) % CLASSES, true
    )
    read = np.where(rng.random(images) < sure, true, rng.integers(0, CLASSES, images))
    logits = rng.normal(0, 1, (images, CLASSES))
    logits[np.arange(images), read] += 6 * sure
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    features = np.eye(CLASSES, dtype=np.float32)[read] + rng.normal(0, 0.3, (images, CLASSES))
    return Evidence(given, probabilities, features.astype(np.float32)), given != true


def verdicts_of(evidence: Evidence) -> Verdicts:
    fold = np.arange(len(evidence.given)) % 4
    assert evidence.features is not None
    return judge(Look([evidence], [fold], Neighbours(evidence.features)), DETECTED)


def calibration(probability: NDArray, wrong: NDArray, bins: int = 15) -> float:
    place = np.minimum((probability * bins).astype(int), bins - 1)
    totals = np.bincount(place, weights=wrong - probability, minlength=bins)
    return float(np.abs(totals).sum() / len(wrong))


@pytest.mark.parametrize("rate", [0.0, 0.02, 0.2])
def test_a_good_network_gives_a_calibrated_probability(rate: float) -> None:
    evidence, wrong = made_up(3000, rate, 1.0)
    verdicts = verdicts_of(evidence)
    assert not verdicts.doubts
    assert verdicts.probability is not None
    assert calibration(verdicts.probability, wrong) <= TOLERANCE
    assert abs(verdicts.rates.estimate - wrong.mean()) < 0.02
    if rate:
        first = verdicts.order[: int(wrong.sum())]
        assert wrong[first].mean() > 0.95
        assert verdicts.rate.low is not None
        assert verdicts.rate.low <= verdicts.rates.estimate <= (verdicts.rate.high or 0)
    else:
        assert (verdicts.probability > 0.5).mean() <= 0.01


def test_where_no_error_is_seen_some_may_still_be_there() -> None:
    """With 1,000 labels of which none is found to be wrong, .37 % may be (1 - .025 ** .001)."""
    evidence, _ = made_up(1000, 0.0, 3.0)
    rate = verdicts_of(evidence).rate
    assert (rate.estimate, rate.low) == (0, 0)
    assert rate.high == pytest.approx(1 - 0.025 ** (1 / 1000))


def test_a_poor_network_gives_a_ranking_only() -> None:
    evidence, wrong = made_up(3000, 0.1, 0.5)
    verdicts = verdicts_of(evidence)
    assert verdicts.probability is None
    assert verdicts.suggested_probability is None
    assert any("hard" in doubt for doubt in verdicts.doubts)
    half = np.median(verdicts.scores)
    assert wrong[verdicts.scores > half].mean() > wrong[verdicts.scores < half].mean()


def test_labels_that_nothing_can_be_learnt_of() -> None:
    rng = np.random.default_rng(0)
    flat = np.full((400, CLASSES), 1 / CLASSES)
    evidence = Evidence(
        rng.integers(0, CLASSES, 400), flat, rng.normal(size=(400, 8)).astype(np.float32)
    )
    assert any("learnt nothing" in doubt for doubt in verdicts_of(evidence).doubts)


def test_too_few_images() -> None:
    assert any("too few" in doubt for doubt in verdicts_of(made_up(60, 0.1, 1.0)[0]).doubts)


def test_a_suggestion_is_another_class() -> None:
    evidence, wrong = made_up(500, 0.2, 1.0)
    verdicts = verdicts_of(evidence)
    assert (verdicts.suggested != evidence.given).all()
    read = evidence.probabilities.argmax(1)
    assert (verdicts.suggested[wrong] == read[wrong]).all()


@given(seed=st.integers(0, 100), images=st.integers(10, 300))
def test_a_planted_label_is_wrong(seed: int, images: int) -> None:
    evidence, _ = made_up(images, 0.1, 0.8, seed)
    rng = np.random.default_rng(seed)
    assert (planted_labels(evidence, rng) != evidence.given).all()
    rows = np.concatenate(parts_to_plant(images, rng))
    assert len(np.unique(rows)) == len(rows) == images


@given(seed=st.integers(0, 1000), rate=st.floats(0.001, 0.6))
def test_the_probability_rises_with_the_score_and_has_the_rate_as_its_mean(
    seed: int, rate: float
) -> None:
    rng = np.random.default_rng(seed)
    scores, planted = rng.normal(0, 1, 200), rng.normal(1, 1, 100)
    ratio = density_ratio(scores, planted)
    chance = probability_wrong(ratio, rate)
    assert (np.diff(chance[np.argsort(scores)]) >= -1e-12).all()
    assert ((chance >= 0) & (chance <= 1)).all()
    assert chance.mean() == pytest.approx(rate, abs=1e-3)


@given(values=st.lists(st.integers(-5, 5), min_size=1, max_size=30))
def test_normal_scores_order_as_the_values_do(values: list[int]) -> None:
    given = np.array(values, dtype=float)
    scores = normal_scores(given, given)
    assert np.isfinite(scores).all()
    assert (
        np.sign(np.subtract.outer(given, given)) == np.sign(np.subtract.outer(scores, scores))
    ).all()


def test_looks_that_differ_do_not_agree() -> None:
    assert Rates(0.10, 0.12, 0.14).agree
    assert Rates(0.10, 0.12, 0.14).estimate == 0.12
    assert not Rates(0.10, 0.30, 0.12).agree
    assert Rates(0.10, 0.30, 0.12).estimate == 0.10


def test_more_errors_take_more_of_the_ranking() -> None:
    rng = np.random.default_rng(0)
    shares = review_shares(rng.normal(0, 1, 1000), rng.normal(2, 1, 500))
    assert 0 < shares[0.5] < shares[0.8] < shares[0.95] < 1
