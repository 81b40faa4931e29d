"""BYOL: predict, from one view, what a slowly following teacher makes of the other."""

import math
from collections.abc import Sequence
from copy import deepcopy
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from noisetune.models.base import Backbone
from noisetune.ssl.base import Learner, Progress, ProjectionConfig, hidden_layer


class Config(ProjectionConfig):
    """Grill et al. 2020, arXiv 2006.07733; projector and predictor have one hidden layer each."""

    unread_under = "teacher_schedule: constant"

    method: Literal["byol"] = "byol"
    teacher_momentum: float = Field(default=0.99, ge=0.0, lt=1.0)
    """The share of itself that the teacher keeps at each step (the paper's tau)."""
    teacher_schedule: Literal["constant", "cosine"] = "constant"
    """`constant`; or the paper's, that rises to 1 at the last step: a run then depends on its
    length and shares no prefix with a longer one."""

    @property
    def reads_epochs(self) -> bool:
        return self.teacher_schedule == "cosine"

    @property
    def passes(self) -> float:
        """Two views there and back through the student, and forward through the teacher."""
        return 2 + 2 / 3

    def build_head(self, feature_dim: int) -> nn.Module:
        """Projector or predictor (section 3.3): (B, feature_dim) -> (B, projection)."""
        layers = hidden_layer(feature_dim, self.hidden)
        return nn.Sequential(*layers, nn.Linear(self.hidden, self.projection))

    def learner(self, encoder: Backbone) -> Learner:
        return BYOL(encoder, self)

    def momentum_after(self, progress: Progress) -> float:
        """The teacher's momentum after k of K steps (section 3.2).

        Under `cosine` 1 - (1 - teacher_momentum) * (cos(pi k / K) + 1) / 2.
        """
        if self.teacher_schedule == "constant":
            return self.teacher_momentum
        return 1 - (1 - self.teacher_momentum) * (math.cos(math.pi * progress.share) + 1) / 2


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

    def forward(self, views: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Two views (B, C, H, W) -> predictions of both, then the teacher's targets (B, D)."""
        predictions = self.method.passed(self._predict, views)
        with torch.no_grad():
            targets = self.method.passed(self.teacher, views)
        return *predictions, *targets

    def _predict(self, images: Tensor) -> Tensor:
        return self.predictor(self.projector(self.encoder(images)))

    def loss(self, outputs: Sequence[Tensor]) -> Tensor:
        first, second, first_target, second_target = (each.float() for each in outputs)
        return regression(first, second_target) + regression(second, first_target)

    # After it, so that the teacher of the next step knows this one, as in the paper's algorithm 1.
    @torch.no_grad()
    def after_step(self, progress: Progress) -> None:
        momentum = self.method.momentum_after(progress)
        student = (*self.encoder.parameters(), *self.projector.parameters())
        for slow, fast in zip(self.teacher.parameters(), student, strict=True):
            slow.lerp_(fast, 1 - momentum)


def regression(predictions: Tensor, targets: Tensor) -> Tensor:
    """The mean squared distance of unit vectors (Grill et al. 2020, arXiv 2006.07733, eq. 2).

    Predictions and targets (B, D) -> mean_i 2 - 2 cos(prediction_i, target_i), in 0..4.
    """
    return 2 - 2 * F.cosine_similarity(predictions, targets, dim=1).mean()
