"""Barlow Twins: make the cross-correlation of two views' projections the identity matrix."""

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from noisetune.ssl.base import TwoViewConfig


class Config(TwoViewConfig):
    """Zbontar et al. 2021, arXiv 2103.03230."""

    recipes = {"paper": {"redundancy": 5e-3, "unit_projections": True}}

    method: Literal["barlow_twins"] = "barlow_twins"
    redundancy: float = Field(default=5e-3, gt=0.0)
    """The paper's lambda: the weight of the off-diagonal terms."""
    unit_projections: bool = False
    """Bring each projection to length 1 first, as arXiv 2511.20844 does."""

    def loss(self, first: Tensor, second: Tensor) -> Tensor:
        if self.unit_projections:
            first, second = F.normalize(first, dim=1), F.normalize(second, dim=1)
        return barlow_twins(first, second, self.redundancy)


def barlow_twins(first: Tensor, second: Tensor, redundancy: float) -> Tensor:
    """Redundancy reduction (Zbontar et al. 2021, arXiv 2103.03230, eq. 1).

    `first` and `second` are projections (B, D) of two views. Each dimension is standardised over
    the batch (population variance, as batch normalisation does), then
    sum_i (1 - C_ii)^2 + redundancy * sum_{i != j} C_ij^2.
    """
    correlation = _standardise(first.float()).T @ _standardise(second.float()) / len(first)
    diagonal = torch.diagonal(correlation)
    invariance = (diagonal - 1).square().sum()
    return invariance + redundancy * (correlation.square().sum() - diagonal.square().sum())


def _standardise(projections: Tensor, epsilon: float = 1e-5) -> Tensor:
    centred = projections - projections.mean(0)
    return centred * torch.rsqrt(centred.square().mean(0) + epsilon)
