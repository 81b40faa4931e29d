from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume
from hypothesis import given as cases
from hypothesis import strategies as st

from noisetune.stages.noise_estimate import NoiseEstimate, estimate_noise, noise_scores
from noisetune.stages.scores import label_noise_matrix

CLASSES = 4
seeds = st.integers(0, 2**32 - 1)


def noisy(seed: int, samples: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """Given and true labels; every class is given, and is so rightly, at least once."""
    rng = np.random.default_rng(seed)
    true = rng.integers(0, CLASSES, samples)
    given = np.where(rng.random(samples) < 0.4, rng.integers(0, CLASSES, samples), true)
    true[:CLASSES] = given[:CLASSES] = np.arange(CLASSES)
    return given, true


def probabilities(seed: int, true: np.ndarray) -> np.ndarray:
    logits = (
        np.random.default_rng(seed).normal(size=(len(true), CLASSES)) + 2 * np.eye(CLASSES)[true]
    )
    return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)


@cases(seed=seeds)
def test_who_knows_the_truth_estimates_the_noise_that_there_is(seed: int) -> None:
    given, true = noisy(seed)
    estimate = estimate_noise(given, np.eye(CLASSES)[true])
    assert np.allclose(estimate.matrix, label_noise_matrix(given, true, CLASSES))
    assert noise_scores(given, true, estimate) == {
        "rate_estimate": pytest.approx((given != true).mean()),
        "rate_error": pytest.approx(0, abs=1e-12),
        "matrix_error": pytest.approx(0, abs=1e-12),
        "matrix_distance": pytest.approx(0, abs=1e-12),
    }


@cases(seed=seeds)
def test_the_errors_do_not_depend_on_the_names_of_the_classes(seed: int) -> None:
    given, true = noisy(seed, samples=400)
    probs = probabilities(seed, true)
    names = np.random.default_rng(seed).permutation(CLASSES)
    renamed = estimate_noise(names[given], probs[:, np.argsort(names)])
    expected = noise_scores(given, true, estimate_noise(given, probs))
    # The confident joint is rounded to whole samples, which of equal ones is a matter of order.
    assert noise_scores(names[given], names[true], renamed) == pytest.approx(expected, abs=0.02)


@cases(seed=seeds)
def test_rows_of_an_estimate_are_distributions(seed: int) -> None:
    given, true = noisy(seed)
    estimate = estimate_noise(given, probabilities(seed, true))
    rows = np.array([row for row in estimate.matrix if row[0] is not None])
    assume(len(rows) > 0)
    assert np.allclose(rows.sum(axis=1), 1)
    assert rows.min() >= 0
    assert 0 <= (estimate.rate or 0.0) <= 1


def test_the_errors_by_hand() -> None:
    """Of true class 0 half are labelled 1, of true class 1 all are labelled 1."""
    estimate = NoiseEstimate([[0.7, 0.3], [0.2, 0.8]], 0.3)
    assert noise_scores([0, 0, 1, 1, 1, 1], [0, 0, 0, 0, 1, 1], estimate) == {
        "rate_estimate": 0.3,
        "rate_error": pytest.approx(2 / 6 - 0.3),
        "matrix_error": pytest.approx(0.2),
        "matrix_distance": pytest.approx(0.2),
    }


def test_classes_that_do_not_occur_are_left_out() -> None:
    given, true = [0, 0, 2, 2, 2, 2], [0, 0, 0, 0, 2, 2]
    estimate = NoiseEstimate([[0.7, 0.0, 0.3], [None] * 3, [0.2, 0.0, 0.8]], 0.3)
    scores = noise_scores(given, true, estimate)
    assert scores["matrix_error"] == scores["matrix_distance"] == pytest.approx(0.2)


def test_a_class_that_is_never_given_has_no_row_and_the_others_are_compared() -> None:
    given, true = np.array([0, 0, 1, 1, 0, 1]), np.array([0, 0, 1, 1, 2, 2])
    estimate = estimate_noise(given, np.eye(3)[true])
    assert estimate.matrix[2] == [None, None, None]
    assert noise_scores(given, true, estimate)["matrix_error"] is not None


@pytest.mark.parametrize("given", [[], [1], [2, 2, 2]], ids=str)
def test_fewer_than_two_given_classes_estimate_nothing(given: list[int]) -> None:
    estimate = estimate_noise(given, np.full((len(given), 3), 1 / 3))
    assert estimate == NoiseEstimate([[None] * 3] * 3, None)
    assert set(noise_scores(given, given, estimate).values()) == {None}


@cases(given=st.lists(st.integers(0, 5), min_size=0, max_size=6), seed=seeds)
def test_few_samples_of_many_classes_are_no_error(given: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    probs, true = rng.dirichlet(np.full(6, 0.1), len(given)), rng.integers(0, 6, len(given))
    for value in noise_scores(given, true, estimate_noise(given, probs)).values():
        assert value is None or 0 <= value <= 1


@pytest.mark.parametrize(
    ("fixture", "expected"),
    [
        ("cl_repro_resnet50_noise0.4", {"rate_estimate": 0.503, "matrix_error": 0.023}),
        ("cifar10n_aggre_resnet18", {"rate_estimate": 0.056, "matrix_error": 0.007}),
    ],
)
def test_published_probabilities(shared_data: Path, fixture: str, expected: Any) -> None:
    with np.load(shared_data / "detection" / f"{fixture}.npz", allow_pickle=False) as arrays:
        given, true = arrays["given"].astype(int), arrays["true"].astype(int)
        scores = noise_scores(given, true, estimate_noise(given, arrays["pred_probs"]))
    assert {name: round(scores[name] or 0.0, 3) for name in expected} == expected
    assert scores["rate_error"] == abs((scores["rate_estimate"] or 0.0) - (given != true).mean())
