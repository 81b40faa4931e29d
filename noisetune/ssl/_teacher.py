"""Teachers that follow their student slowly: what the methods that have one share."""

import math
from collections.abc import Iterable
from copy import deepcopy
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from noisetune.models.base import Backbone, ModelConfig
from noisetune.ssl.base import (
    Batch,
    Progress,
    ProjectingLearner,
    ProjectionConfig,
    SSLConfig,
    two_layers,
)
from noisetune.training.optimisation import FORWARD_PASS


class TeacherConfig(SSLConfig):
    """Methods whose teacher is a moving average of the student (Grill et al. 2020, section 3.2)."""

    unread_under = "teacher_schedule: constant"

    teacher_momentum: float = Field(default=0.99, ge=0.0, lt=1.0)
    """The share of itself that the teacher keeps at each step (the paper's tau)."""
    teacher_schedule: Literal["constant", "cosine"] = "constant"
    """`constant`; or the paper's, that rises to 1 at the last step: a run then depends on its
    length and shares no prefix with a longer one."""

    @property
    def reads_epochs(self) -> bool:
        return self.teacher_schedule == "cosine"

    def passes(self, model: ModelConfig, shape: tuple[int, int, int]) -> float:
        """Two views there and back through the student, and forward through the teacher."""
        return 2 + 2 * FORWARD_PASS

    def momentum_after(self, progress: Progress) -> float:
        """The teacher's momentum after k of K steps.

        Under `cosine` 1 - (1 - teacher_momentum) * (cos(pi k / K) + 1) / 2.
        """
        if self.teacher_schedule == "constant":
            return self.teacher_momentum
        return 1 - (1 - self.teacher_momentum) * (math.cos(math.pi * progress.share) + 1) / 2


class PredictingConfig(TeacherConfig, ProjectionConfig):
    """Those whose student predicts, of each view, what the teacher projects the other one to."""

    def build_predictor(self) -> nn.Module:
        """Prediction head: (B, projection) -> (B, projection)."""
        return two_layers(self.projection, self.hidden, self.projection)


class Predicting(ProjectingLearner):
    """A student (encoder, projector, predictor), and a teacher (encoder, projector) that has no
    gradients and begins as a copy of it.

    The teacher has batch-norm statistics of its own.
    """

    method: PredictingConfig

    def __init__(self, encoder: Backbone, method: PredictingConfig) -> None:
        super().__init__(encoder, method)
        self.predictor = method.build_predictor()
        copied = deepcopy(nn.Sequential(encoder, self.projector))
        self.teacher = copied.requires_grad_(False)

    def forward(self, batch: Batch) -> tuple[Tensor, ...]:
        """Two views (B, C, H, W) -> predictions of both, then the teacher's targets (B, D)."""
        predictions = self.method.passed(self._predict, batch.views)
        with torch.no_grad():
            targets = self.method.passed(self.teacher, batch.views)
        return *predictions, *targets

    def _predict(self, images: Tensor) -> Tensor:
        return self.predictor(self.project(images))

    # After it, so that the teacher of the next step knows this one, as in BYOL's algorithm 1.
    def after_step(self, progress: Progress) -> None:
        student = (*self.encoder.parameters(), *self.projector.parameters())
        follow(self.teacher, student, self.method.momentum_after(progress))


@torch.no_grad()
def follow(teacher: nn.Module, student: Iterable[nn.Parameter], momentum: float) -> None:
    """Each weight of the teacher becomes momentum * itself + (1 - momentum) * the student's.

    Buffers stay: each has batch-norm statistics of its own.
    """
    slow: list[torch.Tensor] = list(teacher.parameters())
    fast: list[torch.Tensor] = list(student)
    torch._foreach_lerp_(slow, fast, 1 - momentum)
