"""Cross-entropy on the noisy labels: the plain method, that others are compared with."""

from typing import Literal

import torch.nn.functional as F
from torch import Tensor

from noisetune.finetuning.base import FinetuneConfig


class Config(FinetuneConfig):
    """The mean of -log p(noisy label)."""

    default_under = ("standard",)

    method: Literal["cross_entropy"] = "cross_entropy"

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(logits, labels)
