"""ResNet18 (He et al. 2016, arXiv 1512.03385), with a stem for small images or the original one."""

from typing import Literal

from torchvision.models import ResNet18_Weights
from torchvision.models.resnet import BasicBlock

from noisetune.models._resnet import ResNetConfig


class Config(ResNetConfig):
    """Two basic blocks a stage; 512 features at width 64."""

    default_under = ("standard",)
    block, blocks, weights = BasicBlock, (2, 2, 2, 2), ResNet18_Weights

    name: Literal["resnet18"] = "resnet18"
