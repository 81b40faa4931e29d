"""MAE: a transformer that sees a quarter of an image's patches rebuilds the others."""

import functools
from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from noisetune.models._vit import DEVIATION, HEAD_DIM, Block, initialise
from noisetune.models.base import Backbone, ModelConfig, TokenBackbone
from noisetune.ssl.base import Batch, Learner, SSLConfig, View
from noisetune.training.augment import AugmentConfig
from noisetune.training.speed import forward_flops

Shape = tuple[int, int, int]


class Config(SSLConfig):
    """He et al. 2021, arXiv 2111.06377; the backbone must be a transformer.

    kNN accuracy says little of what fine-tuning makes of it, and neither gates nor stops it.
    """

    knn_tells = False

    method: Literal["mae"] = "mae"
    masked: float = Field(default=0.75, gt=0.0, lt=1.0)
    """The share of patches that the encoder does not see."""
    decoder_depth: int = Field(default=2, ge=1)
    """Blocks of the decoder."""
    decoder_heads: int = Field(default=2, ge=1)
    """Its width, in heads of attention of 64 values each."""
    targets: Literal["normalised", "pixels"] = "normalised"
    """What is rebuilt: each patch by its own mean and deviation, or pixels as the encoder sees
    them."""

    def check_model(self, model: ModelConfig) -> None:
        if not model.has_tokens:
            raise ValueError(
                f"pretrain.method: mae: masks the patches of a transformer, and {model.name} is "
                "none; choose another model, vit_tiny say, or another method"
            )

    def usual_augment(self, usual: AugmentConfig) -> AugmentConfig:
        """Crops and flips alone (section 4.1): colours are what is to be rebuilt."""
        kept = {"crop_scale", "crop_ratio", "pad", "flip", "normalise"}
        return AugmentConfig(**usual.model_dump(include=kept))

    def views(self, given: AugmentConfig) -> Sequence[View]:
        return [View(given)]

    def passes(self, model: ModelConfig, shape: Shape) -> float:
        """By operations: an encoder that sees the visible patches, and the decoder."""
        return _operations(self, model, shape) / forward_flops(model, shape)

    def learner(self, encoder: Backbone) -> Learner:
        assert isinstance(encoder, TokenBackbone)
        return MAE(encoder, self)

    def visible(self, patches: int) -> int:
        """How many of so many patches the encoder sees: one at least, and not all."""
        return min(max(1, round(patches * (1 - self.masked))), patches - 1)


class MAE(Learner):
    """Encoder and decoder.

    The decoder has a learned position for each patch, and one token in the place of all masked.
    """

    undecayed = ("mask_token", "positions")
    encoder: TokenBackbone

    def __init__(self, encoder: TokenBackbone, method: Config) -> None:
        super().__init__()
        self.method, self.encoder, self.patch = method, encoder, encoder.patch
        self.draws = encoder.parts
        width, heads = method.decoder_heads * HEAD_DIM, method.decoder_heads
        self.inwards = nn.Linear(encoder.feature_dim, width)
        self.mask_token = nn.Parameter(torch.empty(1, 1, width))
        self.positions = nn.Parameter(torch.empty(1, encoder.others + encoder.parts, width))
        self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(method.decoder_depth)))
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.outwards = nn.Linear(width, encoder.channels * encoder.patch**2)
        for part in (self.inwards, self.blocks, self.outwards):
            part.apply(initialise)
        for each in (self.mask_token, self.positions):
            nn.init.trunc_normal_(each, std=DEVIATION)

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """One view (B, C, H, W) and draws (B, T) -> rebuilt patches (B, T, C * patch^2), what they
        were, and which were masked (B, T)."""
        (images,), draws = batch.views, batch.draws
        assert draws is not None
        order = draws.argsort(dim=1)
        seen = order[:, : self.method.visible(self.draws)]
        masked = torch.ones_like(draws, dtype=torch.bool).scatter(1, seen, False)
        rebuilt = self._decoded(self.encoder.encoded(images, seen), seen)
        return rebuilt, patches_of(images, self.patch), masked

    def _decoded(self, tokens: Tensor, seen: Tensor) -> Tensor:
        """Tokens (B, others + visible, D) of the parts `seen` -> patches (B, T, C * patch^2)."""
        known = self.inwards(tokens)
        others, parts = known.split([self.encoder.others, seen.shape[1]], dim=1)
        hidden = self.mask_token.to(known.dtype).expand(len(known), self.draws, -1)
        whole = hidden.scatter(1, seen[:, :, None].expand_as(parts), parts)
        placed = torch.cat([others, whole], dim=1) + self.positions
        return self.outwards(self.norm(self.blocks(placed)[:, self.encoder.others :]))

    def loss(self, outputs: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        rebuilt, patches, masked = outputs
        normalised = self.method.targets == "normalised"
        return rebuilding(rebuilt.float(), patches.float(), masked, normalised)


def rebuilding(rebuilt: Tensor, patches: Tensor, masked: Tensor, normalised: bool) -> Tensor:
    """The mean squared error of the masked patches (He et al. 2021, arXiv 2111.06377, section 3).

    Rebuilt and true patches (B, T, P), masked (B, T). `normalised`: each true one by its own mean
    and unbiased variance + 1e-6, as in the authors' code.
    """
    if normalised:
        variance, mean = torch.var_mean(patches, dim=-1, keepdim=True)
        patches = (patches - mean) * torch.rsqrt(variance + 1e-6)
    return ((rebuilt - patches).square().mean(-1) * masked).sum() / masked.sum()


def patches_of(images: Tensor, patch: int) -> Tensor:
    """Images (B, C, H, W) -> their patches (B, T, C * patch^2), row by row."""
    return nn.functional.unfold(images, patch, stride=patch).mT


@functools.lru_cache
def _operations(method: Config, model: ModelConfig, shape: Shape) -> float:
    """Those of a forward pass of one image through encoder and decoder; nothing is computed."""
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        learner = method.learner(model.build(shape[0], shape[1:]))
        learner(Batch([torch.empty(2, *shape)], draws=torch.empty(2, learner.draws)))
    return counter.get_total_flops() / 2
