"""A backbone that turns images into features, and the classifier made of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torchvision.models import WeightsEnum

from noisetune.plugins import PluginConfig

Size = tuple[int, int]


class Backbone(nn.Module):
    """Images float (B, C, H, W) -> features (B, feature_dim)."""

    feature_dim: int

    def by_depth(self) -> list[list[nn.Parameter]]:
        """Its parameters in the order of depth, from the input on, each in exactly one layer.

        A learning rate that decays from layer to layer goes by them. By default all are one layer.
        """
        return [list(self.parameters())]


class TokenBackbone(Backbone):
    """A backbone that also gives a vector for each part of an image, as transformers do.

    Parts are squares of `patch` pixels, `parts` of an image of `channels` channels; `others` tokens
    are of none of them, and stand before theirs.
    """

    channels: int
    patch: int
    parts: int
    others: int

    def encoded(self, images: Tensor, seen: Tensor | None = None) -> Tensor:
        """Images (B, C, H, W) -> tokens (B, others + T, feature_dim), those of parts row by row.

        Where `seen` (B, S) names some parts of each image the others are as if they were not there,
        and tokens (B, others + S, feature_dim) are in its order.
        """
        raise NotImplementedError

    def tokens(self, images: Tensor) -> Tensor:
        """Images (B, C, H, W) -> tokens (B, T, feature_dim) of its parts, row by row."""
        return self.encoded(images)[:, self.others :]


@dataclass(frozen=True)
class Published:
    """The weights that torchvision has for a backbone.

    `architecture` is the name of torchvision's builder; `stem` that of the first convolution's
    weight (K, 3, kernel, kernel) among the backbone's own.
    """

    weights: type[WeightsEnum]
    architecture: str
    stem: str
    kernel: int


class ModelConfig(PluginConfig):
    """A backbone's settings."""

    has_tokens: ClassVar[bool] = False
    """Whether what it builds is a `TokenBackbone`."""

    name: str
    """The backbone."""

    def build(self, channels: int, size: Size) -> Backbone:
        """A freshly initialised backbone for images of `channels` channels and `size` (H, W).

        UserError, naming the field, for a size that it cannot take.
        """
        raise NotImplementedError

    def own_names(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The tensors of a state dict by the backbone's own names.

        A backbone that torchvision has too also recognises torchvision's names, and leaves the
        classifier out that stands there.
        """
        return dict(state)

    def published(self) -> Published:
        """Torchvision's weights for these settings; ValueError, naming the field, without any."""
        raise ValueError(
            f"model.name: {self.name}: torchvision has no weights for it; choose another backbone"
        )

    def state(self, channels: int, size: Size) -> dict[str, Tensor]:
        """The backbone's state dict without content: names, shapes and types alone."""
        with torch.device("meta"):
            return self.build(channels, size).state_dict()

    def identity(self) -> dict[str, Any]:
        """What stage keys know the backbone by."""
        return self.model_dump(mode="json")


class NoBackbone(Backbone):
    """In the place of a backbone where features are read: vectors (B, feature_dim) pass as they
    are."""

    def __init__(self, feature_dim: int) -> None:
        super().__init__()
        self.feature_dim = feature_dim

    def forward(self, vectors: Tensor) -> Tensor:
        return vectors


def require_width(width: int, published: int) -> None:
    """ValueError, naming the field, where torchvision's weights are of another width."""
    if width != published:
        raise ValueError(
            f"model.width: {width}: torchvision has weights of width {published} alone; "
            f"set model.width: {published}, or take another pretrain.method"
        )


def build_head(features: int, classes: int, hidden: int | None = None) -> nn.Module:
    """Features (B, features) -> logits (B, classes): one linear layer, or two with a ReLU between
    them, of `hidden` values."""
    if hidden is None:
        return nn.Linear(features, classes)
    return nn.Sequential(nn.Linear(features, hidden), nn.ReLU(), nn.Linear(hidden, classes))


class Classifier(nn.Module):
    """A backbone with a head (`build_head`): images (B, C, H, W) -> logits (B, classes)."""

    def __init__(self, backbone: Backbone, classes: int, hidden: int | None = None) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = build_head(backbone.feature_dim, classes, hidden)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.backbone(images))
