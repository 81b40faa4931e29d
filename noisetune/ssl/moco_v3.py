"""MoCo v3: contrast what a student predicts of one view with a teacher's keys of the other."""

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from noisetune.models.base import Backbone
from noisetune.ssl._teacher import Predicting, PredictingConfig
from noisetune.ssl.base import Learner


class Config(PredictingConfig):
    """Chen et al. 2021, arXiv 2104.02057, algorithm 1; there is no queue, the batch is all."""

    method: Literal["moco_v3"] = "moco_v3"
    temperature: float = Field(default=0.2, gt=0.0)
    """Divides the cosine similarities."""

    def learner(self, encoder: Backbone) -> Learner:
        return MoCo(encoder, self)

    def build_head(self, feature_dim: int) -> nn.Module:
        """Projection head: (B, feature_dim) -> (B, projection), normalised over the batch."""
        last = nn.BatchNorm1d(self.projection, affine=False)
        return nn.Sequential(super().build_head(feature_dim), last)


class MoCo(Predicting):
    """A student that tells a teacher's projection of its image from those of others."""

    method: Config

    def loss(self, outputs: Sequence[Tensor]) -> Tensor:
        first, second, first_key, second_key = (each.float() for each in outputs)
        temperature = self.method.temperature
        there = contrast(first, second_key, temperature)
        return there + contrast(second, first_key, temperature)


def contrast(queries: Tensor, keys: Tensor, temperature: float) -> Tensor:
    """InfoNCE of queries (B, D) among keys (B, D) (Chen et al. 2021, eq. 1, times 2 temperature).

    Row i of one is the positive of row i of the other, the keys of other images its negatives.
    """
    similarity = F.normalize(queries, dim=1) @ F.normalize(keys, dim=1).T / temperature
    rows = torch.arange(len(queries), device=queries.device)
    return 2 * temperature * F.cross_entropy(similarity, rows)
