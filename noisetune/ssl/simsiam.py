"""SimSiam: predict one view's projection from the other's, with no gradient through the target."""

from collections.abc import Sequence
from typing import Literal

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from noisetune.models.base import Backbone
from noisetune.ssl.base import Batch, Learner, ProjectingLearner, ProjectionConfig, two_layers


class Config(ProjectionConfig):
    """Chen & He 2020, arXiv 2011.10566, algorithm 1."""

    method: Literal["simsiam"] = "simsiam"
    bottleneck: int = Field(default=32, ge=2)
    """Width of the predictor's hidden layer: a quarter of `projection` in the paper."""

    def learner(self, encoder: Backbone) -> Learner:
        return SimSiam(encoder, self)

    def build_head(self, feature_dim: int) -> nn.Module:
        """Projection head: (B, feature_dim) -> (B, projection), normalised over the batch."""
        last = nn.BatchNorm1d(self.projection, affine=False)
        return nn.Sequential(super().build_head(feature_dim), last)

    def build_predictor(self) -> nn.Module:
        """Prediction head: (B, projection) -> (B, projection), with a bottleneck."""
        return two_layers(self.projection, self.bottleneck, self.projection)


class SimSiam(ProjectingLearner):
    """Encoder, projector and predictor."""

    def __init__(self, encoder: Backbone, method: Config) -> None:
        super().__init__(encoder, method)
        self.predictor = method.build_predictor()

    def forward(self, batch: Batch) -> tuple[Tensor, ...]:
        """Two views (B, C, H, W) -> projections of both, then predictions (B, D)."""
        projections = super().forward(batch)
        return *projections, *self.method.passed(self.predictor, projections)

    def loss(self, outputs: Sequence[Tensor]) -> Tensor:
        first, second, predicted, other = (each.float() for each in outputs)
        return (distance(predicted, second) + distance(other, first)) / 2


def distance(predictions: Tensor, projections: Tensor) -> Tensor:
    """The negative cosine similarity (Chen & He 2020, arXiv 2011.10566, eq. 1), -1..1.

    Predictions and projections (B, D) -> mean over images; the latter have no gradient (eq. 3).
    """
    return -F.cosine_similarity(predictions, projections.detach(), dim=1).mean()
