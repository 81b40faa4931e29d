"""Scores of label-error detection and of calibration.

Throughout, `given` and `true` are integer labels (N,) in 0..C-1, `pred_probs` is (N, C) with rows
that sum to 1, and an error is a sample whose given label is not its true one.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn import metrics

from noisetune.detectors.base import Judgement, checked_labels, checked_probabilities
from noisetune.records import Metrics

_OF_MASK = ("f1", "balanced_accuracy", "precision", "recall")
_OF_RANKS = ("auroc", "auprc", "precision_at_k", "lift_at_k")
OF_DETECTOR = {*_OF_MASK, *_OF_RANKS, "flagged"}
"""The scores that are a detector's own; others are of the labels, or of the probabilities."""


def detection_scores(given: ArrayLike, true: ArrayLike, judgement: Judgement) -> Metrics:
    """How well a detector finds the errors among `given`.

    Of its mask: `f1`, `balanced_accuracy`, `precision`, `recall` and `flagged`, the share of
    samples flagged. `f1_flag_all` is what flagging every sample would score. Of its ranks, the most
    suspicious first: `auroc`, `auprc` (average precision), `precision_at_k` among the K most
    suspicious, K being the number of errors (so it is recall at K too), and `lift_at_k`, that over
    `error_rate`, the realised share of errors.

    What is undefined is None: without errors everything but `flagged` and `error_rate`; with errors
    only, `balanced_accuracy` and the four rank scores, which need both kinds; with nothing flagged,
    `precision`; of a detector that only ranks, what is of a mask; without samples, everything.
    """
    labels = checked_labels(given, "given", np.size(given))
    errors = labels != checked_labels(true, "true", len(labels))
    shares: Metrics = {"flagged": flagged_share(judgement), "error_rate": _mean(errors)}
    masked = _mask_scores(errors, judgement.mask)
    return masked | _rank_scores(errors, judgement.suspicion) | shares


def flagged_share(judgement: Judgement) -> float | None:
    """The share of labels held for wrong, 0..1; None without a mask or labels."""
    return None if judgement.mask is None else _mean(judgement.mask)


def calibration_error(labels: ArrayLike, pred_probs: ArrayLike, bins: int = 15) -> float:
    """Expected calibration error of the predicted class, 0..1 (Guo et al. 2017, equation 3).

    Bins of equal width, each (low, high]. Raises ValueError without samples.
    """
    probs = checked_probabilities(pred_probs)
    expected = checked_labels(labels, "labels", *probs.shape)
    if not len(expected):
        raise ValueError("labels: the calibration error of no samples is undefined")
    confidence = probs.max(axis=1).astype(np.float64)
    gap = (probs.argmax(axis=1) == expected) - confidence
    edges = np.linspace(0, 1, bins + 1)[1:-1]
    totals = np.bincount(np.digitize(confidence, edges, right=True), weights=gap)
    return float(np.abs(totals).sum() / len(gap))


def label_noise_matrix(given: ArrayLike, true: ArrayLike, classes: int) -> list[list[float | None]]:
    """The realised noise transitions: entry [i][j] is the share of true class i labelled j.

    Rows sum to 1; the row of a class that never occurs in `true` is all None. Plain lists, so that
    a record holds it as JSON.
    """
    actual = checked_labels(true, "true", np.size(given), classes)
    pairs = actual * classes + checked_labels(given, "given", len(actual), classes)
    counts = np.bincount(pairs, minlength=classes**2).reshape(classes, classes)
    return [(row / row.sum()).tolist() if row.any() else [None] * classes for row in counts]


def _mask_scores(errors: NDArray[np.bool_], mask: NDArray[np.bool_] | None) -> Metrics:
    scores: Metrics = dict.fromkeys((*_OF_MASK, "f1_flag_all"))
    if not errors.any():
        return scores
    scores["f1_flag_all"] = float(metrics.f1_score(errors, np.ones_like(errors)))
    if mask is None:
        return scores
    scores["f1"] = float(metrics.f1_score(errors, mask))
    scores["recall"] = float(metrics.recall_score(errors, mask))
    if mask.any():
        scores["precision"] = float(metrics.precision_score(errors, mask))
    if not errors.all():
        scores["balanced_accuracy"] = float(metrics.balanced_accuracy_score(errors, mask))
    return scores


def _rank_scores(errors: NDArray[np.bool_], suspicion: NDArray[np.floating]) -> Metrics:
    if not errors.any() or errors.all():
        return dict.fromkeys(_OF_RANKS)
    precision = _precision_at_k(errors, suspicion)
    return {
        "auroc": float(metrics.roc_auc_score(errors, suspicion)),
        "auprc": float(metrics.average_precision_score(errors, suspicion)),
        "precision_at_k": precision,
        "lift_at_k": precision / float(errors.mean()),
    }


def _precision_at_k(errors: NDArray[np.bool_], suspicion: NDArray[np.floating]) -> float:
    """Share of errors in the K most suspicious; its expectation over a tie at the K-th place."""
    k = int(errors.sum())
    kth = np.partition(suspicion, -k)[-k]
    above = suspicion > kth
    found = errors[above].sum() + (k - above.sum()) * errors[suspicion == kth].mean()
    return float(found / k)


def _mean(mask: NDArray[np.bool_]) -> float | None:
    return float(mask.mean()) if len(mask) else None
