"""Forward correction: the network says the clean class, the loss what the noise makes of it."""

from math import ceil
from typing import Any, Literal, Self

import torch
from pydantic import Field, field_validator, model_validator
from torch import Tensor

from noisetune.finetuning.base import Criterion, FinetuneConfig, Predict, Task
from noisetune.training.optimisation import FORWARD_PASS

SMALLEST = 1e-6
"""What is added to each entry of an estimate: no label that occurs may be impossible."""


class Config(FinetuneConfig):
    """Patrini et al. 2017, arXiv 1609.03683, theorem 2: the mean of -log sum_i p_i T_ij, for the
    label j and T, the chance of label j for class i.

    The network estimates T itself, from noisy labels alone, after some epochs of plain
    cross-entropy: row i is what it predicts of an anchor, the image that it is most sure of being
    labelled i (eq. 12 and 13). Anchors, so that the method is the one that published figures are
    of. Two errors pull apart: a network that has learnt little finds more noise than there is, and
    one that has memorised wrong labels finds none, since it looks at images that it learns from.
    """

    method: Literal["forward"] = "forward"
    matrix: Literal["estimated", "true"] = "estimated"
    """`estimated` by the network, or the `true` one of the noise, under `oracle` alone: nobody has
    it who has noisy labels alone."""
    oracle: bool = False
    """Says that the truth is read; with `matrix: true`."""
    estimate_after: float = Field(default=0.5, gt=0.0, lt=1.0)
    """The share of the epochs that come before the estimate: one at least, and one after it."""
    anchor_quantile: float = Field(default=1.0, gt=0.0, le=1.0)
    """The anchor of a class is the image whose probability of it is this quantile of those of all
    images: 1 is the highest; the authors' code can take 0.97 against outliers."""

    @field_validator("matrix", mode="before")
    @classmethod
    def _yaml_reads_it_as_a_truth(cls, matrix: Any) -> Any:
        return "true" if matrix is True else matrix

    @model_validator(mode="after")
    def _truth_is_asked_for(self) -> Self:
        if self.reads_matrix and not self.oracle:
            raise ValueError(
                "matrix: true is the truth, which nobody has who has noisy labels alone; choose "
                "matrix: estimated, or set oracle: true and say so in what you report"
            )
        if self.oracle and not self.reads_matrix:
            raise ValueError(
                "oracle: true reads the truth, and matrix: estimated does not; take oracle out, or "
                "set matrix: true"
            )
        return self

    @model_validator(mode="after")
    def _an_epoch_before_and_after(self) -> Self:
        if not self.reads_matrix and self.epochs < 2:
            raise ValueError(
                f"epochs: {self.epochs}: must be two or more, as the matrix is estimated in between"
            )
        return self

    @property
    def reads_matrix(self) -> bool:
        return self.matrix == "true"

    @property
    def estimated_at(self) -> int:
        """The epoch (0-based) that begins with the estimate."""
        return max(1, min(round(self.estimate_after * self.epochs), self.epochs - 1))

    @property
    def passes(self) -> float:
        """The estimate is one more pass of all images, once."""
        return super().passes + (0 if self.reads_matrix else FORWARD_PASS / self.epochs)

    def identity(self) -> dict[str, Any]:
        unread = {"oracle"}
        if self.reads_matrix:
            unread |= {"estimate_after", "anchor_quantile"}
        return {name: each for name, each in super().identity().items() if name not in unread}

    def criterion(self, task: Task) -> Criterion:
        return Corrected(self, task)


class Corrected(Criterion):
    """The corrected loss. `matrix` (classes, classes) is the identity until it is estimated: then
    it is plain cross-entropy."""

    matrix: Tensor

    def __init__(self, method: Config, task: Task) -> None:
        super().__init__()
        self.method = method
        matrix = task.matrix if method.reads_matrix else None
        if matrix is None:
            matrix = torch.eye(task.classes, device=task.labels.device)
        self.register_buffer("matrix", matrix)

    def loss(self, logits: Tensor, labels: Tensor, rows: Tensor) -> Tensor:
        return corrected_cross_entropy(logits, labels, self.matrix)

    @torch.no_grad()
    def epoch_begins(self, epoch: int, predict: Predict) -> None:
        if not self.method.reads_matrix and epoch == self.method.estimated_at:
            self.matrix.copy_(anchor_matrix(predict(), self.method.anchor_quantile))


def corrected_cross_entropy(logits: Tensor, labels: Tensor, matrix: Tensor) -> Tensor:
    """The mean of -log sum_i p_i T_ij: logits (B, classes), labels j (B,), T (classes, classes).

    In logarithms, so that a network that is sure of a class has a finite loss.
    """
    reaching = matrix.T[labels].log()
    return -torch.logsumexp(torch.log_softmax(logits, dim=1) + reaching, dim=1).mean()


def anchor_matrix(probabilities: Tensor, quantile: float) -> Tensor:
    """The transition matrix (classes, classes) by probabilities (n, classes): row i is that of the
    image whose probability of class i is the `quantile` (0..1) among all images."""
    place = max(1, ceil(quantile * len(probabilities))) - 1
    anchors = probabilities.argsort(dim=0, stable=True)[place]
    matrix = probabilities[anchors] + SMALLEST
    return matrix / matrix.sum(dim=1, keepdim=True)
