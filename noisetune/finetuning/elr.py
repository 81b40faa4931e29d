"""Early-learning regularisation: hold on to what the network said before it learnt wrong labels."""

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from noisetune.finetuning.base import Criterion, FinetuneConfig, Task

SMALLEST = 1e-4


class Config(FinetuneConfig):
    """Liu et al. 2020, arXiv 2007.00151."""

    method: Literal["elr"] = "elr"
    target_momentum: float = Field(default=0.7, ge=0.0, lt=1.0)
    """The share that an image's average of predictions keeps (the paper's beta: 0.7 for CIFAR-10,
    0.9 for CIFAR-100)."""
    weight: float = Field(default=3.0, ge=0.0)
    """Of the regularisation, beside the cross-entropy (the paper's lambda: 3 for CIFAR-10, 7 for
    CIFAR-100)."""

    def criterion(self, task: Task) -> Criterion:
        return EarlyLearning(self, task)


class EarlyLearning(Criterion):
    """Cross-entropy and the regularisation. `averages` (n, classes) are those of the predictions
    for each image trained on; they begin at 0."""

    averages: Tensor

    def __init__(self, method: Config, task: Task) -> None:
        super().__init__()
        self.method = method
        averages = torch.zeros(len(task.labels), task.classes, device=task.labels.device)
        self.register_buffer("averages", averages)

    def loss(self, logits: Tensor, labels: Tensor, rows: Tensor) -> Tensor:
        """The loss with averages that know this prediction, as in the authors' code (eq. 6)."""
        probabilities = clamped_softmax(logits)
        targets = averaged(self.averages[rows], probabilities, self.method.target_momentum)
        self.averages[rows] = targets
        penalty = early_learning(probabilities, targets)
        return F.cross_entropy(logits, labels) + self.method.weight * penalty


def clamped_softmax(logits: Tensor) -> Tensor:
    """Probabilities of logits (B, classes), each in 1e-4 .. 1 - 1e-4, as in the authors' code."""
    return torch.softmax(logits, dim=1).clamp(SMALLEST, 1 - SMALLEST)


@torch.no_grad()
def averaged(averages: Tensor, probabilities: Tensor, momentum: float) -> Tensor:
    """The next averages (eq. 9): momentum * averages + (1 - momentum) * p, all (B, classes).

    p is `probabilities` brought to sum 1 again; no gradient passes.
    """
    predictions = probabilities / probabilities.sum(1, keepdim=True)
    return momentum * averages + (1 - momentum) * predictions


def early_learning(probabilities: Tensor, targets: Tensor) -> Tensor:
    """The regularisation (eq. 6): mean_i log(1 - <p_i, t_i>) of p and t (B, classes), 0 or less.

    It is lowered by predictions that agree with their own average.
    """
    return torch.log(1 - (probabilities * targets).sum(1)).mean()
