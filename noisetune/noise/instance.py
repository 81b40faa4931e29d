"""Instance-dependent noise (Xia et al. 2020, arXiv 2006.07836, algorithm 2)."""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.special import softmax
from scipy.stats import truncnorm

from noisetune.noise.base import (
    CleanPart,
    Labels,
    Matrix,
    NoiseConfig,
    lowest_of_each,
    pick,
)

SPREAD = 0.1


class Config(NoiseConfig):
    """An image x of class y is mislabelled with chance q, as class j with q * softmax(x W_y)_j.

    q ~ TruncNorm(rate, 0.1^2, [0, 1]) for each image, W_y ~ N(0, 1) for each class, the own class
    left out of the softmax. Training and test labels of a replicate share W, at every rate.
    """

    model: Literal["instance"] = "instance"
    rate: float = Field(default=0.4, gt=0.0, le=1.0)
    """The centre of q's distribution. The mean of q, the share of wrong labels, is that only where
    the interval cuts off little: 0.4000 at 0.4, but 0.206 at 0.2, 0.129 at 0.1 and 0.101 at 0.05
    (`draw: exact` is exactly `rate`)."""
    draw: Literal["iid", "exact"] = "iid"
    """`iid` decides of each label by itself. `exact` mislabels round(rate * N) images, those of
    the lowest u / q with u uniform (sequential Poisson sampling, Ohlsson 1998). In a replicate a
    higher rate keeps the wrong labels of a lower one; under `exact` nearly all."""
    pixels: Literal["unit", "standardised"] = "unit"
    """The scale of x, on which everything hangs. Both are standardised by the data set's mean and
    deviation. `standardised` stops there, as the authors' code does: a logit then has the deviation
    sqrt(D) for D pixel values (55 on CIFAR), and the softmax is one-hot for most images. `unit`
    divides by sqrt(D): logits have a deviation of about 1 whatever the size of the images."""

    def corrupt(self, clean: CleanPart, rng: np.random.Generator) -> Labels:
        count = len(clean.labels)
        whether, which, quantile = rng.random((count, 3)).T
        chance = self._chance().ppf(quantile)
        flipped = whether < chance
        if self.draw == "exact":
            one_group, wanted = np.zeros(count, np.int64), np.array([round(self.rate * count)])
            flipped = lowest_of_each(whether / chance, one_group, wanted)
        noisy = clean.labels.astype(np.int64)
        for label in np.unique(clean.labels[flipped]):
            rows = np.flatnonzero(flipped & (clean.labels == label))
            noisy[rows] = pick(self._wrong(clean, label, rows), which[rows])
        return noisy

    def transition_matrix(self, clean: CleanPart) -> Matrix:
        """What is expected of these images under their W: the mean over each class's images.

        A class without images has every wrong class alike, which is the mean over W.
        """
        rate = self.rate if self.draw == "exact" else float(self._chance().mean())
        matrix = np.full((clean.classes, clean.classes), 1 / (clean.classes - 1))
        for label in np.unique(clean.labels):
            rows = np.flatnonzero(clean.labels == label)
            matrix[label] = self._wrong(clean, label, rows).mean(axis=0)
        np.fill_diagonal(matrix, 0)
        return rate * matrix + (1 - rate) * np.eye(clean.classes)

    def _chance(self) -> Any:
        """The distribution of q."""
        bounds = (0 - self.rate) / SPREAD, (1 - self.rate) / SPREAD
        return truncnorm(*bounds, loc=self.rate, scale=SPREAD)

    def _wrong(self, clean: CleanPart, label: int, rows: Labels) -> Matrix:
        """P(noisy label | mislabelled) of the images `rows`, all of class `label`: (n, classes)."""
        pixels = self._scaled(clean, rows)
        weights = np.random.default_rng([clean.seed, int(label)])
        logits = pixels @ weights.standard_normal((pixels.shape[1], clean.classes))
        logits[:, label] = -np.inf
        return softmax(logits, axis=1)

    def _scaled(self, clean: CleanPart, rows: Labels) -> NDArray[np.float64]:
        """Pixels (n, D) in the scale that `pixels` names.

        Double precision: rounding that differs with the number of threads then moves no label.
        """
        mean, std = (np.reshape(part, (1, -1, 1, 1)) for part in (clean.mean, clean.std))
        standardised = ((clean.images[rows] / 255 - mean) / std).reshape(len(rows), -1)
        return standardised / (standardised.shape[1] ** 0.5 if self.pixels == "unit" else 1)
