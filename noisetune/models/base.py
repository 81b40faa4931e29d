"""A backbone that turns images into features, and the classifier made of it."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from noisetune.plugins import PluginConfig


class Backbone(nn.Module):
    """Images float (B, C, H, W) -> features (B, feature_dim)."""

    feature_dim: int


class ModelConfig(PluginConfig):
    """A backbone's settings."""

    name: str
    """The backbone."""

    def build(self, channels: int) -> Backbone:
        """A freshly initialised backbone for images of `channels` channels."""
        raise NotImplementedError

    def own_names(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The tensors of a state dict by the backbone's own names.

        A backbone that torchvision has too also recognises torchvision's names, and leaves the
        classifier out that stands there.
        """
        return dict(state)

    def state(self, channels: int) -> dict[str, Tensor]:
        """The backbone's state dict without content: names, shapes and types alone."""
        with torch.device("meta"):
            return self.build(channels).state_dict()


class Classifier(nn.Module):
    """A backbone with one linear layer: images (B, C, H, W) -> logits (B, classes)."""

    def __init__(self, backbone: Backbone, classes: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = nn.Linear(backbone.feature_dim, classes)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.backbone(images))
