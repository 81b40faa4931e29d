"""The residual networks of He et al. (2016, arXiv 1512.03385): what those of any depth share."""

import re
from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor, nn
from torchvision.models import WeightsEnum
from torchvision.models.resnet import BasicBlock, Bottleneck, conv1x1, conv3x3

from noisetune.models.base import Backbone, ModelConfig, Published, Size, require_width

STEM = "stem.0.weight"
PUBLISHED_WIDTH = 64
Block = type[BasicBlock] | type[Bottleneck]


class ResNetConfig(ModelConfig):
    """A residual network for images of any size.

    The `small` stem is a 3x3 convolution that keeps the size; `large`, for images from about 100
    pixels on, is the original: 7x7 with stride 2, then a max-pooling with stride 2.
    """

    recipes = {"paper": {"width": 64}}
    smallest = {"width": 4}
    block: ClassVar[Block]
    blocks: ClassVar[tuple[int, ...]]
    weights: ClassVar[type[WeightsEnum]]

    width: int = Field(default=64, ge=4, le=512)
    """Channels of the first stage: 64 is the standard, 16 suits CPUs."""
    stem: Literal["small", "large"] = "small"
    """`small` for images up to about 100 pixels; at 224x224 it costs 15 times as much."""

    def build(self, channels: int, size: Size) -> Backbone:
        return ResNet(self.block, self.blocks, channels, self.width, self.stem == "large")

    def own_names(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Also torchvision's: conv1, bn1, layer1 .. layer4; its `fc` is left out."""
        return {
            _own_name(name): tensor for name, tensor in state.items() if not name.startswith("fc.")
        }

    def published(self) -> Published:
        require_width(self.width, PUBLISHED_WIDTH)
        return Published(self.weights, self.name, STEM, kernel=7)


class ResNet(Backbone):
    """Stages of width, 2, 4, 8 ... times width channels; features are spatial means.

    They are as many as the last stage's channels, times 4 where blocks are bottlenecks.
    """

    def __init__(
        self,
        block: Block,
        blocks: Sequence[int],
        channels: int,
        width: int,
        large_stem: bool = False,
    ) -> None:
        super().__init__()
        self.stem = _stem(channels, width, large_stem)
        stages, incoming = [], width
        for index, count in enumerate(blocks):
            planes = width * 2**index
            stages.append(_stage(block, incoming, planes, count, stride=1 if index == 0 else 2))
            incoming = planes * block.expansion
        self.feature_dim = incoming
        self.stages = nn.Sequential(*stages)
        self.apply(initialise)

    def forward(self, images: Tensor) -> Tensor:
        return self.stages(self.stem(images)).mean(dim=(2, 3))

    def by_depth(self) -> list[list[nn.Parameter]]:
        """The stem, then each block."""
        blocks = (block for stage in self.stages.children() for block in stage.children())
        return [list(each.parameters()) for each in (self.stem, *blocks)]


def _own_name(name: str) -> str:
    name = re.sub(r"^layer([1-4])\.", lambda found: f"stages.{int(found[1]) - 1}.", name)
    return re.sub(r"^bn1\.", "stem.1.", re.sub(r"^conv1\.", "stem.0.", name))


def _stem(channels: int, width: int, large: bool) -> nn.Sequential:
    after: tuple[nn.Module, ...] = nn.BatchNorm2d(width), nn.ReLU(inplace=True)
    if not large:
        return nn.Sequential(conv3x3(channels, width), *after)
    first = nn.Conv2d(channels, width, 7, stride=2, padding=3, bias=False)
    return nn.Sequential(first, *after, nn.MaxPool2d(3, stride=2, padding=1))


def _stage(block: Block, incoming: int, planes: int, count: int, stride: int) -> nn.Sequential:
    outgoing, shortcut = planes * block.expansion, None
    if stride != 1 or incoming != outgoing:
        shortcut = nn.Sequential(conv1x1(incoming, outgoing, stride), nn.BatchNorm2d(outgoing))
    first = block(incoming, planes, stride, shortcut)
    return nn.Sequential(first, *(block(outgoing, planes) for _ in range(count - 1)))


def initialise(module: nn.Module) -> None:
    """Convolutions by Kaiming's fan-out; for `Module.apply`."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
