"""DINO: a student's small crops agree with what a slow teacher makes of large ones."""

from collections.abc import Sequence
from copy import deepcopy
from typing import Annotated, Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from noisetune.models.base import Backbone, ModelConfig
from noisetune.ssl._teacher import TeacherConfig, follow
from noisetune.ssl.base import Batch, Learner, Progress, View
from noisetune.training.augment import AugmentConfig
from noisetune.training.optimisation import FORWARD_PASS

GLOBAL = 2
Scale = tuple[Annotated[float, Field(gt=0, le=1)], Annotated[float, Field(gt=0, le=1)]]


class Config(TeacherConfig):
    """Caron et al. 2021, arXiv 2104.14294. Fine-tuning starts from the teacher.

    All crops are augmented alike. Prototypes are as many as suit ten classes, not the paper's
    65,536, and its weight normalisation is a normalisation of their directions.
    """

    method: Literal["dino"] = "dino"
    hidden: int = Field(default=512, ge=2)
    """Width of the head's two hidden layers."""
    bottleneck: int = Field(default=128, ge=2)
    """Values of the head's output, before it is brought to length 1."""
    prototypes: int = Field(default=1024, ge=2)
    """Directions that this is compared with: the loss is over their softmax."""
    local_views: int = Field(default=6, ge=0)
    """Small crops beside the two large ones; the student alone sees them."""
    local_size: float = Field(default=0.5, gt=0.0, le=1.0)
    """The sides of a small crop, in those of the image: best a multiple of a model's patch."""
    global_scale: Scale = (0.4, 1.0)
    """Least and largest share of the image that a large crop shows."""
    local_scale: Scale = (0.1, 0.4)
    """And that a small one shows."""
    student_temperature: float = Field(default=0.1, gt=0.0)
    """Divides the student's similarities."""
    teacher_temperature: float = Field(default=0.04, gt=0.0)
    """Divides the teacher's."""
    centre_momentum: float = Field(default=0.9, ge=0.0, lt=1.0)
    """The share of itself that the centre of the teacher's outputs keeps at each step."""
    frozen_epochs: float = Field(default=1.0, ge=0.0)
    """For so many epochs the prototypes stay as they began."""

    @model_validator(mode="after")
    def _increasing(self) -> Self:
        for field in ("global_scale", "local_scale"):
            low, high = getattr(self, field)
            if low > high:
                raise ValueError(f"{field}: the lower bound {low} is above the upper bound {high}")
        return self

    def passes(self, model: ModelConfig, shape: tuple[int, int, int]) -> float:
        """All crops there and back through the student, by their area; two through the teacher."""
        return GLOBAL * (1 + FORWARD_PASS) + self.local_views * self.local_size**2

    def views(self, given: AugmentConfig) -> Sequence[View]:
        def crop(scale: Scale, size: float) -> View:
            return View(given.model_copy(update={"crop_scale": scale, "pad": 0}), size)

        small = [crop(self.local_scale, self.local_size)] * self.local_views
        return [crop(self.global_scale, 1.0)] * GLOBAL + small

    def learner(self, encoder: Backbone) -> Learner:
        return DINO(encoder, self)

    def build_head(self, feature_dim: int) -> nn.Module:
        """Projection head (section 3.2): (B, feature_dim) -> (B, bottleneck)."""
        layers = (nn.Linear(feature_dim, self.hidden), nn.GELU())
        more = (nn.Linear(self.hidden, self.hidden), nn.GELU())
        return nn.Sequential(*layers, *more, nn.Linear(self.hidden, self.bottleneck))


class DINO(Learner):
    """A student and a teacher of encoder, head and prototypes; the teacher begins as a copy.

    `encoder` is the teacher's, as the authors evaluate it.
    """

    centre: Tensor

    def __init__(self, encoder: Backbone, method: Config) -> None:
        super().__init__()
        self.method, self.student = method, encoder
        self.head = method.build_head(encoder.feature_dim)
        self.prototypes = Prototypes(method.bottleneck, method.prototypes)
        self.encoder = deepcopy(encoder).requires_grad_(False)
        copied = deepcopy(nn.Sequential(self.head, self.prototypes))
        self.teacher_head = copied.requires_grad_(False)
        self.register_buffer("centre", torch.zeros(method.prototypes))

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Views (B, C, h, w), large ones first -> the student's similarities (V, B, K) of all V,
        and the teacher's (2, B, K)."""
        large, small = batch.views[:GLOBAL], batch.views[GLOBAL:]
        features = [self.student(torch.cat(tuple(some))) for some in (large, small) if some]
        similarities = self.prototypes(self.head(torch.cat(features)))
        with torch.no_grad():
            targets = self.teacher_head(self.encoder(torch.cat(tuple(large))))
        shape = -1, len(large[0]), self.method.prototypes
        return similarities.reshape(shape), targets.reshape(shape)

    def loss(self, outputs: tuple[Tensor, Tensor]) -> Tensor:
        student, teacher = (each.float() for each in outputs)
        method = self.method
        value = agreement(
            student, teacher, self.centre, method.student_temperature, method.teacher_temperature
        )
        with torch.no_grad():
            self.centre.lerp_(teacher.mean((0, 1)), 1 - method.centre_momentum)
        return value

    def before_step(self, progress: Progress) -> None:
        self.prototypes.requires_grad_(progress.epoch >= self.method.frozen_epochs)

    def after_step(self, progress: Progress) -> None:
        momentum = self.method.momentum_after(progress)
        follow(self.encoder, self.student.parameters(), momentum)
        follow(
            self.teacher_head, (*self.head.parameters(), *self.prototypes.parameters()), momentum
        )


class Prototypes(nn.Module):
    """Cosine similarities (B, K) of vectors (B, D) with K directions."""

    def __init__(self, width: int, count: int) -> None:
        super().__init__()
        self.directions = nn.Parameter(torch.randn(count, width) / width**0.5)

    def forward(self, vectors: Tensor) -> Tensor:
        # They are divided by a small temperature: half precision would show.
        with torch.autocast(vectors.device.type, enabled=False):
            directions = F.normalize(self.directions, dim=-1)
            return F.linear(F.normalize(vectors.float(), dim=-1), directions)


def agreement(
    student: Tensor,
    teacher: Tensor,
    centre: Tensor,
    student_temperature: float,
    teacher_temperature: float,
) -> Tensor:
    """The cross-entropy of pairs of different views (Caron et al. 2021, arXiv 2104.14294, eq. 3).

    `student` (V, B, K) and `teacher` (G, B, K) are similarities of all views and of the first G.
    The teacher's are centred, both are divided by their temperature; the mean over images and over
    the pairs of a teacher's and another of the student's views.
    """
    targets = torch.softmax((teacher - centre) / teacher_temperature, dim=-1).detach()
    logs = F.log_softmax(student / student_temperature, dim=-1)
    losses = -torch.einsum("gbk,vbk->gv", targets, logs) / student.shape[1]
    return (losses.sum() - losses.diagonal().sum()) / (losses.numel() - len(teacher))
