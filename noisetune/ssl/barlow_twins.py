"""Barlow Twins: make the cross-correlation of two views' projections the identity matrix."""

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from noisetune.ssl.base import TwoViewConfig

Deviation = Literal["population", "unbiased"]


class Config(TwoViewConfig):
    """Zbontar et al. 2021, arXiv 2103.03230."""

    recipes = {
        "paper": {"redundancy": 5e-3, "unit_projections": True, "deviation": "unbiased"},
    }

    method: Literal["barlow_twins"] = "barlow_twins"
    redundancy: float = Field(default=5e-3, gt=0.0)
    """The paper's lambda: the weight of the off-diagonal terms."""
    unit_projections: bool = False
    """Bring each projection to length 1 first, as arXiv 2511.20844 does."""

    deviation: Deviation = "population"
    """What each dimension of N projections is divided by: `population`, the root of its variance +
    1e-5, as batch normalisation does; `unbiased`, its deviation over N - 1 images, + 1e-9, as in
    arXiv 2511.20844. Correlations are over N or N - 1 alike."""

    def loss(self, first: Tensor, second: Tensor) -> Tensor:
        if self.unit_projections:
            first, second = F.normalize(first, dim=1), F.normalize(second, dim=1)
        return barlow_twins(first, second, self.redundancy, self.deviation)


def barlow_twins(
    first: Tensor, second: Tensor, redundancy: float, deviation: Deviation = "population"
) -> Tensor:
    """Redundancy reduction (Zbontar et al. 2021, arXiv 2103.03230, eq. 1).

    `first` and `second` are projections (B, D) of two views. Each dimension is standardised over
    the batch by its `deviation`, then
    sum_i (1 - C_ii)^2 + redundancy * sum_{i != j} C_ij^2.
    """
    standardise = {"population": _by_population, "unbiased": _by_sample}[deviation]
    images = len(first) - (deviation == "unbiased")
    correlation = standardise(first.float()).T @ standardise(second.float()) / images
    diagonal = torch.diagonal(correlation)
    invariance = (diagonal - 1).square().sum()
    return invariance + redundancy * (correlation.square().sum() - diagonal.square().sum())


def _by_population(projections: Tensor, epsilon: float = 1e-5) -> Tensor:
    centred = projections - projections.mean(0)
    return centred * torch.rsqrt(centred.square().mean(0) + epsilon)


def _by_sample(projections: Tensor, epsilon: float = 1e-9) -> Tensor:
    # The bound is for the gradient of a root at 0, where a dimension has collapsed.
    deviations = projections.var(0).clamp(min=1e-24).sqrt()
    return (projections - projections.mean(0)) / (deviations + epsilon)
