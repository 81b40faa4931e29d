"""Wide residual networks, WRN-d-k (Zagoruyko & Komodakis 2016, arXiv 1605.07146)."""

from typing import Literal

from pydantic import Field, field_validator

from noisetune.models._preact import PreActResNet
from noisetune.models.base import ModelConfig, Size

STEM = 16
STAGES = 3
CONVOLUTIONS = 2 * STAGES
"""In one block of each stage."""
OTHERS = 4
"""Convolutions beside those: the stem, and the shortcut into each stage."""


class Config(ModelConfig):
    """Three stages of pre-activation blocks, 16k, 32k and 64k channels wide, for small images; 64k
    features. Torchvision has no weights for it.
    """

    smallest = {"widen": 1}

    name: Literal["wide_resnet"] = "wide_resnet"
    depth: int = Field(default=28, ge=10, le=1000)
    """Its convolutions, 6n + 4 with n blocks a stage."""
    widen: int = Field(default=10, ge=1, le=32)
    """How many times as wide as a plain network it is (the paper's k): 10 has 36.5 million weights
    at depth 28, 2 has 1.5 million."""
    dropout: float = Field(default=0.0, ge=0.0, lt=1.0)
    """The share of values between a block's two convolutions that training leaves out; the paper
    has 0.3."""

    @field_validator("depth")
    @classmethod
    def _of_whole_blocks(cls, depth: int) -> int:
        left = (depth - OTHERS) % CONVOLUTIONS
        if left:
            raise ValueError(
                f"must be 6n + 4, for n blocks a stage; take {depth - left} or "
                f"{depth - left + CONVOLUTIONS}"
            )
        return depth

    def build(self, channels: int, size: Size) -> PreActResNet:
        widths = [STEM * self.widen * 2**stage for stage in range(STAGES)]
        blocks = (self.depth - OTHERS) // CONVOLUTIONS
        return PreActResNet(channels, STEM, widths, blocks, self.dropout)
