"""The noise that confident learning estimates, against the noise that there is.

Labels and probabilities are as in `noisetune.stages.scores`.
"""

import warnings
from dataclasses import dataclass

import numpy as np
from cleanlab.count import compute_confident_joint, estimate_latent
from numpy.typing import ArrayLike, NDArray

from noisetune.records import Metrics
from noisetune.stages.scores import label_noise_matrix

Matrix = list[list[float | None]]


@dataclass(frozen=True)
class NoiseEstimate:
    """What the given labels and out-of-sample probabilities tell of the noise, without truth.

    Entry [i][j] of `matrix` (C, C) estimates the share of true class i labelled j: rows sum to 1,
    and the row of a class that nobody is held to belong to is all None. `rate` estimates the
    share of wrong labels, 0..1; None with fewer than two given classes.
    """

    matrix: Matrix
    rate: float | None


def estimate_noise(given: ArrayLike, pred_probs: ArrayLike) -> NoiseEstimate:
    """Rate and transition matrix from the calibrated confident joint (Northcutt et al. 2021,
    section 3.1, equations 1-3).

    A class that is never given has no row: no sample is confidently held to belong to it.
    """
    labels, probs = np.asarray(given, dtype=np.int64), np.asarray(pred_probs)
    classes = probs.shape[1]
    if len(np.unique(labels)) < 2:
        return NoiseEstimate([[None] * classes for _ in range(classes)], None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        joint = compute_confident_joint(labels, probs)
        _, noise_matrix, _ = estimate_latent(joint, labels)
    # cleanlab's columns are the true classes.
    matrix: Matrix = [
        row.tolist() if counts.any() else [None] * classes
        for row, counts in zip(noise_matrix.T, joint.T, strict=True)
    ]
    return NoiseEstimate(matrix, float(1 - np.trace(joint) / joint.sum()))


def noise_scores(given: ArrayLike, true: ArrayLike, estimate: NoiseEstimate) -> Metrics:
    """How far an estimate of the noise among `given` is from the realised noise.

    `rate_estimate`, and `rate_error`, its distance to the realised rate. `matrix_error` is the
    mean absolute error over the entries of the transition matrix, `matrix_distance` the total
    variation distance of its rows, averaged, 0..1. Classes that do not occur are left out, and so
    are rows that the estimate does not have; what is then undefined is None.
    """
    labels, actual = (np.asarray(each, dtype=np.int64) for each in (given, true))
    rate_error = None
    if estimate.rate is not None:
        rate_error = abs(estimate.rate - float((labels != actual).mean()))
    gaps = _gaps(labels, actual, estimate.matrix)
    return {
        "rate_estimate": estimate.rate,
        "rate_error": rate_error,
        "matrix_error": float(gaps.mean()) if gaps.size else None,
        "matrix_distance": float(gaps.sum(axis=1).mean() / 2) if gaps.size else None,
    }


def _gaps(
    given: NDArray[np.integer], true: NDArray[np.integer], estimate: Matrix
) -> NDArray[np.float64]:
    """Absolute errors of the entries of the rows and columns that can be compared."""
    # None becomes NaN.
    guessed = np.array(estimate, dtype=np.float64)
    realised = np.array(label_noise_matrix(given, true, len(estimate)), dtype=np.float64)
    gaps = np.abs(guessed - realised)
    occurring = np.union1d(given, true)
    return gaps[~np.isnan(gaps).any(axis=1)][:, occurring]
