"""How an encoder begins: by a self-supervised learner around a backbone, or with given weights."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from noisetune.models.base import Backbone, ModelConfig, Size
from noisetune.plugins import PluginConfig, StandIn
from noisetune.store import StoreLike
from noisetune.training.augment import AugmentConfig
from noisetune.training.optimisation import Optimisation

Network = Callable[[Tensor], Tensor]
UNREAD = -1
"""The label of an image whose label pre-training must not read."""


class PretrainConfig(PluginConfig):
    """How the encoder is initialised, before fine-tuning."""

    method: str
    """The method: a file of `noisetune/ssl/`, or a plug-in of another package."""

    def check_model(self, model: ModelConfig) -> None:
        """Raises ValueError, naming the field, for a backbone that cannot begin in this way."""


class GivenEncoder(PretrainConfig):
    """Weights that exist already: there is nothing to compute before fine-tuning."""

    def encoder(
        self, model: ModelConfig, channels: int, size: Size, store: StoreLike
    ) -> dict[str, Tensor]:
        """The backbone's weights by its own names; what is left out begins at random.

        They are for images of `channels` channels and `size` (H, W). UserError for weights that
        are not there, or are not those of the backbone.
        """
        raise NotImplementedError

    def is_here(self, model: ModelConfig) -> bool:
        """Whether nothing has to be fetched to read them."""
        return True

    def stand_in(self, model: ModelConfig, folder: Path) -> StandIn | None:
        """What a smoke run takes for weights that would have to be fetched; files go to `folder`.

        None where nothing has to be.
        """
        return None


@dataclass(frozen=True)
class Features:
    """A vector for each image: float32 (N, D) of the training part, (M, D) of the test part.

    They may lie over a file that is mapped into memory; nobody writes to them.
    """

    train: Tensor
    test: Tensor

    @property
    def width(self) -> int:
        """D."""
        return self.train.shape[1]


class GivenFeatures(PretrainConfig):
    """Vectors that exist already: there is no backbone, and a head alone is trained, on them."""

    def read(self) -> tuple[Features, str]:
        """All vectors that are given, and what tells their content from any other.

        UserError, naming the field, for what is not there, or are no finite vectors.
        """
        raise NotImplementedError

    def width(self) -> int:
        """How many values a vector has, where `read` finds nothing wrong."""
        return self.read()[0].width

    def prepared(self, features: Features) -> Features:
        """What the head reads of the vectors of the images that a trial has."""
        return features

    def identity(self) -> dict[str, Any]:
        """What a stage key knows of the settings beside the content: how it is `prepared`."""
        return {}


class Plateau(PluginConfig):
    """Ends a pre-training once kNN accuracy under the trial's own noisy labels stands still."""

    metric: Literal["knn"] = "knn"
    """What is looked at: accuracy of the nearest neighbours."""
    patience: int = Field(default=3, ge=1)
    """So many looks in a row may improve nothing."""
    every: int = Field(default=5, ge=1)
    """Epochs from one look to the next."""


@dataclass(frozen=True)
class View:
    """One view of an image: its augmentation, and the length of its sides, in sides of the image.

    A view of another size than the image needs an augmentation that crops (`crop_scale`).
    """

    augment: AugmentConfig
    scale: float = 1.0


@dataclass(frozen=True)
class Progress:
    """How far a pre-training is: after `epoch` epochs, fractions count steps.

    `epochs` is how many there will be, None for a method that says that it reads none.
    """

    epoch: float
    epochs: int | None

    @property
    def share(self) -> float:
        """The part of the pre-training that is done, 0..1.

        A run then depends on its length: RuntimeError where the method's `reads_epochs` does not
        say so, since 10 epochs would be taken for the beginning of 100.
        """
        if self.epochs is None:
            raise RuntimeError("a method that reads how long training is must say reads_epochs")
        return self.epoch / self.epochs


class Batch(NamedTuple):
    """What a step sees of B images.

    `views` are float (B, C, h, w), one for each `View` of the method. `labels` (B,) are the noisy
    ones, `UNREAD` where an image is not trained on: None unless the method `reads_labels`. `draws`
    (B, n) are uniform in 0..1, anew at each step: None unless the learner asks for some.
    """

    views: Sequence[Tensor]
    labels: Tensor | None = None
    draws: Tensor | None = None


class Learner(nn.Module):
    """What a method builds around a backbone: heads, predictors, a teacher of its own.

    `encoder` is the part that fine-tuning starts from: the student, or the teacher. Weights that
    need no gradient (a teacher's) are left out of the optimiser. All state is in weights and
    buffers: they are the checkpoint, and a run goes on from it bit for bit. `draws` is how many
    random numbers a step reads for each image.
    """

    encoder: Backbone
    draws: int = 0

    def forward(self, batch: Batch) -> Any:
        """What the loss is of: its precision is the runtime's, and it may be compiled."""
        raise NotImplementedError

    def loss(self, outputs: Any) -> Tensor:
        """The scalar loss of what `forward` gave; computed in float32."""
        raise NotImplementedError

    def before_step(self, progress: Progress) -> None:
        """Called before each step, with the progress in its middle: for schedules of one's own."""

    @torch.no_grad()
    def after_step(self, progress: Progress) -> None:
        """Called after each step, without gradients: for a teacher that follows."""


class SSLConfig(PretrainConfig, Optimisation):
    """Settings that all self-supervised methods share."""

    unread_under: ClassVar[str] = ""
    """Of a method that `reads_epochs`: the setting of its own, `field: value`, under which it does
    not."""
    reads_labels: ClassVar[bool] = False
    """Whether it reads the noisy labels of the images that fine-tuning is to train on."""
    knn_tells: ClassVar[bool] = True
    """Whether the nearest neighbours of its features say what fine-tuning will make of them: else
    no kNN accuracy ends it, or keeps it from fine-tuning."""

    epochs: int = Field(default=100, ge=1)
    """Passes over all training images."""
    batch_size: int = Field(default=256, ge=4)
    """Images a step, each in all its views; the last of an epoch has what is left, and where that
    is one image the last two share theirs."""
    drop_last: bool = False
    """Leave a last, smaller batch out: some losses depend on the number of images. One that is the
    only batch stays."""
    augment: AugmentConfig | None = None
    """How views are made; by default as the data set says."""
    unlabelled: Path | None = None
    """A folder of further images, at any depth, that pre-training sees beside those of the training
    set: they have no labels, and are brought to the same size. They are decoded into the usual
    cache."""
    stop: Plateau | None = None
    """Ends early, once kNN accuracy stands still; not with a schedule that reads `epochs`."""

    @model_validator(mode="after")
    def _stops_anywhere(self) -> Self:
        if self.stop is not None and not self.knn_tells:
            raise ValueError(
                f"stop: kNN accuracy says nothing of what method {self.method} learns; leave it out"
            )
        if self.stop is not None and not self.horizon_free:
            why = self._horizon()
            raise ValueError(f"stop: {why} must run to its last epoch; {self._free()}")
        return self

    @property
    def reads_epochs(self) -> bool:
        """Whether the method itself has a schedule that depends on how long training is."""
        return False

    @property
    def horizon_free(self) -> bool:
        """Whether the first epochs are the same however many follow: neither the rate nor the
        method reads how many there are."""
        return super().horizon_free and not self.reads_epochs

    def batches(self, images: int) -> list[int]:
        """How many images each step of an epoch has."""
        full = images // self.batch_size
        if self.drop_last and full:
            return [self.batch_size] * full
        return super().batches(images)

    def passes(self, model: ModelConfig, shape: tuple[int, int, int]) -> float:
        """The cost of an epoch, in passes of each image forward and backward through the backbone.

        A pass forward alone counts a third; shape is (C, H, W) of the images.
        """
        return 2.0

    def usual_augment(self, usual: AugmentConfig) -> AugmentConfig:
        """What views are made by where `augment` says nothing, out of what is usual for the data
        set."""
        return usual

    def views(self, given: AugmentConfig) -> Sequence[View]:
        """The views that a step sees of each image, out of the augmentation that is `given`."""
        return View(given), View(given)

    def learner(self, encoder: Backbone) -> Learner:
        """The method around a freshly initialised backbone."""
        raise NotImplementedError

    def check_prefix(self, epoch: int) -> None:
        """ValueError where what `epoch` epochs make is no beginning of the whole pre-training."""
        if not self.horizon_free:
            raise ValueError(
                f"telemetry.epochs: {epoch}: {self._horizon()} is worth looking at only after its "
                f"last epoch ({self.epochs}), which is looked at in any case; leave epochs out, or "
                f"{self._free('pretrain.')}"
            )

    def _horizon(self) -> str:
        by_rate = self.schedule != "constant"
        return f"a {self.schedule} schedule" if by_rate else f"method {self.method}'s schedule"

    def _free(self, section: str = "") -> str:
        by_rate = self.schedule != "constant"
        setting = "schedule: constant" if by_rate else self.unread_under
        return f"set {section}{setting}" if setting else "take another method"


class ProjectionConfig(SSLConfig):
    """Methods with a projection head: Linear-BN-ReLU twice and a Linear."""

    hidden: int = Field(default=512, ge=2)
    """Width of the head's two hidden layers."""
    projection: int = Field(default=128, ge=2)
    """Values that the head puts out."""
    batch_norm: Literal["joint", "per_view"] = "joint"
    """Whose statistics batch normalisation takes: of all views of a batch, which pass at once, or
    of each view, which passes alone, as in arXiv 2511.20844. The cost is the same."""

    def passed(self, network: Network, views: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """What `network` makes of each of the views (B, C, H, W), all of one size."""
        if self.batch_norm == "per_view":
            return tuple(network(view) for view in views)
        return network(torch.cat(tuple(views))).chunk(len(views))

    def build_head(self, feature_dim: int) -> nn.Module:
        """Projection head: features (B, feature_dim) -> (B, projection)."""
        return nn.Sequential(
            *hidden_layer(feature_dim, self.hidden),
            *hidden_layer(self.hidden, self.hidden),
            nn.Linear(self.hidden, self.projection),
        )


class TwoViewConfig(ProjectionConfig):
    """Methods that are a loss of the projections of two views."""

    def learner(self, encoder: Backbone) -> Learner:
        return TwoViewLearner(encoder, self)

    def loss(self, first: Tensor, second: Tensor) -> Tensor:
        """The method's scalar loss of the projections (B, D) of two views of the same images."""
        raise NotImplementedError


class ProjectingLearner(Learner):
    """Encoder and projection head; `batch_norm` says whether both views pass at once."""

    def __init__(self, encoder: Backbone, method: ProjectionConfig) -> None:
        super().__init__()
        self.method, self.encoder = method, encoder
        self.projector = method.build_head(encoder.feature_dim)

    def project(self, images: Tensor) -> Tensor:
        """Images (B, C, H, W) -> projections (B, D)."""
        return self.projector(self.encoder(images))

    def forward(self, batch: Batch) -> tuple[Tensor, ...]:
        """The projections of each view."""
        return self.method.passed(self.project, batch.views)


class TwoViewLearner(ProjectingLearner):
    """That of a method which is a loss of two projections."""

    method: TwoViewConfig

    def loss(self, outputs: tuple[Tensor, Tensor]) -> Tensor:
        first, second = outputs
        return self.method.loss(first.float(), second.float())


def hidden_layer(inputs: int, outputs: int) -> tuple[nn.Module, ...]:
    """Linear, batch normalisation, ReLU: (B, inputs) -> (B, outputs)."""
    # The normalisation that follows would cancel a bias.
    return nn.Linear(inputs, outputs, bias=False), nn.BatchNorm1d(outputs), nn.ReLU(inplace=True)


def two_layers(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    """A hidden layer and a linear one: (B, inputs) -> (B, outputs)."""
    return nn.Sequential(*hidden_layer(inputs, hidden), nn.Linear(hidden, outputs))
