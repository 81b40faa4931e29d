"""ResNet18 (He et al. 2016), with a stem for small images or the original one for large ones."""

import re
from collections.abc import Mapping
from typing import Literal

from pydantic import Field
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, conv1x1, conv3x3

from noisetune.models.base import Backbone, ModelConfig

BLOCKS = (2, 2, 2, 2)
STEM = "stem.0.weight"


class Config(ModelConfig):
    """`width` is the number of channels of the first stage: 64 is the standard, 16 suits CPUs.

    The `small` stem is a 3x3 convolution that keeps the size; `large`, for images from about 100
    pixels on, is the original: 7x7 with stride 2, then a max-pooling with stride 2.
    """

    name: Literal["resnet18"] = "resnet18"
    width: int = Field(default=64, ge=4, le=512)
    """Channels of the first stage: 64 is the standard, 16 suits CPUs."""
    stem: Literal["small", "large"] = "small"
    """`small`: a 3x3 convolution that keeps the size, for images up to about 100 pixels. `large`:
    ImageNet's, 7x7 with stride 2, then a max-pooling with stride 2. At 224x224 the small one costs
    15 times as much."""

    def build(self, channels: int) -> Backbone:
        return ResNet(channels, self.width, self.stem == "large")

    def own_names(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Also torchvision's: conv1, bn1, layer1 .. layer4; its `fc` is left out."""
        return {
            _own_name(name): tensor for name, tensor in state.items() if not name.startswith("fc.")
        }


class ResNet(Backbone):
    """Four stages of width, 2, 4 and 8 times width channels; features are spatial means."""

    def __init__(self, channels: int, width: int, large_stem: bool = False) -> None:
        super().__init__()
        self.feature_dim = width * 8
        self.stem = _stem(channels, width, large_stem)
        widths = [width * 2**stage for stage in range(len(BLOCKS))]
        stages, incoming = [], width
        for index, (outgoing, blocks) in enumerate(zip(widths, BLOCKS, strict=True)):
            stages.append(_stage(incoming, outgoing, blocks, stride=1 if index == 0 else 2))
            incoming = outgoing
        self.stages = nn.Sequential(*stages)
        self.apply(_initialise)

    def forward(self, images: Tensor) -> Tensor:
        return self.stages(self.stem(images)).mean(dim=(2, 3))


def _own_name(name: str) -> str:
    name = re.sub(r"^layer([1-4])\.", lambda found: f"stages.{int(found[1]) - 1}.", name)
    return re.sub(r"^bn1\.", "stem.1.", re.sub(r"^conv1\.", "stem.0.", name))


def _stem(channels: int, width: int, large: bool) -> nn.Sequential:
    after: tuple[nn.Module, ...] = nn.BatchNorm2d(width), nn.ReLU(inplace=True)
    if not large:
        return nn.Sequential(conv3x3(channels, width), *after)
    first = nn.Conv2d(channels, width, 7, stride=2, padding=3, bias=False)
    return nn.Sequential(first, *after, nn.MaxPool2d(3, stride=2, padding=1))


def _stage(incoming: int, outgoing: int, blocks: int, stride: int) -> nn.Sequential:
    shortcut = None
    if stride != 1 or incoming != outgoing:
        shortcut = nn.Sequential(conv1x1(incoming, outgoing, stride), nn.BatchNorm2d(outgoing))
    first = BasicBlock(incoming, outgoing, stride, shortcut)
    return nn.Sequential(first, *(BasicBlock(outgoing, outgoing) for _ in range(blocks - 1)))


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
