"""VICReg: bring two views together, while every dimension varies and none repeats another."""

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from noisetune.ssl.base import TwoViewConfig

EPSILON = 1e-4


class Config(TwoViewConfig):
    """Bardes et al. 2022, arXiv 2105.04906."""

    method: Literal["vicreg"] = "vicreg"
    invariance: float = Field(default=25.0, ge=0.0)
    """The paper's lambda: the weight of the distance of the views."""
    variance: float = Field(default=25.0, ge=0.0)
    """The paper's mu: the weight of the hinge that keeps the deviation of each dimension up."""
    covariance: float = Field(default=1.0, ge=0.0)
    """The paper's nu: the weight of the squared covariances of different dimensions."""

    def loss(self, first: Tensor, second: Tensor) -> Tensor:
        weights = self.invariance, self.variance, self.covariance
        return vicreg(first, second, *weights)


def vicreg(
    first: Tensor, second: Tensor, invariance: float, variance: float, covariance: float
) -> Tensor:
    """The weighted sum of the three terms (Bardes et al. 2022, arXiv 2105.04906, eq. 6).

    `first` and `second` are projections (B, D) of two views, B at least 2. As in the authors' code
    the variance term is the mean of both views, the covariance term their sum, and the invariance
    term a mean over dimensions, too.
    """
    first, second = first.float(), second.float()
    varied = (variance_hinge(first) + variance_hinge(second)) / 2
    repeated = covariance_square(first) + covariance_square(second)
    return invariance * F.mse_loss(first, second) + variance * varied + covariance * repeated


def variance_hinge(projections: Tensor) -> Tensor:
    """How far deviations are below 1 (eqs. 1 and 2): mean_j max(0, 1 - sqrt(Var(z_j) + 1e-4)).

    Projections (B, D) -> scalar; the variance is the unbiased one of the batch.
    """
    return F.relu(1 - torch.sqrt(projections.var(0) + EPSILON)).mean()


def covariance_square(projections: Tensor) -> Tensor:
    """What dimensions tell of each other (eqs. 3 and 4): sum_{i != j} Cov(z_i, z_j)^2 / D.

    Projections (B, D) -> scalar; the covariance is the unbiased one of the batch.
    """
    centred = projections - projections.mean(0)
    covariances = centred.T @ centred / (len(projections) - 1)
    off_diagonal = covariances.square().sum() - covariances.diagonal().square().sum()
    return off_diagonal / projections.shape[1]
