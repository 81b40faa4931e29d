"""A small vision transformer (Touvron et al. 2021, arXiv 2012.12877): DeiT-small, small patches."""

from typing import Literal

from noisetune.models._vit import ViTConfig


class Config(ViTConfig):
    """Twelve blocks, six heads: 384 features, 21.3 million weights at 32x32."""

    heads = 6

    name: Literal["vit_small"] = "vit_small"
