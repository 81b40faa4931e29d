"""The symmetric noise of "Pre-train to Gain" (arXiv 2511.20844), with its bias."""

from typing import Literal

import numpy as np

from noisetune.noise.base import CleanPart, Matrix, RateNoise


class Config(RateNoise):
    """Drawn from all classes with probability `rate`; a draw of the own class y becomes y + 1.

    So P(y + 1 mod C) is 2 * rate / C, that of every other wrong class rate / C.
    """

    default_under = ("paper",)

    model: Literal["paper"] = "paper"

    def transition_matrix(self, clean: CleanPart) -> Matrix:
        own = np.eye(clean.classes)
        uniform = np.full((clean.classes, clean.classes), self.rate / clean.classes)
        moved = (np.roll(own, 1, axis=1) - own) * self.rate / clean.classes
        return uniform + moved + (1 - self.rate) * own
