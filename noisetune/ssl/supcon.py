"""Supervised contrast on noisy labels: what SSL is worth beside a method that believes them."""

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from noisetune.models.base import Backbone
from noisetune.ssl.base import UNREAD, Batch, Learner, ProjectingLearner, ProjectionConfig


class Config(ProjectionConfig):
    """Khosla et al. 2020, arXiv 2004.11362. It reads labels: the noisy ones of the images that
    fine-tuning trains on. To the others an image's own views are the only positives, as in SimCLR.
    """

    reads_labels = True

    method: Literal["supcon"] = "supcon"
    temperature: float = Field(default=0.1, gt=0.0)
    """Divides the cosine similarities."""

    def learner(self, encoder: Backbone) -> Learner:
        return SupCon(encoder, self)


class SupCon(ProjectingLearner):
    """Encoder and projection head, which see labels."""

    method: Config

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Two views (B, C, H, W) -> projections (2B, D) of both, and the labels (2B,)."""
        assert batch.labels is not None
        projections = super().forward(batch)
        return torch.cat(projections), batch.labels.repeat(len(projections))

    def loss(self, outputs: tuple[Tensor, Tensor]) -> Tensor:
        projections, labels = outputs
        return supervised_contrast(projections.float(), labels, self.method.temperature)


def supervised_contrast(projections: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """The loss with the sum outside the logarithm (Khosla et al. 2020, arXiv 2004.11362, eq. 2).

    `projections` (2B, D) are of one view of each image and then of the other, `labels` (2B,) those
    of the images, `UNREAD` where there is none. Returns the mean over 2B rows of
    -mean_{p positive} log(exp(z.z_p / t) / sum_{a not itself} exp(z.z_a / t)).
    """
    rows = len(projections)
    views = F.normalize(projections, dim=1)
    itself = torch.eye(rows, dtype=torch.bool, device=views.device)
    similarity = (views @ views.T / temperature).masked_fill(itself, float("-inf"))
    alike = (labels[:, None] == labels) & (labels != UNREAD)
    positives = (alike | itself.roll(rows // 2, 0)) & ~itself
    logs = F.log_softmax(similarity, dim=1).masked_fill(~positives, 0)
    return -(logs.sum(1) / positives.sum(1)).mean()
