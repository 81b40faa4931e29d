"""No label noise: the labels as they are."""

from typing import Literal

import numpy as np

from noisetune.noise.base import NoiseConfig


class Config(NoiseConfig):
    """Leaves every label as it is."""

    model: Literal["none"] = "none"

    def corrupt(self, labels: np.ndarray, classes: int, rng: np.random.Generator) -> np.ndarray:
        return labels.astype(np.int64)

    def transition_matrix(self, classes: int) -> np.ndarray:
        return np.eye(classes)
