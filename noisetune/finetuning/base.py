"""How a network learns from noisy labels: the criterion of a batch, and the state that it keeps."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, Self

import torch
from pydantic import Discriminator, Field, Tag, model_validator
from torch import Tensor, nn

from noisetune.plugins import PluginConfig
from noisetune.training.augment import AugmentConfig
from noisetune.training.optimisation import Optimisation

Forward = Callable[[Tensor], Tensor]
"""Images (B, C, H, W) as a batch has them -> logits (B, classes), float32, with gradients."""
Predict = Callable[[], Tensor]
"""Computes the probabilities (n, classes) of all images trained on, plain, by the first network."""
PROBED, PROBE = "probe_then_tune", "probe"

FinetuneAugment = Annotated[
    Annotated[AugmentConfig, Tag(AugmentConfig.__name__)]
    | Annotated[Literal["ssl"], Tag("literal[ssl]")],
    Discriminator(lambda raw: "literal[ssl]" if isinstance(raw, str) else AugmentConfig.__name__),
]
"""Told apart first, so that an error is one of the kind that was meant."""


@dataclass(frozen=True)
class Task:
    """What there is to learn: the noisy `labels` (n,), int64 on the device, of the n images that
    are trained on. A row is a place among these, 0..n-1. `matrix`, for a method that
    `reads_matrix`, is the true P(label = column | clean class = row), float32 (classes, classes) on
    the device."""

    labels: Tensor
    classes: int
    matrix: Tensor | None = None


@dataclass(frozen=True)
class Batch:
    """What a step learns from: `images` float (B, C, H, W), augmented, or of a probe their features
    (B, D); their noisy `labels` (B,) and `rows` (B,), both int64 on the device. `random` is a
    generator on the CPU for what a method draws itself: a run that is continued draws the same from
    it."""

    images: Tensor
    labels: Tensor
    rows: Tensor
    random: torch.Generator


class Criterion(nn.Module):
    """What a step of the optimiser lowers. Its buffers are its state: they are kept in the stage's
    checkpoints, and a run goes on from them bit for bit. It has no weights to be trained."""

    def loss(self, logits: Tensor, labels: Tensor, rows: Tensor) -> Tensor:
        """The scalar loss of logits (B, classes), float32, with noisy labels (B,) and rows (B,)."""
        raise NotImplementedError

    def step(self, networks: Sequence[Forward], batch: Batch) -> Tensor:
        """The scalar loss of a batch: for methods that change it, or that train more networks."""
        return self.loss(networks[0](batch.images), batch.labels, batch.rows)

    @torch.no_grad()
    def epoch_begins(self, epoch: int, predict: Predict) -> None:
        """Called before each epoch (0-based). `predict` costs a pass over the images trained on."""


class FinetuneConfig(PluginConfig, Optimisation):
    """Settings that all methods of fine-tuning on noisy labels share."""

    neutral = {**Optimisation.neutral, "layer_decay": 1.0}
    networks: ClassVar[int] = 1
    """Networks that are trained together, each from the same encoder with a head of its own."""
    changes_images: ClassVar[bool] = False
    """Whether its steps make images of their own, which features computed before do not serve."""

    method: str
    """The method: a file of `noisetune/finetuning/`, or a plug-in of another package."""
    train: Literal["all", "head", "probe_then_tune", "probe"] = "all"
    """What of the network: `all` of it; the `head` alone, on a frozen backbone (batch-norm
    statistics too) that sees each epoch's augmented images; the head for `probe_epochs` of the
    `epochs`, then all; or `probe`, the head on features of the plain images, which are computed
    once without augmentation and shared by all trials with this encoder."""
    probe_epochs: int = Field(default=5, ge=1)
    """Of `probe_then_tune`: so many of `epochs` train the head; the schedule and the head's
    optimiser state go on, the backbone's begins."""
    head: Literal["linear", "mlp"] = "linear"
    """What is put on the encoder: one linear layer, or `mlp`, two with a ReLU between them."""
    hidden: int = Field(default=512, ge=1)
    """Of `head: mlp`: the values between its two layers."""
    layer_decay: float = Field(default=1.0, gt=0.0, le=1.0)
    """Each layer of the backbone learns with this part of the rate of the one above it, the highest
    of that of the head, which is `lr` (Clark et al. 2020; 0.65 to 0.75 in MAE). A backbone that is
    not a ViT may be one layer. Where it is frozen to the end nothing reads it."""
    augment: FinetuneAugment | None = None
    """How images are augmented; by default as the data set says. `ssl` is one view as the data
    set's pre-training makes them. Under `train: probe` nothing reads it."""

    @model_validator(mode="after")
    def _tunes_after_the_probe(self) -> Self:
        if self.train == PROBED and self.probe_epochs >= self.epochs:
            raise ValueError(
                f"probe_epochs: {self.probe_epochs}: must be fewer than the {self.epochs} epochs, "
                "so that some are left to train all; or set train: head"
            )
        return self

    @model_validator(mode="after")
    def _a_probe_has_no_images_to_change(self) -> Self:
        if self.train == PROBE and self.changes_images:
            raise ValueError(
                f"train: probe: method {self.method} changes images, and a probe learns from "
                "features that were computed before; set train: head, or take another method"
            )
        return self

    @property
    def frozen_epochs(self) -> int:
        """How many of the first epochs train the head alone."""
        return {"all": 0, PROBED: self.probe_epochs}.get(self.train, self.epochs)

    @property
    def tunes(self) -> bool:
        """Whether the backbone learns, too, be it at last."""
        return self.frozen_epochs < self.epochs

    def scales(self, layers: Sequence[Sequence[nn.Parameter]]) -> dict[nn.Parameter, float]:
        """The parts of the rate that the weights of a backbone learn with, whose layers are given
        from input to output; none where all of them learn with the head's."""
        if not self.tunes or self.layer_decay == 1:
            return {}
        return {
            weight: self.layer_decay**below
            for below, layer in enumerate(reversed(layers), start=1)
            for weight in layer
        }

    @property
    def head_width(self) -> int | None:
        """The values between the two layers of the head; None where it has one."""
        return self.hidden if self.head == "mlp" else None

    @property
    def reads_matrix(self) -> bool:
        """Whether it reads the true transition matrix, as no user can who has noisy labels alone:
        its settings must say so by `oracle: true`."""
        return False

    @property
    def passes(self) -> float:
        """The mean cost of an epoch, in passes of each image forward and backward through a
        network; one without gradients is `FORWARD_PASS`."""
        return float(self.networks)

    def identity(self) -> dict[str, Any]:
        """What a stage key knows the method by: all that it reads of its settings."""
        unread = {"augment"} | (set() if self.train == PROBED else {"probe_epochs"})
        # Heads were all linear once, and what was stored then is the same still.
        unread |= {"head", "hidden"} if self.head_width is None else set()
        unread |= self.unkeyed | (set() if self.tunes else {"layer_decay"})
        return self.model_dump(mode="json", exclude=unread)

    def criterion(self, task: Task) -> Criterion:
        """The criterion of a run that begins; its state lies on the device of the labels."""
        return _Stateless(self)

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The scalar loss of logits (B, classes) with noisy labels (B,), where it is all."""
        raise NotImplementedError


class _Stateless(Criterion):
    """A loss of each image's logits and label."""

    def __init__(self, method: FinetuneConfig) -> None:
        super().__init__()
        self.method = method

    def loss(self, logits: Tensor, labels: Tensor, rows: Tensor) -> Tensor:
        return self.method.loss(logits, labels)
