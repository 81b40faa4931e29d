"""Confident learning (Northcutt et al. 2021, arXiv 1911.00068), by cleanlab."""

import warnings
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from noisetune.detectors.base import Detector, Evidence, Judgement

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


class Config(Detector):
    """Labels are held for wrong by cleanlab's filter, and ranked by low self-confidence."""

    default_under = ("standard",)
    recipes = {"paper": {"filter_by": "both"}}

    method: Literal["confident_learning"] = "confident_learning"
    filter_by: Literal[FILTERS] = "prune_by_noise_rate"  # type: ignore[valid-type]
    """Which labels are held for wrong: cleanlab's `filter_by`."""

    @property
    def label(self) -> str:
        return f"{self.method}_{self.filter_by}"

    def judge(self, evidence: Evidence) -> Judgement:
        flagged = flag_issues(evidence.given, evidence.probabilities, self.filter_by)
        # The negative orders as 1 - p does, without rounding small probabilities into ties.
        return Judgement(-evidence.self_confidence, flagged)


def flag_issues(
    given: NDArray[np.int64], probabilities: NDArray[np.floating[Any]], filter_by: str
) -> NDArray[np.bool_]:
    """Which labels (N,) confident learning holds for wrong by probabilities (N, C): a mask (N,).

    Classes that never occur in `given` are legal columns: no sample is ever guessed to belong to
    them, save under `predicted_neq_given`, which compares with the plain argmax. A class with a
    single given sample keeps it under the `prune_*` filters and `both`. With fewer than two given
    classes there is nothing to compare (cleanlab refuses most such inputs): nothing is flagged.
    """
    if len(np.unique(given)) < 2:
        return np.zeros(len(given), dtype=np.bool_)
    # Slow to import, and needed here alone.
    from cleanlab.filter import find_label_issues

    with warnings.catch_warnings():
        # One warning for each class of fewer than two samples: hundreds in a small part.
        warnings.simplefilter("ignore")
        # More jobs fork inside Ray's workers and are slower at this size.
        mask = find_label_issues(given, probabilities, filter_by=filter_by, n_jobs=1)
    return np.asarray(mask, dtype=np.bool_)
