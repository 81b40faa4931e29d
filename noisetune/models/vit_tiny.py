"""A tiny vision transformer (Touvron et al. 2021, arXiv 2012.12877): DeiT-tiny, small patches."""

from typing import Literal

from noisetune.models._vit import ViTConfig


class Config(ViTConfig):
    """Twelve blocks, three heads: 192 features, 5.4 million weights at 32x32."""

    heads = 3

    name: Literal["vit_tiny"] = "vit_tiny"
