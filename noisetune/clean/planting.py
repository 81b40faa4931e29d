"""Known label errors: what detectors make of a label that is certainly not the one that was given.

Every label is judged by networks that never saw it, so that nothing has to be trained again to ask
how suspicious another label would be. A planted label is drawn as labels are confused, by the
off-diagonal entries of the joint that confident learning estimates (Northcutt et al. 2021).
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from cleanlab.count import compute_confident_joint
from numpy.typing import NDArray

from noisetune.detectors.base import Detector, Evidence

PARTS = 10
"""A part of so many is planted at a time: neighbours keep most of their labels."""
WANTED = 3000
"""Planted labels: with so many a share is known within a hundredth."""
SMOOTHING = 0.1
"""Counted for each pair of classes that was never confused."""
Scores = Mapping[str, NDArray[np.float64]]


def planted_labels(evidence: Evidence, rng: np.random.Generator) -> NDArray[np.int64]:
    """A label (N,) for each image that is not the one that was given."""
    given, probabilities = evidence.given, evidence.probabilities
    weights = confusions(given, probabilities)[given]
    ends = weights.cumsum(axis=1)
    drawn = (ends <= rng.random((len(given), 1)) * ends[:, -1:]).sum(axis=1)
    return drawn.astype(np.int64)


def confusions(
    given: NDArray[np.int64], probabilities: NDArray[np.floating]
) -> NDArray[np.float64]:
    """How often an image of class [i] is labelled [j] (C, C): weights, none on the diagonal."""
    classes = probabilities.shape[1]
    joint = np.zeros((classes, classes))
    if len(np.unique(given)) > 1:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # cleanlab's columns are the true classes.
            joint = compute_confident_joint(given, probabilities, calibrate=False).T.astype(float)
    weights = joint + SMOOTHING
    np.fill_diagonal(weights, 0.0)
    return weights


def suspicions(detectors: Sequence[Detector], evidence: Evidence) -> dict[str, NDArray[np.float64]]:
    """What each detector makes of the given labels (N,), by its name: the higher, the worse.

    UserError where one reads what was not kept.
    """
    judged = {}
    for detector in detectors:
        detector.check(evidence)
        judged[detector.label] = np.asarray(detector.judge(evidence).suspicion, dtype=np.float64)
    return judged


def planted_suspicions(
    detectors: Sequence[Detector],
    evidence: Evidence,
    labels: NDArray[np.int64],
    rows: Sequence[NDArray[np.int64]],
) -> dict[str, NDArray[np.float64]]:
    """The same of planted `labels` (N,), in the order of `rows`, which are planted by turns."""
    parts = []
    for part in rows:
        mixed = evidence.given.copy()
        mixed[part] = labels[part]
        judged = suspicions(detectors, replace(evidence, given=mixed))
        parts.append({name: scores[part] for name, scores in judged.items()})
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def parts_to_plant(images: int, rng: np.random.Generator) -> list[NDArray[np.int64]]:
    """Which of so many images get planted labels: disjoint parts, a tenth each, all of a small set
    and enough of a large one."""
    parts = np.array_split(rng.permutation(images), min(PARTS, images))
    wanted = int(np.ceil(WANTED / max(1, len(parts[0]))))
    return [np.sort(part) for part in parts[:wanted]]
