"""Mixup: images and labels that lie between two of a batch."""

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from scipy.special import betaincinv
from torch import Tensor

from noisetune.finetuning.base import Batch, Criterion, FinetuneConfig, Forward, Task


class Config(FinetuneConfig):
    """Zhang et al. 2018, arXiv 1710.09412, eq. 1; one share for a batch, as in the authors' code.

    Images are mixed after their augmentation.
    """

    changes_images = True

    method: Literal["mixup"] = "mixup"
    concentration: float = Field(default=1.0, gt=0.0)
    """The share is drawn from Beta(a, a) of this a: near 0 one image is all of it, at 1 every share
    is as likely, above that halves are (the paper's alpha: 1 for CIFAR-10; 8 to 32 where labels are
    wrong)."""

    def criterion(self, task: Task) -> Criterion:
        return Mixup(self)


class Mixup(Criterion):
    """Cross-entropy of mixed images with their mixed labels."""

    def __init__(self, method: Config) -> None:
        super().__init__()
        self.method = method

    def step(self, networks: Sequence[Forward], batch: Batch) -> Tensor:
        share = drawn_share(self.method.concentration, batch.random)
        order = torch.randperm(len(batch.labels), generator=batch.random).to(batch.labels.device)
        logits = networks[0](torch.lerp(batch.images[order], batch.images, share))
        return mixed_cross_entropy(logits, batch.labels, batch.labels[order], share)


def drawn_share(concentration: float, random: torch.Generator) -> float:
    """A share in 0..1 from Beta(concentration, concentration), by one number of `random`."""
    uniform = torch.rand((), generator=random, dtype=torch.double)
    return float(betaincinv(concentration, concentration, uniform.item()))


def mixed_cross_entropy(logits: Tensor, labels: Tensor, others: Tensor, share: float) -> Tensor:
    """Cross-entropy with `share` of the labels (B,) and the rest of the others (B,)."""
    own, other = (F.cross_entropy(logits, each) for each in (labels, others))
    return share * own + (1 - share) * other
