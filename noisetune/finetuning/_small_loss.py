"""What methods share that hold the images of the smallest losses for rightly labelled."""

import torch
from pydantic import Field
from torch import Tensor

from noisetune.finetuning._losses import log_likelihood
from noisetune.finetuning.base import Criterion, FinetuneConfig, Predict


class SmallLossConfig(FinetuneConfig):
    """Of each batch, the images with the largest losses are left out: few at first, when a network
    has memorised no wrong label yet, and then as many as are thought to be wrong."""

    forget_rate: float = Field(default=0.2, ge=0.0, lt=1.0)
    """The share of a batch that is left out in the end (the paper's tau). The paper sets it to the
    noise rate, which nobody knows who has noisy labels alone: search for it."""
    ramp_epochs: float = Field(default=5.0, gt=0.0)
    """How fast that share grows (the paper's T_k: 5, 10 or 15 of 200 epochs)."""
    exponent: float = Field(default=1.0, gt=0.0)
    """How it grows (the paper's c: 0.5, 1 or 2)."""

    def forgotten(self, epoch: int) -> float:
        """The share that is left out in an epoch t (0-based): forget_rate * min(t^c / T_k, 1), as
        Han et al. 2018 have it (arXiv 1804.06872, section 4.2)."""
        return self.forget_rate * min(epoch**self.exponent / self.ramp_epochs, 1.0)


class Selection(Criterion):
    """Knows which images of a batch have the smallest losses, and how many of them are kept."""

    def __init__(self, method: SmallLossConfig) -> None:
        super().__init__()
        self.method, self.kept = method, 1.0

    @torch.no_grad()
    def epoch_begins(self, epoch: int, predict: Predict) -> None:
        self.kept = 1 - self.method.forgotten(epoch)

    @torch.no_grad()
    def smallest(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The places in a batch of the images that are kept, by logits (B, classes)."""
        order = log_likelihood(logits, labels).argsort(descending=True, stable=True)
        return order[: max(1, round(self.kept * len(labels)))]
