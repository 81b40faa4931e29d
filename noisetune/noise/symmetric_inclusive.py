"""Symmetric noise, own class included, as DivideMix and ELR have it."""

from typing import Literal

import numpy as np

from noisetune.noise.base import CleanPart, Matrix, RateNoise


class Config(RateNoise):
    """With probability `rate` a label is drawn anew from all classes: T_ij = rate / C.

    So the share of wrong labels is rate * (1 - 1/C).
    """

    model: Literal["symmetric_inclusive"] = "symmetric_inclusive"

    def transition_matrix(self, clean: CleanPart) -> Matrix:
        uniform = np.full((clean.classes, clean.classes), self.rate / clean.classes)
        return uniform + (1 - self.rate) * np.eye(clean.classes)
