"""Small-loss selection: learn from the labels of each batch that are learnt easily."""

from typing import Literal

import torch.nn.functional as F
from torch import Tensor

from noisetune.finetuning._small_loss import Selection, SmallLossConfig
from noisetune.finetuning.base import Criterion, Task


class Config(SmallLossConfig):
    """Cross-entropy of the images with the smallest losses: one network that chooses for itself, as
    co-teaching is compared with (Han et al. 2018; Jiang et al. 2018, arXiv 1712.05055)."""

    method: Literal["small_loss"] = "small_loss"

    def criterion(self, task: Task) -> Criterion:
        return SmallLoss(self)


class SmallLoss(Selection):
    """The loss of what is kept of a batch."""

    def loss(self, logits: Tensor, labels: Tensor, rows: Tensor) -> Tensor:
        kept = self.smallest(logits, labels)
        return F.cross_entropy(logits[kept], labels[kept])
