"""ResNet18 of pre-activation blocks (He et al. 2016, arXiv 1603.05027), for small images."""

from typing import Literal

from pydantic import Field

from noisetune.models._preact import PreActResNet
from noisetune.models.base import ModelConfig, Size


class Config(ModelConfig):
    """What papers on noisy labels mostly report for 32x32: a 3x3 stem, two blocks a stage; 512
    features at width 64.

    As in its own paper the last block is followed by a normalisation and a ReLU, which the usual
    code leaves out. Torchvision has no weights for it.
    """

    smallest = {"width": 4}

    name: Literal["preact_resnet18"] = "preact_resnet18"
    width: int = Field(default=64, ge=4, le=512)
    """Channels of the first stage: 64 is the standard, 16 suits CPUs."""

    def build(self, channels: int, size: Size) -> PreActResNet:
        widths = [self.width * 2**stage for stage in range(4)]
        return PreActResNet(channels, self.width, widths, blocks=2)
