"""Symmetric noise, own class excluded: a flipped label is any OTHER class with equal chance."""

from typing import Literal

import numpy as np

from noisetune.noise.base import CleanPart, Matrix, RateNoise


class Config(RateNoise):
    """Each label is flipped with probability `rate`: T_ij = rate / (C - 1)."""

    default_under = ("standard",)

    model: Literal["symmetric"] = "symmetric"

    def transition_matrix(self, clean: CleanPart) -> Matrix:
        matrix = np.full((clean.classes, clean.classes), self.rate / (clean.classes - 1))
        np.fill_diagonal(matrix, 1 - self.rate)
        return matrix
