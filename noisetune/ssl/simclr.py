"""SimCLR: contrast two views of an image against all others of the batch."""

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from noisetune.ssl.base import TwoViewConfig


class Config(TwoViewConfig):
    """Chen et al. 2020, arXiv 2002.05709."""

    default_under = ("standard",)
    recipes = {"paper": {"temperature": 0.5}}

    method: Literal["simclr"] = "simclr"
    temperature: float = Field(default=0.5, gt=0.0)
    """Divides the cosine similarities."""

    def loss(self, first: Tensor, second: Tensor) -> Tensor:
        return nt_xent(first, second, self.temperature)


def nt_xent(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """Normalised temperature-scaled cross-entropy (Chen et al. 2020, arXiv 2002.05709, eq. 1).

    `first` and `second` are projections (B, D) of two views; row i of one is the positive of row
    i of the other, the remaining 2B - 2 rows are its negatives. Returns the mean over 2B rows.
    """
    batch = len(first)
    views = F.normalize(torch.cat([first, second]).float(), dim=1)
    similarity = views @ views.T / temperature
    similarity.fill_diagonal_(float("-inf"))
    rows = torch.arange(2 * batch, device=views.device)
    return F.cross_entropy(similarity, (rows + batch) % (2 * batch))
