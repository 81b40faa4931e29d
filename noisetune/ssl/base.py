"""How an encoder begins: by a loss over two views with a projection head, or with given weights."""

from typing import Literal, Self

from pydantic import Field, model_validator
from torch import Tensor, nn

from noisetune.models.base import ModelConfig
from noisetune.plugins import PluginConfig
from noisetune.store import StoreLike
from noisetune.training.augment import AugmentConfig
from noisetune.training.optimisation import Optimisation


class PretrainConfig(PluginConfig):
    """How the encoder is initialised, before fine-tuning."""

    method: str
    """How the encoder begins."""

    def check_model(self, model: ModelConfig) -> None:
        """Raises ValueError, naming the field, for a backbone that cannot begin in this way."""


class GivenEncoder(PretrainConfig):
    """Weights that exist already: there is nothing to compute before fine-tuning."""

    def encoder(self, model: ModelConfig, channels: int, store: StoreLike) -> dict[str, Tensor]:
        """The backbone's weights by its own names; what is left out begins at random.

        UserError for weights that are not there, or are not those of the backbone.
        """
        raise NotImplementedError


class Plateau(PluginConfig):
    """Ends a pre-training once kNN accuracy under the trial's own noisy labels stands still.

    It is looked at `every` so many epochs, and has `patience` looks to improve.
    """

    metric: Literal["knn"] = "knn"
    """kNN accuracy under the trial's own noisy labels."""
    patience: int = Field(default=3, ge=1)
    """So many looks in a row may bring no improvement."""
    every: int = Field(default=5, ge=1)
    """Epochs from one look to the next."""


class SSLConfig(PretrainConfig, Optimisation):
    """Settings of a two-view method.

    The head is Linear-BN-ReLU twice and a Linear, `hidden` wide, `projection` values out.
    `augment` replaces the views that the data set names.
    """

    epochs: int = Field(default=100, ge=1)
    """Passes over all training images, labels unread."""
    batch_size: int = Field(default=256, ge=4)
    """Images in a step, each in two views."""
    hidden: int = Field(default=512, ge=2)
    """Width of the projection head."""
    projection: int = Field(default=128, ge=2)
    """Values that the projection head puts out."""
    augment: AugmentConfig | None = None
    """How views are made; null for the data set's own way."""
    stop: Plateau | None = None
    """Pre-training ends once kNN accuracy stands still; null for after its epochs. Not with a
    `cosine` schedule."""

    @model_validator(mode="after")
    def _stops_anywhere(self) -> Self:
        if self.stop is not None and not self.horizon_free:
            raise ValueError(
                f"stop: a {self.schedule} schedule must run to its last epoch; "
                "set schedule: constant, or leave stop out"
            )
        return self

    def build_head(self, feature_dim: int) -> nn.Module:
        """Projection head: features (B, feature_dim) -> (B, projection)."""
        return nn.Sequential(
            *_hidden(feature_dim, self.hidden),
            *_hidden(self.hidden, self.hidden),
            nn.Linear(self.hidden, self.projection),
        )

    def loss(self, first: Tensor, second: Tensor) -> Tensor:
        """The method's scalar loss of the projections (B, D) of two views of the same images."""
        raise NotImplementedError


def _hidden(inputs: int, outputs: int) -> tuple[nn.Module, ...]:
    # The normalisation that follows would cancel a bias.
    return nn.Linear(inputs, outputs, bias=False), nn.BatchNorm1d(outputs), nn.ReLU(inplace=True)
