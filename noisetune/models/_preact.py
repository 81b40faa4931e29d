"""Networks of pre-activation blocks (He et al. 2016, arXiv 1603.05027): what they share."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torchvision.models.resnet import conv1x1, conv3x3

from noisetune.models._resnet import initialise
from noisetune.models.base import Backbone

MULTIPLIER = 0x45D9F3B


class PreActResNet(Backbone):
    """A 3x3 convolution of `stem` channels, then stages of `blocks` blocks each.

    Every stage but the first halves the sides; features are the spatial means of the last stage's
    channels, normalised and rectified once more.
    """

    def __init__(
        self, channels: int, stem: int, widths: Sequence[int], blocks: int, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.stem = conv3x3(channels, stem)
        stages, incoming = [], stem
        for index, width in enumerate(widths):
            first = PreActBlock(incoming, width, 1 if index == 0 else 2, dropout)
            others = (PreActBlock(width, width, 1, dropout) for _ in range(blocks - 1))
            stages.append(nn.Sequential(first, *others))
            incoming = width
        self.stages = nn.Sequential(*stages)
        self.last = _activation(incoming)
        self.feature_dim = incoming
        self.apply(initialise)

    def forward(self, images: Tensor) -> Tensor:
        return self.last(self.stages(self.stem(images))).mean(dim=(2, 3))

    def by_depth(self) -> list[list[nn.Parameter]]:
        """The stem, then each block, the last one with the normalisation after it."""
        blocks = (block for stage in self.stages.children() for block in stage.children())
        layers = [list(each.parameters()) for each in (self.stem, *blocks)]
        layers[-1] += self.last.parameters()
        return layers


class PreActBlock(nn.Module):
    """Twice batch normalisation, ReLU and a 3x3 convolution; dropout before the second one.

    Where the shape changes a 1x1 convolution of what was normalised and rectified is the shortcut,
    else the input itself.
    """

    def __init__(self, incoming: int, outgoing: int, stride: int, dropout: float) -> None:
        super().__init__()
        self.first = _activation(incoming)
        self.conv1 = conv3x3(incoming, outgoing, stride)
        self.second = _activation(outgoing)
        self.dropout = Dropout(dropout) if dropout else nn.Identity()
        self.conv2 = conv3x3(outgoing, outgoing)
        same = stride == 1 and incoming == outgoing
        self.shortcut = None if same else conv1x1(incoming, outgoing, stride)

    def forward(self, planes: Tensor) -> Tensor:
        active = self.first(planes)
        beside = planes if self.shortcut is None else self.shortcut(active)
        return beside + self.conv2(self.dropout(self.second(self.conv1(active))))


class Dropout(nn.Module):
    """Dropout (Srivastava et al. 2014) whose draws hang on a counter of its own.

    The counter is a buffer, so that a run goes on bit for bit. It begins at a number that torch's
    generator draws, and counts the batches that were trained on.
    """

    drawn: Tensor

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate
        self.register_buffer("drawn", torch.randint(2**30, ()))

    def forward(self, planes: Tensor) -> Tensor:
        if not self.training:
            return planes
        self.drawn += 1
        kept = self._bits(planes.shape, planes.device) >= -(2**31) + self.rate * 2**32
        return planes * kept / (1 - self.rate)

    def _bits(self, shape: torch.Size, device: torch.device) -> Tensor:
        """Uniform int32 of a shape (B, C, H, W): a hash of the counter, the image and the place."""
        places = torch.arange(shape[1:].numel(), dtype=torch.int32, device=device)
        images = torch.arange(shape[0], dtype=torch.int32, device=device) ^ _mixed(self.drawn.int())
        return _mixed(_mixed(places).view(1, *shape[1:]) ^ _mixed(images).view(-1, 1, 1, 1))


def _mixed(bits: Tensor) -> Tensor:
    """Each int32 as another one: one to one, every bit of it hanging on all of the given ones."""
    for _ in range(2):
        bits = (bits ^ (bits >> 16 & 0xFFFF)) * MULTIPLIER
    return bits ^ (bits >> 16 & 0xFFFF)


def _activation(channels: int) -> nn.Sequential:
    return nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU(inplace=True))
