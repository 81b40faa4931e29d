"""Symmetric noise, own class excluded: a flipped label is any OTHER class with equal chance."""

from typing import Literal

import numpy as np
from pydantic import Field

from noisetune.noise.base import NoiseConfig


class Config(NoiseConfig):
    """Each label is flipped with probability `rate`, independently: T_ij = rate / (C - 1)."""

    model: Literal["symmetric"] = "symmetric"
    rate: float = Field(default=0.4, ge=0.0, le=1.0)

    def corrupt(self, labels: np.ndarray, classes: int, rng: np.random.Generator) -> np.ndarray:
        flipped = rng.random(len(labels)) < self.rate
        # A shift of 1..C-1 reaches every other class once and never the own one.
        shift = rng.integers(1, classes, size=len(labels))
        return np.where(flipped, (labels + shift) % classes, labels).astype(np.int64)

    def transition_matrix(self, classes: int) -> np.ndarray:
        matrix = np.full((classes, classes), self.rate / (classes - 1))
        np.fill_diagonal(matrix, 1 - self.rate)
        return matrix
