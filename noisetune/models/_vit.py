"""Vision transformers (Dosovitskiy et al. 2021, arXiv 2010.11929): what all widths share."""

import math
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from noisetune.errors import UserError
from noisetune.models.base import ModelConfig, Size, TokenBackbone

HEAD_DIM = 64
MLP_RATIO = 4
DEVIATION = 0.02


class ViTConfig(ModelConfig):
    """A transformer over the patches of an image; its width is 64 for each head of attention."""

    smallest = {"depth": 1}
    has_tokens = True
    heads: ClassVar[int]

    patch: int = Field(default=4, ge=1)
    """The sides of a patch in pixels; it must divide those of the images. 4 suits 32x32, 16 suits
    224x224: half of it makes four times as many tokens, at more than four times the cost."""
    depth: int = Field(default=12, ge=1, le=100)
    """Blocks of attention and MLP."""
    pool: Literal["token", "mean"] = "token"
    """What the features are: the class `token`, or the `mean` of the patches' tokens."""

    def build(self, channels: int, size: Size) -> TokenBackbone:
        if any(side % self.patch for side in size):
            common = math.gcd(*size)
            divisors = [each for each in range(1, common + 1) if common % each == 0]
            raise UserError(
                f"model.patch: {self.patch}: must divide the sides of the images, which have "
                f"{size[0]}x{size[1]} pixels; choose one of {', '.join(map(str, divisors))}"
            )
        return ViT(channels, size, self.patch, self.depth, self.heads, self.pool == "mean")


class ViT(TokenBackbone):
    """Pre-norm blocks over a class token and one token for each patch, with learned positions.

    Images of another size than `size` (H, W), views that are crops say, have their positions
    interpolated. Weights begin as in the code of DeiT (Touvron et al. 2021, arXiv 2012.12877).
    """

    undecayed = ("class_token", "positions")

    def __init__(
        self, channels: int, size: Size, patch: int, depth: int, heads: int, mean: bool
    ) -> None:
        super().__init__()
        self.feature_dim = width = heads * HEAD_DIM
        self.grid, self.mean = (size[0] // patch, size[1] // patch), mean
        self.channels, self.patch = channels, patch
        self.parts, self.others = self.grid[0] * self.grid[1], 1
        self.class_token = nn.Parameter(torch.empty(1, 1, width))
        self.positions = nn.Parameter(torch.empty(1, 1 + self.parts, width))
        self.patches = nn.Conv2d(channels, width, patch, stride=patch)
        self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(depth)))
        self.norm = _norm(width)
        nn.init.trunc_normal_(self.class_token, std=DEVIATION)
        nn.init.trunc_normal_(self.positions, std=DEVIATION)
        self.blocks.apply(initialise)

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.encoded(images)
        return tokens[:, 1:].mean(1) if self.mean else tokens[:, 0]

    def by_depth(self) -> list[list[nn.Parameter]]:
        """What makes tokens of an image, then each block; the last normalisation is of the last."""
        layers = [list(each.parameters()) for each in self.blocks]
        layers[-1] += self.norm.parameters()
        return [[self.class_token, self.positions, *self.patches.parameters()], *layers]

    def encoded(self, images: Tensor, seen: Tensor | None = None) -> Tensor:
        patches = self.patches(images)
        places = self._positions((patches.shape[2], patches.shape[3]))
        first, placed = self.class_token + places[:, :1], _in_a_row(patches) + places[:, 1:]
        if seen is not None:
            placed = placed.gather(1, seen[:, :, None].expand(-1, -1, self.feature_dim))
        whole = torch.cat([first.expand(len(images), -1, -1), placed], dim=1)
        return self.norm(self.blocks(whole))

    def _positions(self, grid: Size) -> Tensor:
        """Positions (1, 1 + T, width) of a grid of patches."""
        if grid == self.grid:
            return self.positions
        known = self.positions[:, 1:].mT.unflatten(2, self.grid)
        between = F.interpolate(known, grid, mode="bicubic", align_corners=False)
        return torch.cat([self.positions[:, :1], _in_a_row(between)], dim=1)


class Block(nn.Module):
    """Tokens (B, T, width) -> the same: attention, then an MLP, each added to what it reads."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.attention = _norm(width), _Attention(width, heads)
        self.norm2 = _norm(width)
        inner = MLP_RATIO * width
        self.mlp = nn.Sequential(nn.Linear(width, inner), nn.GELU(), nn.Linear(inner, width))

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = tokens + self.attention(self.norm1(tokens))
        return tokens + self.mlp(self.norm2(tokens))


class _Attention(nn.Module):
    """Each token (B, T, width) attends to all, in `heads` subspaces."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        split = self.qkv(tokens).unflatten(2, (3, self.heads, -1))
        queries, keys, values = split.permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(queries, keys, values)
        return self.out(mixed.transpose(1, 2).flatten(2))


def _in_a_row(planes: Tensor) -> Tensor:
    """(B, width, h, w) -> (B, h * w, width), row by row."""
    return planes.flatten(2).mT


def _norm(width: int) -> nn.LayerNorm:
    return nn.LayerNorm(width, eps=1e-6)


def initialise(module: nn.Module) -> None:
    """The linear layers of a transformer, as DeiT begins them."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=DEVIATION)
        nn.init.zeros_(module.bias)
