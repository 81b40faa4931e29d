"""What every label-noise model is: a pure function of clean labels and a random generator."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field

from noisetune.plugins import PluginConfig, StandIn

Labels = NDArray[np.int64]
Matrix = NDArray[np.float64]
Part = Literal["train", "test"]
PARTS: tuple[Part, ...] = ("train", "test")


@dataclass(frozen=True, eq=False)
class CleanPart:
    """What a noise model may read: one part of a data set, with its clean labels.

    `labels` are int64 (N,) in 0..classes-1, `images` uint8 (N, C, H, W), `mean` and `std` per
    channel in units of [0, 1] pixels. `superclasses` gives each class its superclass, where the
    data set has any. `seed` is the replicate's, one for both parts of a data set: for what belongs
    to the noise and not to a part. `rows` (N,) are the places of the images in the whole part,
    where they are not its first ones. Where they are not `seen` labels and images stand for those
    of a data set that was not fetched.
    """

    labels: Labels
    classes: int
    class_names: tuple[str, ...]
    images: NDArray[np.uint8]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    superclasses: tuple[int, ...] | None = None
    part: Part = "train"
    seed: int = 0
    rows: Labels | None = None
    seen: bool = True


class NoiseConfig(PluginConfig):
    """A label-noise model. `parts` are the parts of a data set that it has noisy labels for, and
    `by_class` says whether a label hangs on the clean class alone, so that the transition matrix is
    all there is to know."""

    parts: ClassVar[tuple[Part, ...]] = PARTS
    by_class: ClassVar[bool] = False

    model: str
    """The noise model."""

    def corrupt(self, clean: CleanPart, rng: np.random.Generator) -> Labels:
        """Noisy labels, int64 (N,), of the images of `clean`; UserError where it has none.

        `rng` begins alike for every rate and model of a replicate: draw the same numbers for an
        image at any rate, and wrong labels are nested.
        """
        raise NotImplementedError

    def transition_matrix(self, clean: CleanPart) -> Matrix:
        """Expected (classes, classes) row-stochastic matrix: P(noisy = column | clean = row)."""
        raise NotImplementedError

    def identity(self) -> Mapping[str, Any]:
        """What stage keys know the noise by: its settings, a file by its content."""
        return self.model_dump(mode="json")

    def stand_in(
        self, clean: Callable[[], CleanPart], made_up: bool, folder: Path
    ) -> StandIn | None:
        """What a smoke run takes for a file of labels that is not there, or whose images are not,
        since they are `made_up`; None where nothing is missing.

        `clean` reads the whole training set; files are made in `folder`.
        """
        return None


class ClassNoise(NoiseConfig):
    """Noise that depends on the clean class alone: all of it is in its transition matrix."""

    by_class = True

    draw: Literal["iid", "exact"] = "iid"
    """`iid` decides of each label by itself. `exact` makes as many labels wrong as expected,
    rounded, split over the clean classes by largest remainder; which labels of a class are wrong,
    and which wrong class they get, stays random. In a replicate a higher rate keeps the wrong
    labels of a lower one; under `exact` all but one of a class, at most: rounding moves that."""

    def corrupt(self, clean: CleanPart, rng: np.random.Generator) -> Labels:
        matrix = self.transition_matrix(clean)
        leaving = 1 - matrix.diagonal()
        # One number decides whether a label is wrong, another which one it becomes. Those of an
        # image hang neither on the rate nor on how many images follow.
        whether, which = rng.random((len(clean.labels), 2)).T
        flipped = whether < leaving[clean.labels]
        if self.draw == "exact":
            expected = np.bincount(clean.labels, minlength=clean.classes) * leaving
            flipped = lowest_of_each(whether, clean.labels, apportion(expected, rng))
        noisy = clean.labels.astype(np.int64)
        for label in np.unique(clean.labels[flipped]):
            rows = np.flatnonzero(flipped & (clean.labels == label))
            wrong = np.where(np.arange(clean.classes) == label, 0, matrix[label])
            noisy[rows] = pick(wrong[None], which[rows])
        return noisy


class RateNoise(ClassNoise):
    """Class-dependent noise whose matrix hangs on one `rate`."""

    rate: float = Field(default=0.4, ge=0.0, le=1.0)
    """How much noise: each model says what it is the chance of."""


def pick(weights: Matrix, uniform: NDArray[np.float64]) -> Labels:
    """The class that each of `uniform` (N,), in [0, 1), falls on.

    `weights` (N or 1, C) need not sum to 1; a class of no weight is never picked.
    """
    ends = np.cumsum(weights, axis=1)
    return (ends <= uniform[:, None] * ends[:, -1:]).sum(axis=1)


def apportion(expected: NDArray[np.float64], rng: np.random.Generator) -> Labels:
    """Whole numbers (C,) that sum to the rounded sum of `expected`, by largest remainder.

    Equal remainders are ordered at random.
    """
    # Products such as 50 * (1 - 0.4) miss the whole number by a last bit.
    expected = expected.round(9)
    shares = np.floor(expected)
    order = np.lexsort((rng.random(len(expected)), shares - expected))
    shares[order[: round(float(expected.sum().round(9)) - shares.sum())]] += 1
    return shares.astype(np.int64)


def lowest_of_each(values: NDArray[np.float64], labels: Labels, counts: Labels) -> NDArray[Any]:
    """A mask (N,) of the `counts[c]` samples of each class c that have the lowest `values`."""
    order = np.lexsort((values, labels))
    in_order = labels[order]
    rank = np.arange(len(labels)) - np.searchsorted(in_order, in_order)
    mask = np.zeros(len(labels), dtype=np.bool_)
    mask[order] = rank < counts[in_order]
    return mask


def realised_matrix(clean: Labels, noisy: Labels, classes: int) -> Matrix:
    """The share of each clean class that got each label; an absent class keeps its own."""
    counts = np.bincount(clean * classes + noisy, minlength=classes**2).astype(np.float64)
    counts = counts.reshape(classes, classes)
    absent = counts.sum(axis=1) == 0
    counts[absent, absent] = 1
    return counts / counts.sum(axis=1, keepdims=True)


def noisy_accuracy(
    matrix: ArrayLike, clean_accuracy: float, prior: ArrayLike | None = None
) -> float:
    """The accuracy (0..1) on noisy labels of a classifier that has `clean_accuracy` on clean ones.

    It is taken to be right with that probability a in every class, and to spread its mistakes
    evenly over the other classes: it agrees with the noisy label of class i with probability
    a T_ii + (1 - a) mean_{j != i} T_ij. This is averaged over the classes with weights `prior`
    (C,), uniform by default. Real mistakes are not even: under other than symmetric noise it is
    an approximation. A row of `matrix` (C, C) that is None or nan, that of a class which does not
    occur, is left out. ValueError for what is no transition matrix.
    """
    rows, classes = _occurring(matrix)
    kept = rows[classes, classes]
    agreeing = clean_accuracy * kept + (1 - clean_accuracy) * (1 - kept) / (len(rows) - 1)
    weights = None if prior is None else np.asarray(prior, dtype=np.float64)[classes]
    return float(np.average(agreeing, weights=weights))


def clean_slope(matrix: ArrayLike, prior: ArrayLike | None = None) -> float:
    """Points of accuracy on noisy labels gained for each point of accuracy on clean ones.

    For symmetric noise 1 - r - r/(C-1), whatever the prior. Zero or less: noisy accuracy says
    nothing, or the opposite. Under the assumptions of `noisy_accuracy`.
    """
    return noisy_accuracy(matrix, 1.0, prior) - noisy_accuracy(matrix, 0.0, prior)


def diagonally_dominant(matrix: ArrayLike) -> bool:
    """Whether every class that occurs keeps its label more often than it takes any other one."""
    rows, classes = _occurring(matrix)
    # Shares such as 1 - 2/3 miss 1/3 by a last bit.
    others = rows[classes].round(9)
    kept = others[np.arange(len(classes)), classes]
    others[np.arange(len(classes)), classes] = -np.inf
    return bool((kept > others.max(axis=1)).all())


def _occurring(matrix: ArrayLike) -> tuple[Matrix, NDArray[np.intp]]:
    """The matrix as floats, and the indices of the rows that occur."""
    rows = np.array(matrix, dtype=np.float64)
    if rows.ndim != 2 or rows.shape[0] != rows.shape[1] or len(rows) < 2:
        raise ValueError(f"matrix: shape {rows.shape}, expected (C, C) with two or more classes")
    classes = np.flatnonzero(~np.isnan(rows).all(axis=1))
    if not len(classes) or not np.allclose(rows[classes].sum(axis=1), 1, atol=1e-6):
        raise ValueError("matrix: every row that occurs must sum to 1, and one must occur")
    return rows, classes
