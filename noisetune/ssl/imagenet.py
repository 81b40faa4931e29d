"""ImageNet: fine-tuning starts from torchvision's supervised ResNet18."""

from http.client import HTTPException
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor
from torchvision.models import ResNet18_Weights

from noisetune.errors import UserError
from noisetune.models.base import ModelConfig
from noisetune.models.resnet18 import STEM
from noisetune.models.resnet18 import Config as ResNet18
from noisetune.ssl.base import GivenEncoder
from noisetune.store import StoreLike
from noisetune.training.weights import fit_weights, read_weights

WIDTH, LARGE, SMALL = 64, 7, 3


class Config(GivenEncoder):
    """`weights` are fetched by torchvision into its own cache; a file at `path` replaces them.

    Its first convolution has 7x7 kernels and a stride of 2, ours 3x3 and 1. `stem` adapted
    derives these from those (`adapt_stem`); random leaves them as they are initialised, as
    "Pre-train to Gain" (arXiv 2511.20844) does, though everything else is loaded.
    """

    method: Literal["imagenet"] = "imagenet"
    weights: Literal["IMAGENET1K_V1"] = "IMAGENET1K_V1"
    """Torchvision's ResNet18, fetched into its cache; needs `model.width: 64`."""
    path: Path | None = None
    """A file instead of fetching it."""
    stem: Literal["adapted", "random"] = "adapted"
    """`adapted`: the 3x3 stem is derived from the 7x7 one: the weights that fall on a pixel of an
    image enlarged 7/3 times are summed. `random`: it begins at random, all else is loaded, as in
    the paper."""

    def check_model(self, model: ModelConfig) -> None:
        if not isinstance(model, ResNet18):
            raise ValueError(
                f"model.name: {model.name}: pretrain.method imagenet has the weights of a resnet18 "
                "alone; set model.name: resnet18, or take another method"
            )
        if model.width != WIDTH:
            raise ValueError(
                f"model.width: {model.width}: pretrain.method imagenet has weights of width "
                f"{WIDTH} alone; set model.width: {WIDTH}, or take another method"
            )

    def encoder(self, model: ModelConfig, channels: int, store: StoreLike) -> dict[str, Tensor]:
        there = {STEM: torch.empty(WIDTH, 3, LARGE, LARGE, device="meta")}
        source = (
            f"pretrain.{'weights' if self.path is None else 'path'}: {self.path or self.weights}"
        )
        state = fit_weights(model.own_names(self._read()), model.state(channels) | there, source)
        kernels = state.pop(STEM)
        return state | ({STEM: adapt_stem(kernels, channels)} if self.stem == "adapted" else {})

    def _read(self) -> dict[str, Tensor]:
        if self.path is not None:
            return read_weights(self.path, "pretrain.path")
        known = ResNet18_Weights[self.weights]
        try:
            return known.get_state_dict(
                progress=False, check_hash=True, map_location="cpu", weights_only=True
            )
        except (OSError, RuntimeError, HTTPException) as error:
            raise UserError(
                f"pretrain.weights: {self.weights} cannot be fetched ({error}); fetch {known.url} "
                "where there is a network, and give the file as pretrain.path"
            ) from error


def adapt_stem(kernels: Tensor, channels: int) -> Tensor:
    """3x3 kernels (K, channels, 3, 3) out of 7x7 ones (K, 3, 7, 7), for 1 or 3 channels.

    What a 7x7 kernel answers to an image enlarged 7/3 times, its pixels repeated, a 3x3 kernel
    answers to the image itself once each weight is the sum of those that fall on its pixel, a
    weight on an edge being shared by area: sums are preserved. The kernels of the three colours
    are summed for grey images, whose colours are equal.
    """
    scale = LARGE / SMALL
    left = torch.arange(SMALL, dtype=torch.float64)[:, None] * scale
    tap = torch.arange(LARGE, dtype=torch.float64)
    overlap = (torch.minimum(left + scale, tap + 1) - torch.maximum(left, tap)).clamp(min=0)
    small = overlap @ kernels.double() @ overlap.T
    return (small.sum(1, keepdim=True) if channels == 1 else small).to(kernels.dtype)
