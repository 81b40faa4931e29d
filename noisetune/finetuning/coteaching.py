"""Co-teaching: two networks, each of which learns what the other one learns easily."""

from collections.abc import Sequence
from typing import Literal

import torch.nn.functional as F
from torch import Tensor

from noisetune.finetuning._small_loss import Selection, SmallLossConfig
from noisetune.finetuning.base import Batch, Criterion, Forward, Task


class Config(SmallLossConfig):
    """Han et al. 2018, arXiv 1804.06872, algorithm 1. It costs twice the passes.

    Both networks begin with the trial's encoder and have heads of their own; the first one is
    evaluated.
    """

    networks = 2

    method: Literal["coteaching"] = "coteaching"

    def criterion(self, task: Task) -> Criterion:
        return CoTeaching(self)


class CoTeaching(Selection):
    """The sum of both networks' losses, each of the images that the other one has the smallest
    losses of."""

    def step(self, networks: Sequence[Forward], batch: Batch) -> Tensor:
        first, second = (network(batch.images) for network in networks)
        labels = batch.labels
        by_first, by_second = (self.smallest(logits, labels) for logits in (first, second))
        of_first = F.cross_entropy(first[by_second], labels[by_second])
        return of_first + F.cross_entropy(second[by_first], labels[by_first])
