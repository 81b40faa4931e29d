"""Bootstrapping: a label is in part the given one, in part what the network makes of the image."""

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from noisetune.finetuning.base import FinetuneConfig


class Config(FinetuneConfig):
    """Reed et al. 2015, arXiv 1412.6596, sections 3.2 and 3.3."""

    method: Literal["bootstrapping"] = "bootstrapping"
    targets: Literal["hard", "soft"] = "hard"
    """What joins the given label: the class that is predicted (`hard`), or all probabilities
    (`soft`), which adds their entropy to the loss."""
    given_weight: float = Field(default=0.8, ge=0.0, le=1.0)
    """Of the given label (the paper's beta: 0.8 for hard, 0.95 for soft targets); 1 is
    cross-entropy."""

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        own = F.cross_entropy(logits, logits.argmax(dim=1))
        if self.targets == "soft":
            own = entropy(logits)
        given = F.cross_entropy(logits, labels)
        return self.given_weight * given + (1 - self.given_weight) * own


def entropy(logits: Tensor) -> Tensor:
    """The mean of -sum_k p_k log p_k of logits (B, classes). A gradient passes through both."""
    logs = torch.log_softmax(logits, dim=1)
    return -(logs.exp() * logs).sum(dim=1).mean()
