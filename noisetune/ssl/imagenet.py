"""ImageNet: fine-tuning starts from torchvision's supervised weights of the backbone."""

from http.client import HTTPException
from pathlib import Path
from typing import Literal

import safetensors.torch
import torch
from torch import Tensor
from torchvision.models import WeightsEnum, get_model

from noisetune.errors import UserError
from noisetune.models.base import ModelConfig, Published, Size
from noisetune.plugins import StandIn
from noisetune.seeds import seeded_initialisation
from noisetune.ssl.base import GivenEncoder
from noisetune.store import StoreLike
from noisetune.training.weights import fit_weights, read_weights


class Config(GivenEncoder):
    """The weights enter a backbone that torchvision has, too, at its published width.

    A stem whose first convolution is smaller than the published one is derived from it
    (`adapt_kernels`), or begins at random, as "Pre-train to Gain" (arXiv 2511.20844) has it.
    """

    recipes = {"paper": {"stem": "random"}}

    method: Literal["imagenet"] = "imagenet"
    weights: str = "IMAGENET1K_V1"
    """The name of the weights in torchvision, fetched into its own cache."""
    path: Path | None = None
    """A file of these weights, instead of fetching them."""
    stem: Literal["adapted", "random"] = "adapted"
    """Where the backbone's stem is smaller: derived from the published one, or left at random."""

    def check_model(self, model: ModelConfig) -> None:
        known = model.published().weights.__members__
        if self.weights not in known:
            raise ValueError(
                f"pretrain.weights: {self.weights!r}: torchvision has none of this name for "
                f"{model.name}; choose one of {', '.join(known)}"
            )

    def encoder(
        self, model: ModelConfig, channels: int, size: Size, store: StoreLike
    ) -> dict[str, Tensor]:
        published, wanted = model.published(), model.state(channels, size)
        source = (
            f"pretrain.{'weights' if self.path is None else 'path'}: {self.path or self.weights}"
        )
        stem, shape = published.stem, wanted[published.stem].shape
        there = {stem: torch.empty(shape[0], 3, published.kernel, published.kernel, device="meta")}
        state = fit_weights(model.own_names(self._read(published)), wanted | there, source)
        kernels = state.pop(stem)
        if self.stem == "random" and shape[-1] < published.kernel:
            return state
        return state | {stem: adapt_kernels(kernels, shape)}

    def is_here(self, model: ModelConfig) -> bool:
        return self.path is not None or _is_cached(model.published().weights[self.weights])

    def stand_in(self, model: ModelConfig, folder: Path) -> StandIn | None:
        if self.is_here(model):
            return None
        architecture = model.published().architecture
        file = folder / f"{architecture}.safetensors"
        if not file.is_file():
            with seeded_initialisation("made-up weights"):
                network = get_model(architecture, weights=None)
            file.parent.mkdir(parents=True, exist_ok=True)
            safetensors.torch.save_file(network.state_dict(), file)
        why = f"{self.weights} weights are random: torchvision's are not in its cache"
        return StandIn({"path": str(file)}, why)

    def _read(self, published: Published) -> dict[str, Tensor]:
        if self.path is not None:
            return read_weights(self.path, "pretrain.path")
        known = published.weights[self.weights]
        try:
            return known.get_state_dict(
                progress=False, check_hash=True, map_location="cpu", weights_only=True
            )
        except (OSError, RuntimeError, HTTPException) as error:
            raise UserError(
                f"pretrain.weights: {self.weights} cannot be fetched ({error}); fetch {known.url} "
                "where there is a network, and give the file as pretrain.path"
            ) from error


def _is_cached(weights: WeightsEnum) -> bool:
    name = weights.url.rsplit("/", 1)[-1]
    return Path(torch.hub.get_dir(), "checkpoints", name).is_file()


def adapt_kernels(kernels: Tensor, shape: torch.Size) -> Tensor:
    """Kernels of `shape` (K, 1 or 3, s, s) out of larger or equal ones (K, 3, k, k).

    What a 7x7 kernel answers to an image enlarged 7/3 times, its pixels repeated, a 3x3 kernel
    answers to the image itself once each weight is the sum of those that fall on its pixel, a
    weight on an edge being shared by area: sums are preserved. The kernels of the three colours
    are summed for grey images, whose colours are equal.
    """
    small, large = shape[-1], kernels.shape[-1]
    scale = large / small
    left = torch.arange(small, dtype=torch.float64)[:, None] * scale
    tap = torch.arange(large, dtype=torch.float64)
    overlap = (torch.minimum(left + scale, tap + 1) - torch.maximum(left, tap)).clamp(min=0)
    adapted = overlap @ kernels.double() @ overlap.T
    return (adapted.sum(1, keepdim=True) if shape[1] == 1 else adapted).to(kernels.dtype)
