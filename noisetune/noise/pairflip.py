"""Pair-flip noise: a wrong label is the next class."""

from typing import Literal

import numpy as np
from pydantic import Field

from noisetune.noise.base import CleanPart, Matrix, RateNoise


class Config(RateNoise):
    """Each label i becomes i + 1 mod C with probability `rate`."""

    model: Literal["pairflip"] = "pairflip"
    rate: float = Field(default=0.4, ge=0.0, lt=0.5)
    """From one half on, the wrong class would be as frequent as the right one."""

    def transition_matrix(self, clean: CleanPart) -> Matrix:
        own = np.eye(clean.classes)
        return (1 - self.rate) * own + self.rate * np.roll(own, 1, axis=1)
