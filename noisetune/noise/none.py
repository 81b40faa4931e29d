"""No label noise: the labels as they are."""

from typing import Literal

import numpy as np

from noisetune.noise.base import CleanPart, Labels, Matrix, NoiseConfig


class Config(NoiseConfig):
    """Leaves every label as it is."""

    by_class = True

    model: Literal["none"] = "none"

    def corrupt(self, clean: CleanPart, rng: np.random.Generator) -> Labels:
        return clean.labels.astype(np.int64)

    def transition_matrix(self, clean: CleanPart) -> Matrix:
        return np.eye(clean.classes)
