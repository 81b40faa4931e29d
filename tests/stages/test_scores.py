import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given as cases
from hypothesis import strategies as st

from noisetune.detectors.base import Evidence, Judgement
from noisetune.detectors.confident_learning import FILTERS, Config
from noisetune.records import Metrics
from noisetune.stages.scores import calibration_error, detection_scores, label_noise_matrix

FINDING = {
    "f1", "f1_flag_all", "balanced_accuracy", "precision", "recall",
    "auroc", "auprc", "precision_at_k", "lift_at_k",
}  # fmt: skip
NEEDS_BOTH = {"balanced_accuracy", "auroc", "auprc", "precision_at_k", "lift_at_k"}

sizes = st.integers(10, 80)
seeds = st.integers(0, 2**32 - 1)


def noisy(seed: int, samples: int, classes: int = 4) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Given labels, true labels, and probabilities that lean towards the true ones."""
    rng = np.random.default_rng(seed)
    true = rng.integers(0, classes, samples)
    wrong = rng.random(samples) < 0.4
    wrong[:2] = True, False
    given = np.where(wrong, (true + rng.integers(1, classes, samples)) % classes, true)
    logits = rng.normal(size=(samples, classes)) + 1.5 * np.eye(classes)[true]
    return given, true, np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)


def scored(given: Any, true: Any, probs: Any, filter_by: str) -> Metrics:
    """The scores of confident learning."""
    judgement = Config(filter_by=filter_by).judge(Evidence(given, probs))
    return detection_scores(given, true, judgement)


def nones(scores: dict[str, float | None]) -> set[str]:
    return {name for name, value in scores.items() if value is None}


@pytest.mark.parametrize(
    ("fixture", "filter_by", "f1", "balanced_accuracy"),
    [
        ("cl_repro_resnet50_noise0.4", "both", 0.842, 0.870),
        ("cl_repro_resnet50_noise0.4", "prune_by_noise_rate", 0.850, 0.877),
        ("cifar10n_aggre_resnet18", "both", 0.604, 0.720),
        ("cifar10n_aggre_resnet18", "prune_by_noise_rate", 0.674, 0.769),
    ],
)
def test_published_probabilities_score_as_known(
    shared_data: Path, fixture: str, filter_by: str, f1: float, balanced_accuracy: float
) -> None:
    with np.load(shared_data / "detection" / f"{fixture}.npz", allow_pickle=False) as arrays:
        scores = scored(arrays["given"], arrays["true"], arrays["pred_probs"], filter_by)
    ranks = {
        "cl_repro_resnet50_noise0.4": {"auroc": 0.924, "auprc": 0.857, "f1_flag_all": 0.570},
        "cifar10n_aggre_resnet18": {"auroc": 0.977, "auprc": 0.875, "f1_flag_all": 0.165},
    }[fixture]
    expected = {"f1": f1, "balanced_accuracy": balanced_accuracy, **ranks}
    assert {name: round(scores[name], 3) for name in expected} == expected


def test_scores_by_hand() -> None:
    """argmax != given flags samples 0, 1 and 2; the errors are 0, 1 and 5."""
    given, true = [0, 0, 1, 1, 0, 1], [1, 1, 1, 1, 0, 0]
    first = np.array([0.1, 0.4, 0.7, 0.2, 0.8, 0.45])
    scores = scored(given, true, np.stack([first, 1 - first], axis=1), "predicted_neq_given")
    # Self-confidence .1 .4 .3 .8 .8 .55: errors stand at places 1, 3 and 4 of six.
    assert scores == pytest.approx(
        {
            "f1": 2 / 3,
            "f1_flag_all": 2 / 3,
            "balanced_accuracy": 2 / 3,
            "precision": 2 / 3,
            "recall": 2 / 3,
            "flagged": 1 / 2,
            "error_rate": 1 / 2,
            "auroc": 7 / 9,
            "auprc": (1 + 2 / 3 + 3 / 4) / 3,
            "precision_at_k": 2 / 3,
            "lift_at_k": 4 / 3,
        }
    )


def test_a_tie_at_the_kth_place_counts_by_its_share_of_errors() -> None:
    probs = np.array([[0.1, 0.9], [0.5, 0.5], [0.5, 0.5], [0.5, 0.5], [0.5, 0.5]])
    scores = scored([0, 0, 0, 0, 1], [1, 1, 0, 0, 1], probs, "both")
    assert scores["precision_at_k"] == pytest.approx((1 + 1 / 4) / 2)


def test_small_probabilities_are_ranked_not_rounded_into_ties() -> None:
    low = np.array([1e-12, 1e-10, 0.5, 0.5], dtype=np.float32)
    probs = np.stack([low, 1 - low], axis=1)
    scores = scored([0, 0, 0, 1], [1, 0, 0, 1], probs, "both")
    assert scores["auroc"] == 1


def test_without_errors_nothing_about_finding_them_is_defined() -> None:
    given, _, probs = noisy(1, 50)
    scores = scored(given, given, probs, "predicted_neq_given")
    assert nones(scores) == FINDING
    assert scores["error_rate"] == 0
    assert scores["flagged"] > 0


def test_with_errors_only_scores_that_need_both_kinds_are_undefined() -> None:
    given, _, probs = noisy(2, 50)
    scores = scored(given, (given + 1) % 4, probs, "predicted_neq_given")
    assert nones(scores) == NEEDS_BOTH
    assert (scores["precision"], scores["f1_flag_all"], scores["error_rate"]) == (1, 1, 1)
    assert scores["recall"] == scores["flagged"]


def test_with_nothing_flagged_precision_alone_is_undefined() -> None:
    probs = np.array([[0.9, 0.1], [0.6, 0.4], [0.1, 0.9], [0.2, 0.8]])
    scores = scored([0, 0, 1, 1], [0, 1, 1, 1], probs, "predicted_neq_given")
    assert nones(scores) == {"precision"}
    assert (scores["f1"], scores["recall"], scores["flagged"]) == (0, 0, 0)
    assert (scores["balanced_accuracy"], scores["auroc"]) == (0.5, 1)


def test_without_samples_everything_is_undefined() -> None:
    scores = scored([], [], np.empty((0, 3)), "both")
    assert nones(scores) == FINDING | {"flagged", "error_rate"} == set(scores)


@cases(seeds, sizes, st.sampled_from(FILTERS))
def test_scores_are_plain_numbers_and_quiet(seed: int, samples: int, filter_by: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scores = scored(*noisy(seed, samples), filter_by)
    assert all(value is None or type(value) is float for value in scores.values())
    rate = scores["error_rate"]
    assert scores["f1_flag_all"] == pytest.approx(2 * rate / (1 + rate))
    assert scores["lift_at_k"] * rate == pytest.approx(scores["precision_at_k"])


@cases(seeds, sizes, st.sampled_from(FILTERS))
def test_the_order_of_samples_changes_nothing(seed: int, samples: int, filter_by: str) -> None:
    arrays = noisy(seed, samples)
    order = np.random.default_rng(seed).permutation(samples)
    shuffled = scored(*(array[order] for array in arrays), filter_by)
    assert shuffled == pytest.approx(scored(*arrays, filter_by))


@cases(
    st.lists(st.tuples(st.integers(1, 99), st.booleans()), min_size=2, max_size=60),
    st.sampled_from([np.sqrt, np.square, lambda share: share / (2 - share)]),
)
def test_rank_scores_survive_any_increasing_transform(samples, transform) -> None:
    confidence = np.array([share for share, _ in samples]) / 100
    true = np.array([wrong for _, wrong in samples]).astype(int)

    def ranks(share: np.ndarray) -> list[float | None]:
        probs = np.stack([share, 1 - share], axis=1)
        scores = scored(np.zeros_like(true), true, probs, "both")
        return [scores[name] for name in ("auroc", "auprc", "precision_at_k", "lift_at_k")]

    assert ranks(transform(confidence)) == ranks(confidence)


def test_calibration_error_by_hand() -> None:
    """Two bins: (0, .5] holds one wrong at .5, (.5, 1] holds .6 right, .9 right and .9 wrong."""
    probs = np.array([[0.5, 0.5], [0.6, 0.4], [0.1, 0.9], [0.9, 0.1]])
    error = calibration_error([1, 0, 1, 1], probs, bins=2)
    assert error == pytest.approx((0.5 + abs(2 - 2.4)) / 4)


def test_a_confidence_on_an_edge_belongs_to_the_bin_below() -> None:
    probs = np.array([[0.5, 0.25, 0.25], [0.75, 0.25, 0.0]])
    apart = calibration_error([1, 0], probs, bins=2)
    assert apart == pytest.approx((0.5 + 0.25) / 2)


def test_certain_and_right_is_calibrated_and_certain_and_wrong_is_not() -> None:
    assert calibration_error([0, 1], np.eye(2)) == 0
    assert calibration_error([1, 0], np.eye(2)) == 1


@cases(seeds, st.integers(1, 60), st.integers(1, 20))
def test_calibration_error_is_between_the_overall_gap_and_one(
    seed: int, samples: int, bins: int
) -> None:
    rng = np.random.default_rng(seed)
    probs = rng.dirichlet(np.ones(3), samples)
    labels = rng.integers(0, 3, samples)
    gap = abs(np.mean(probs.argmax(axis=1) == labels) - probs.max(axis=1).mean())
    assert gap - 1e-9 <= calibration_error(labels, probs, bins) <= 1


def test_calibration_error_of_no_samples_is_refused() -> None:
    with pytest.raises(ValueError, match="no samples"):
        calibration_error([], np.empty((0, 3)))


def test_noise_matrix_by_hand() -> None:
    true, given = [0, 0, 0, 0, 2], [0, 0, 0, 1, 0]
    assert label_noise_matrix(given, true, 3) == [
        [0.75, 0.25, 0.0],
        [None, None, None],
        [1.0, 0.0, 0.0],
    ]


def test_noise_matrix_of_small_integers_does_not_overflow() -> None:
    labels = np.arange(200, dtype=np.uint8)
    assert np.array_equal(label_noise_matrix(labels, labels, 200), np.eye(200))


def test_noise_matrix_refuses_labels_outside_the_classes() -> None:
    with pytest.raises(ValueError, match=r"given: labels 0\.\.3"):
        label_noise_matrix([0, 3], [0, 1], 3)


def test_of_a_detector_that_only_ranks_what_is_of_a_mask_is_undefined() -> None:
    given, true, probs = noisy(0, 40)
    suspicion = -probs[np.arange(40), given]
    scores = detection_scores(given, true, Judgement(suspicion))
    whole = scored(given, true, probs, "both")
    of_mask = {"f1", "balanced_accuracy", "precision", "recall", "flagged"}
    assert nones(scores) == of_mask
    assert {name: whole[name] for name in scores.keys() - of_mask} == {
        name: scores[name] for name in scores.keys() - of_mask
    }
