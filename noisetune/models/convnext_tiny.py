"""ConvNeXt-T (Liu et al. 2022, arXiv 2201.03545), with patches for small images or the original
ones."""

import re
from collections.abc import Mapping
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torchvision.models import ConvNeXt_Tiny_Weights, convnext

from noisetune.errors import UserError
from noisetune.models.base import Backbone, ModelConfig, Published, Size, require_width

STEM = "features.0.0.weight"
PUBLISHED_WIDTH, PUBLISHED_PATCH = 96, 4
BLOCKS = (3, 3, 9, 3)
HALVINGS = 3
DEVIATION = 0.02


class Config(ModelConfig):
    """3, 3, 9 and 3 blocks of depthwise 7x7 convolutions; 768 features and 27.8 million weights at
    width 96. It is torchvision's network without stochastic depth.

    The stem cuts an image into patches; stages halve the sides three times, so that an image has
    to have sides of eight patches at least.
    """

    smallest = {"width": 4}

    name: Literal["convnext_tiny"] = "convnext_tiny"
    width: int = Field(default=PUBLISHED_WIDTH, ge=4, le=512)
    """Channels of the first stage: 96 is the standard."""
    patch: int = Field(default=2, ge=1, le=PUBLISHED_PATCH)
    """The sides of a patch in pixels: 2 suits 32x32, 4 is the original, for images from about 100
    pixels on. 1 instead of 2 costs four times as much."""

    def build(self, channels: int, size: Size) -> Backbone:
        most = min(size) // 2**HALVINGS
        if self.patch > most:
            remedy = f"model.patch: {most}" if most else f"data.size: {2**HALVINGS}"
            raise UserError(
                f"model.patch: {self.patch}: nothing is left of images of {size[0]}x{size[1]} "
                f"pixels, whose sides are halved {HALVINGS} times beside; set {remedy}, or take "
                "another backbone"
            )
        return ConvNeXt(channels, self.width, self.patch)

    def own_names(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Also torchvision's, whose classifier is left out but for the normalisation in it."""
        return {
            re.sub(r"^classifier\.0\.", "norm.", name): tensor
            for name, tensor in state.items()
            if not name.startswith("classifier.2.")
        }

    def published(self) -> Published:
        require_width(self.width, PUBLISHED_WIDTH)
        return Published(ConvNeXt_Tiny_Weights, self.name, STEM, kernel=PUBLISHED_PATCH)


class ConvNeXt(Backbone):
    """Stages of width, 2, 4 and 8 times width channels; features are the normalised spatial means
    of the last."""

    def __init__(self, channels: int, width: int, patch: int) -> None:
        super().__init__()
        widths = [width * 2**stage for stage in range(len(BLOCKS))]
        stages = zip(widths, [*widths[1:], None], BLOCKS, strict=True)
        settings = [convnext.CNBlockConfig(*stage) for stage in stages]
        theirs = convnext.ConvNeXt(settings, num_classes=1)
        self.features, self.norm = theirs.features, theirs.classifier[0]
        self.feature_dim = widths[-1]
        scales = (name for name, _ in self.named_parameters() if name.endswith("layer_scale"))
        self.undecayed = tuple(scales)
        stem = self.features[0][0] = nn.Conv2d(channels, width, patch, stride=patch)
        nn.init.trunc_normal_(stem.weight, std=DEVIATION)
        assert stem.bias is not None
        nn.init.zeros_(stem.bias)

    def forward(self, images: Tensor) -> Tensor:
        planes = self.features(images)
        return torch.flatten(self.norm(planes.mean(dim=(2, 3), keepdim=True)), 1)

    def by_depth(self) -> list[list[nn.Parameter]]:
        """The stem, then each block: the first of a stage with the halving before it, the last one
        with the normalisation after it."""
        layers = [list(self.features[0].parameters())]
        halvings = [[], *(list(each.parameters()) for each in self.features[2::2])]
        for halving, stage in zip(halvings, self.features[1::2], strict=True):
            first, *others = (list(block.parameters()) for block in stage)
            layers += [halving + first, *others]
        layers[-1] += self.norm.parameters()
        return layers
