"""How label errors are told: a score for each label, from what a network makes of its image."""

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field

from noisetune.detectors._neighbours import Neighbours
from noisetune.errors import UserError
from noisetune.plugins import PluginConfig

Kept = Literal["features", "predictions", "margins"]


@dataclass(frozen=True)
class Evidence:
    """What a detector may read of N images, none of which the network was trained on.

    `given` labels (N,), int64 in 0..C-1; `probabilities` (N, C), rows sum to 1. `features`
    (N, D), float32, are what the classifier's head read, at the epoch of the probabilities;
    `predictions` (E, N), int64, the class that was predicted after each of the E epochs, one or
    more, and `margins` (N, C), float32, the mean over all of them of the logit of each class minus
    the largest other one. They are None where a network was stored before they were kept. `fold`
    (N,) tells images judged by different networks apart, whose features cannot be compared; None
    where one network judged all. The `neighbours` of images by their features are found once, and
    kept by a copy with other labels. Raises ValueError for labels and probabilities that do not
    fit.
    """

    given: NDArray[np.int64]
    probabilities: NDArray[np.floating[Any]]
    features: NDArray[np.float32] | None = None
    predictions: NDArray[np.int64] | None = None
    fold: NDArray[np.int64] | None = None
    margins: NDArray[np.float32] | None = None
    neighbours: Neighbours | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        probabilities = checked_probabilities(self.probabilities)
        object.__setattr__(self, "probabilities", probabilities)
        given = checked_labels(self.given, "given", *probabilities.shape)
        object.__setattr__(self, "given", given)
        if self.features is not None and not self._knows_neighbours():
            object.__setattr__(self, "neighbours", Neighbours(self.features, self.fold))

    def _knows_neighbours(self) -> bool:
        known = self.neighbours
        return known is not None and known.features is self.features and known.fold is self.fold

    @property
    def self_confidence(self) -> NDArray[np.floating[Any]]:
        """The probability of each given label (N,)."""
        own: NDArray[np.floating[Any]] = self.probabilities[np.arange(len(self.given)), self.given]
        return own


@dataclass(frozen=True)
class Judgement:
    """`suspicion` (N,): the higher, the more likely a label is wrong; `mask` (N,) bool: those that
    are held for wrong, None for a detector that only ranks."""

    suspicion: NDArray[np.floating[Any]]
    mask: NDArray[np.bool_] | None = None


class Detector(PluginConfig):
    """A detector's own settings. `reads` names what it needs beside labels and probabilities."""

    reads: ClassVar[tuple[Kept, ...]] = ()

    method: str
    """The detector: a file of `noisetune/detectors/`, or a plug-in of another package."""

    @property
    def label(self) -> str:
        """What its scores are called, where several detectors look at one trial."""
        return self.method

    def identity(self) -> dict[str, Any]:
        """What a stage key knows it by: its name and its own settings."""
        own = {"method", *type(self).model_fields} - DetectConfig.model_fields.keys()
        return self.model_dump(mode="json", include={"method", *own})

    def judge(self, evidence: Evidence) -> Judgement:
        """Score every label; it changes nothing and draws nothing at random."""
        raise NotImplementedError

    def check(self, evidence: Evidence) -> None:
        """UserError where what it reads was not kept with the network."""
        for kept in self.reads:
            if getattr(evidence, kept) is None:
                raise UserError(
                    f"detect: {self.method} reads {kept}, which were not kept when this network "
                    "was stored; evict it with `noisetune store gc`, or run with --no-share"
                )


class DetectConfig(Detector):
    """Label-error detection: the detector that is reported first, and what all of them share."""

    checkpoint: Literal["selected", "last"] = "selected"
    """Which network gives the probabilities: that of the epoch `selected` by noisy validation
    accuracy, or the `last` one. Detectors of what happened over the epochs read all of these,
    whichever it is."""
    test_seed: Literal["own", "training"] = "own"
    """The seed of the noise of test labels: one of its `own`, or that of the `training` labels."""
    folds: int | None = Field(default=None, ge=2)
    """Judge the training labels, too: by cross-validation over so many folds, each a fine-tuning of
    its own."""
    also: tuple[Any, ...] = ()
    """Further detectors that look at the same network, each with its `method` and its own fields,
    and scored under its own name; they cost no training."""

    @property
    def detectors(self) -> tuple[Detector, ...]:
        """All of them, the one that is reported first at the front."""
        return (self, *self.also)


def checked_probabilities(probabilities: ArrayLike) -> NDArray[np.floating[Any]]:
    """Finite numbers (N, C) of float32 or more; ValueError for anything else."""
    array = np.asarray(probabilities)
    array = array.astype(np.result_type(array, np.float32), copy=False)
    if array.ndim != 2:
        raise ValueError(f"probabilities: shape {array.shape}, expected (samples, classes)")
    # cleanlab compares, so a NaN would pass its own check unseen.
    if not np.isfinite(array).all():
        raise ValueError("probabilities: every one must be finite")
    return array


def checked_labels(
    labels: ArrayLike, name: str, samples: int, classes: int | None = None
) -> NDArray[np.int64]:
    """Labels (samples,) as int64; ValueError, with `name`, for another shape or no class."""
    array = np.asarray(labels)
    if array.shape != (samples,):
        raise ValueError(f"{name}: shape {array.shape}, expected ({samples},)")
    if classes is not None and len(array) and not 0 <= array.min() <= array.max() < classes:
        raise ValueError(
            f"{name}: labels {array.min()}..{array.max()}, expected them in 0..{classes - 1}"
        )
    return array.astype(np.int64)
