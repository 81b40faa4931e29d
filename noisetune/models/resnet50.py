"""ResNet50 (He et al. 2016, arXiv 1512.03385), with a stem for small images or the original one."""

from typing import Literal

from torchvision.models import ResNet50_Weights
from torchvision.models.resnet import Bottleneck

from noisetune.models._resnet import ResNetConfig


class Config(ResNetConfig):
    """3, 4, 6 and 3 bottleneck blocks; 2048 features at width 64.

    As in torchvision a block's 3x3 convolution has the stride, not its first one (version 1.5).
    """

    block, blocks, weights = Bottleneck, (3, 4, 6, 3), ResNet50_Weights

    name: Literal["resnet50"] = "resnet50"
