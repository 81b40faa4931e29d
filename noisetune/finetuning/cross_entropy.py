"""Cross-entropy on the noisy labels: the plain method, that others are compared with."""

from typing import Any, Literal

import torch.nn.functional as F
from torch import Tensor

from noisetune.finetuning.base import FinetuneConfig


class Config(FinetuneConfig):
    """The mean of -log p(noisy label)."""

    default_under = ("standard",)

    method: Literal["cross_entropy"] = "cross_entropy"

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(logits, labels)

    def identity(self) -> dict[str, Any]:
        """Without its name: its keys are older than the other methods."""
        return {name: value for name, value in super().identity().items() if name != "method"}
