"""Scores of label-error detection and of calibration, from out-of-sample class probabilities.

Throughout, `given` and `true` are integer labels (N,) in 0..C-1, `pred_probs` is (N, C) with rows
that sum to 1, and an error is a sample whose given label is not its true one.
"""

import warnings

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn import metrics

from noisetune.errors import UserError
from noisetune.records import Metrics

FILTERS = (
    "prune_by_noise_rate",
    "prune_by_class",
    "both",
    "confident_learning",
    "predicted_neq_given",
    "low_normalized_margin",
    "low_self_confidence",
)
"""Every `filter_by` of cleanlab's `find_label_issues`, its default first."""


def flag_issues(given: ArrayLike, pred_probs: ArrayLike, filter_by: str) -> NDArray[np.bool_]:
    """Which labels confident learning holds for wrong (Northcutt et al. 2021): a mask (N,).

    `pred_probs` must be out-of-sample. Classes that never occur in `given` are legal columns: no
    sample is ever guessed to belong to them, save under `predicted_neq_given`, which compares with
    the plain argmax. A class with a single given sample keeps it under the `prune_*` filters and
    `both`. With fewer than two given classes there is nothing to compare (cleanlab refuses most
    such inputs): nothing is flagged.

    Raises UserError for an unknown filter, ValueError for labels and probabilities that do not fit.
    """
    if filter_by not in FILTERS:
        raise UserError(f"filter_by: {filter_by!r} is no filter; choose from {', '.join(FILTERS)}")
    labels, probs = _checked(given, pred_probs)
    if len(np.unique(labels)) < 2:
        return np.zeros(len(labels), dtype=np.bool_)
    # Slow to import, and needed here alone.
    from cleanlab.filter import find_label_issues

    with warnings.catch_warnings():
        # One warning for each class of fewer than two samples: hundreds in a small part.
        warnings.simplefilter("ignore")
        # More jobs fork inside Ray's workers and are slower at this size.
        mask = find_label_issues(labels, probs, filter_by=filter_by, n_jobs=1)
    return np.asarray(mask, dtype=np.bool_)


def self_confidence(given: ArrayLike, pred_probs: ArrayLike) -> NDArray[np.floating]:
    """The probability of each given label (N,): the lower, the more suspicious."""
    labels, probs = _checked(given, pred_probs)
    return probs[np.arange(len(labels)), labels]


def detection_scores(
    given: ArrayLike, true: ArrayLike, pred_probs: ArrayLike, filter_by: str
) -> Metrics:
    """How well the errors among `given` are found.

    Of the mask of `filter_by`: `f1`, `balanced_accuracy`, `precision`, `recall` and `flagged`, the
    share of samples flagged. `f1_flag_all` is what flagging every sample would score. Of the ranks
    by low self-confidence: `auroc`, `auprc` (average precision), `precision_at_k` among the K most
    suspicious, K being the number of errors (so it is recall at K too), and `lift_at_k`, that over
    `error_rate`, the realised share of errors.

    What is undefined is None: without errors everything but `flagged` and `error_rate`; with errors
    only, `balanced_accuracy` and the four rank scores, which need both kinds; with nothing flagged,
    `precision`; without samples, everything.
    """
    labels, probs = _checked(given, pred_probs)
    errors = labels != _labels(true, "true", len(labels))
    mask = flag_issues(labels, probs, filter_by)
    shares: Metrics = {"flagged": _mean(mask), "error_rate": _mean(errors)}
    # The negative orders as 1 - p does, without rounding small probabilities into ties.
    suspicion = -self_confidence(labels, probs)
    return _mask_scores(errors, mask) | _rank_scores(errors, suspicion) | shares


def calibration_error(labels: ArrayLike, pred_probs: ArrayLike, bins: int = 15) -> float:
    """Expected calibration error of the predicted class, 0..1 (Guo et al. 2017, equation 3).

    Bins of equal width, each (low, high]. Raises ValueError without samples.
    """
    expected, probs = _checked(labels, pred_probs)
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
    actual = _labels(true, "true", np.size(given), classes)
    pairs = actual * classes + _labels(given, "given", len(actual), classes)
    counts = np.bincount(pairs, minlength=classes**2).reshape(classes, classes)
    return [(row / row.sum()).tolist() if row.any() else [None] * classes for row in counts]


def _mask_scores(errors: NDArray[np.bool_], mask: NDArray[np.bool_]) -> Metrics:
    names = ("f1", "f1_flag_all", "balanced_accuracy", "precision", "recall")
    scores: Metrics = dict.fromkeys(names)
    if not errors.any():
        return scores
    scores["f1"] = float(metrics.f1_score(errors, mask))
    scores["f1_flag_all"] = float(metrics.f1_score(errors, np.ones_like(errors)))
    scores["recall"] = float(metrics.recall_score(errors, mask))
    if mask.any():
        scores["precision"] = float(metrics.precision_score(errors, mask))
    if not errors.all():
        scores["balanced_accuracy"] = float(metrics.balanced_accuracy_score(errors, mask))
    return scores


def _rank_scores(errors: NDArray[np.bool_], suspicion: NDArray[np.floating]) -> Metrics:
    if not errors.any() or errors.all():
        return dict.fromkeys(("auroc", "auprc", "precision_at_k", "lift_at_k"))
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


def _checked(
    given: ArrayLike, pred_probs: ArrayLike
) -> tuple[NDArray[np.int64], NDArray[np.floating]]:
    probs = np.asarray(pred_probs)
    probs = probs.astype(np.result_type(probs, np.float32), copy=False)
    if probs.ndim != 2:
        raise ValueError(f"pred_probs: shape {probs.shape}, expected (samples, classes)")
    # cleanlab compares, so a NaN would pass its own check unseen.
    if not np.isfinite(probs).all():
        raise ValueError("pred_probs: every probability must be finite")
    return _labels(given, "given", *probs.shape), probs


def _labels(
    labels: ArrayLike, name: str, samples: int, classes: int | None = None
) -> NDArray[np.int64]:
    array = np.asarray(labels)
    if array.shape != (samples,):
        raise ValueError(f"{name}: shape {array.shape}, expected ({samples},)")
    if classes is not None and len(array) and not 0 <= array.min() <= array.max() < classes:
        raise ValueError(
            f"{name}: labels {array.min()}..{array.max()}, expected them in 0..{classes - 1}"
        )
    return array.astype(np.int64)
