"""Generalised cross-entropy: between cross-entropy and the mean absolute error."""

from typing import Literal

from pydantic import Field
from torch import Tensor

from noisetune.finetuning._losses import log_likelihood
from noisetune.finetuning.base import FinetuneConfig


class Config(FinetuneConfig):
    """Zhang & Sabuncu 2018, arXiv 1805.07836, eq. 6: the mean of (1 - p(label)^q) / q."""

    method: Literal["gce"] = "gce"
    q: float = Field(default=0.7, gt=0.0, le=1.0)
    """Near 0 it is cross-entropy; 1 is half the mean absolute error, which no wrong label pulls at
    for long and which learns slowly. The paper's is 0.7."""

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        # Not 1 - p^q: that would lose all digits near q = 0.
        return -(self.q * log_likelihood(logits, labels)).expm1().mean() / self.q
