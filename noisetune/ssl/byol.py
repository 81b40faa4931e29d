"""BYOL: predict, from one view, what a slowly following teacher makes of the other."""

from collections.abc import Sequence
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from noisetune.models.base import Backbone
from noisetune.ssl._teacher import Predicting, PredictingConfig
from noisetune.ssl.base import Learner, two_layers


class Config(PredictingConfig):
    """Grill et al. 2020, arXiv 2006.07733; projector and predictor have one hidden layer each."""

    method: Literal["byol"] = "byol"

    def build_head(self, feature_dim: int) -> nn.Module:
        """Projector (section 3.3): (B, feature_dim) -> (B, projection)."""
        return two_layers(feature_dim, self.hidden, self.projection)

    def learner(self, encoder: Backbone) -> Learner:
        return BYOL(encoder, self)


class BYOL(Predicting):
    """A student that predicts a teacher's projections."""

    def loss(self, outputs: Sequence[Tensor]) -> Tensor:
        first, second, first_target, second_target = (each.float() for each in outputs)
        return regression(first, second_target) + regression(second, first_target)


def regression(predictions: Tensor, targets: Tensor) -> Tensor:
    """The mean squared distance of unit vectors (Grill et al. 2020, arXiv 2006.07733, eq. 2).

    Predictions and targets (B, D) -> mean_i 2 - 2 cos(prediction_i, target_i), in 0..4.
    """
    return 2 - 2 * F.cosine_similarity(predictions, targets, dim=1).mean()
