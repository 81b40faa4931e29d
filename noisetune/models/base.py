"""A backbone that turns images into features, and the classifier made of it."""

from torch import Tensor, nn

from noisetune.plugins import PluginConfig


class Backbone(nn.Module):
    """Images float (B, C, H, W) -> features (B, feature_dim)."""

    feature_dim: int


class ModelConfig(PluginConfig):
    """A backbone's settings."""

    name: str

    def build(self, channels: int) -> Backbone:
        """A freshly initialised backbone for images of `channels` channels."""
        raise NotImplementedError


class Classifier(nn.Module):
    """A backbone with one linear layer: images (B, C, H, W) -> logits (B, classes)."""

    def __init__(self, backbone: Backbone, classes: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = nn.Linear(backbone.feature_dim, classes)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.backbone(images))
