"""BYOL: predict, from one view, what a slowly following teacher makes of the other."""

from collections.abc import Sequence
from copy import deepcopy
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from noisetune.models.base import Backbone
from noisetune.ssl._teacher import TeacherConfig, follow
from noisetune.ssl.base import Batch, Learner, Progress, ProjectionConfig, hidden_layer


class Config(TeacherConfig, ProjectionConfig):
    """Grill et al. 2020, arXiv 2006.07733; projector and predictor have one hidden layer each."""

    method: Literal["byol"] = "byol"

    def build_head(self, feature_dim: int) -> nn.Module:
        """Projector or predictor (section 3.3): (B, feature_dim) -> (B, projection)."""
        layers = hidden_layer(feature_dim, self.hidden)
        return nn.Sequential(*layers, nn.Linear(self.hidden, self.projection))

    def learner(self, encoder: Backbone) -> Learner:
        return BYOL(encoder, self)


class BYOL(Learner):
    """A student (encoder, projector, predictor), and a teacher (encoder, projector) that has no
    gradients and begins as a copy of it.

    The teacher has batch-norm statistics of its own.
    """

    def __init__(self, encoder: Backbone, method: Config) -> None:
        super().__init__()
        self.method, self.encoder = method, encoder
        self.projector = method.build_head(encoder.feature_dim)
        self.predictor = method.build_head(method.projection)
        copied = deepcopy(nn.Sequential(encoder, self.projector))
        self.teacher = copied.requires_grad_(False)

    def forward(self, batch: Batch) -> tuple[Tensor, ...]:
        """Two views (B, C, H, W) -> predictions of both, then the teacher's targets (B, D)."""
        predictions = self.method.passed(self._predict, batch.views)
        with torch.no_grad():
            targets = self.method.passed(self.teacher, batch.views)
        return *predictions, *targets

    def _predict(self, images: Tensor) -> Tensor:
        return self.predictor(self.projector(self.encoder(images)))

    def loss(self, outputs: Sequence[Tensor]) -> Tensor:
        first, second, first_target, second_target = (each.float() for each in outputs)
        return regression(first, second_target) + regression(second, first_target)

    # After it, so that the teacher of the next step knows this one, as in the paper's algorithm 1.
    def after_step(self, progress: Progress) -> None:
        student = (*self.encoder.parameters(), *self.projector.parameters())
        follow(self.teacher, student, self.method.momentum_after(progress))


def regression(predictions: Tensor, targets: Tensor) -> Tensor:
    """The mean squared distance of unit vectors (Grill et al. 2020, arXiv 2006.07733, eq. 2).

    Predictions and targets (B, D) -> mean_i 2 - 2 cos(prediction_i, target_i), in 0..4.
    """
    return 2 - 2 * F.cosine_similarity(predictions, targets, dim=1).mean()
