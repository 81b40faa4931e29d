"""ResNet34 (He et al. 2016, arXiv 1512.03385), with a stem for small images or the original one."""

from typing import Literal

from torchvision.models import ResNet34_Weights
from torchvision.models.resnet import BasicBlock

from noisetune.models._resnet import ResNetConfig


class Config(ResNetConfig):
    """3, 4, 6 and 3 basic blocks; 512 features at width 64."""

    block, blocks, weights = BasicBlock, (3, 4, 6, 3), ResNet34_Weights

    name: Literal["resnet34"] = "resnet34"
