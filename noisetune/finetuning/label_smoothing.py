"""Label smoothing: a little of every other class in each label."""

from typing import Literal

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from noisetune.finetuning.base import FinetuneConfig


class Config(FinetuneConfig):
    """Szegedy et al. 2016, arXiv 1512.00567; under label noise Lukasik et al. 2020, arXiv
    2003.02819. Cross-entropy with (1 - epsilon) q + epsilon / classes, q the one-hot label."""

    method: Literal["label_smoothing"] = "label_smoothing"
    epsilon: float = Field(default=0.1, ge=0.0, lt=1.0)
    """The share of a label that is spread over all classes."""

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(logits, labels, label_smoothing=self.epsilon)
