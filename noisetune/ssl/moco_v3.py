"""MoCo v3: contrast what a student predicts of one view with a teacher's keys of the other."""

from collections.abc import Sequence
from copy import deepcopy
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from noisetune.models.base import Backbone
from noisetune.ssl._teacher import TeacherConfig, follow
from noisetune.ssl.base import Batch, Learner, Progress, ProjectionConfig, hidden_layer


class Config(TeacherConfig, ProjectionConfig):
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

    def build_predictor(self) -> nn.Module:
        """Prediction head: (B, projection) -> (B, projection), with one hidden layer."""
        layers = hidden_layer(self.projection, self.hidden)
        return nn.Sequential(*layers, nn.Linear(self.hidden, self.projection))


class MoCo(Learner):
    """A student (encoder, projector, predictor) and a teacher (encoder, projector) without
    gradients, which begins as a copy of it."""

    def __init__(self, encoder: Backbone, method: Config) -> None:
        super().__init__()
        self.method, self.encoder = method, encoder
        self.projector = method.build_head(encoder.feature_dim)
        self.predictor = method.build_predictor()
        copied = deepcopy(nn.Sequential(encoder, self.projector))
        self.teacher = copied.requires_grad_(False)

    def forward(self, batch: Batch) -> tuple[Tensor, ...]:
        """Two views (B, C, H, W) -> queries of both, then the teacher's keys (B, D)."""
        queries = self.method.passed(self._query, batch.views)
        with torch.no_grad():
            keys = self.method.passed(self.teacher, batch.views)
        return *queries, *keys

    def _query(self, images: Tensor) -> Tensor:
        return self.predictor(self.projector(self.encoder(images)))

    def loss(self, outputs: Sequence[Tensor]) -> Tensor:
        first, second, first_key, second_key = (each.float() for each in outputs)
        temperature = self.method.temperature
        there = contrast(first, second_key, temperature)
        return there + contrast(second, first_key, temperature)

    # Before the keys of the next step, as the authors' code has it.
    def after_step(self, progress: Progress) -> None:
        student = (*self.encoder.parameters(), *self.projector.parameters())
        follow(self.teacher, student, self.method.momentum_after(progress))


def contrast(queries: Tensor, keys: Tensor, temperature: float) -> Tensor:
    """InfoNCE of queries (B, D) among keys (B, D) (Chen et al. 2021, eq. 1, times 2 temperature).

    Row i of one is the positive of row i of the other, the keys of other images its negatives.
    """
    similarity = F.normalize(queries, dim=1) @ F.normalize(keys, dim=1).T / temperature
    rows = torch.arange(len(queries), device=queries.device)
    return 2 * temperature * F.cross_entropy(similarity, rows)
