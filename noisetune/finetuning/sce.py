"""Symmetric cross-entropy: cross-entropy, and the same with label and prediction exchanged."""

from typing import Literal

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from noisetune.finetuning._losses import reverse_cross_entropy
from noisetune.finetuning.base import FinetuneConfig


class Config(FinetuneConfig):
    """Wang et al. 2019, arXiv 1908.06112, eq. 7."""

    method: Literal["sce"] = "sce"
    ce_weight: float = Field(default=0.1, ge=0.0)
    """Of cross-entropy (the paper's alpha: 0.1 for CIFAR-10, 6 for CIFAR-100)."""
    rce_weight: float = Field(default=1.0, ge=0.0)
    """Of the reverse cross-entropy (the paper's beta: 1 for CIFAR-10, 0.1 for CIFAR-100)."""
    log_zero: float = Field(default=-4.0, lt=0.0)
    """What log 0 is taken for (the paper's A)."""

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        reverse = reverse_cross_entropy(logits, labels, self.log_zero)
        return self.ce_weight * F.cross_entropy(logits, labels) + self.rce_weight * reverse
