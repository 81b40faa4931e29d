"""An active and a passive loss: normalised cross-entropy and reverse cross-entropy."""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from noisetune.finetuning._losses import reverse_cross_entropy
from noisetune.finetuning.base import FinetuneConfig


class Config(FinetuneConfig):
    """Ma et al. 2020, arXiv 2006.13554, the pair of its losses that it finds best."""

    method: Literal["nce_rce"] = "nce_rce"
    active_weight: float = Field(default=1.0, ge=0.0)
    """Of the normalised cross-entropy (the paper's alpha: 1 for CIFAR-10, 10 for CIFAR-100)."""
    passive_weight: float = Field(default=1.0, ge=0.0)
    """Of the reverse cross-entropy (the paper's beta: 1 for CIFAR-10, 0.1 for CIFAR-100)."""
    log_zero: float = Field(default=-4.0, lt=0.0)
    """What log 0 is taken for, as in `sce`; the authors' code has log 1e-4, which is -9.2."""

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        passive = reverse_cross_entropy(logits, labels, self.log_zero)
        active = normalised_cross_entropy(logits, labels)
        return self.active_weight * active + self.passive_weight * passive


def normalised_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """The mean of log p(label) / sum_k log p_k, in 0..1, of logits (B, classes) (eq. 7)."""
    logs = torch.log_softmax(logits, dim=1)
    return (logs.gather(1, labels[:, None])[:, 0] / logs.sum(dim=1)).mean()
