"""What the labels of the nearest images say (SimiFeat, Zhu et al. 2022, arXiv 2110.06283)."""

from collections.abc import Iterator
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from noisetune.detectors.base import Detector, Evidence, Judgement

AT_ONCE = 2**25
"""Similarities that are computed at a time: 128 MiB of them."""


class Config(Detector):
    """The given labels of the nearest features vote. A label is held for wrong where another class
    has more votes (SimiFeat-V), and labels are ranked by the share of votes that they do not have.
    """

    reads = ("features",)

    method: Literal["knn"] = "knn"
    k: int = Field(default=10, ge=1)
    """The nearest images that vote, the image itself not among them. A vote weighs as much as the
    features are alike: their cosine, where that is above 0."""

    @property
    def label(self) -> str:
        return f"{self.method}_{self.k}"

    def judge(self, evidence: Evidence) -> Judgement:
        assert evidence.features is not None
        count, classes = evidence.probabilities.shape
        votes = np.zeros((count, classes), dtype=np.float32)
        fold = np.zeros(count) if evidence.fold is None else evidence.fold
        for network in np.unique(fold):
            rows = np.flatnonzero(fold == network)
            features, given = evidence.features[rows], evidence.given[rows]
            votes[rows] = votes_of(features, given, classes, self.k)
        return judged(votes, evidence.given)


def judged(votes: NDArray[np.float32], given: NDArray[np.int64]) -> Judgement:
    """What votes (N, C) say of labels (N,); without any nothing is said against a label."""
    own, total = votes[np.arange(len(given)), given], votes.sum(axis=1)
    against = 1 - own / np.where(total > 0, total, 1)
    return Judgement(np.where(total > 0, against, 0.0), own < votes.max(axis=1))


def votes_of(
    features: NDArray[np.float32], given: NDArray[np.int64], classes: int, k: int
) -> NDArray[np.float32]:
    """Votes (N, C) of the `k` nearest of the other images, by features (N, D) and labels (N,)."""
    unit, labels = F.normalize(torch.from_numpy(features), dim=1), torch.from_numpy(given)
    count = min(k, len(unit) - 1)
    votes = torch.zeros(len(unit), classes)
    for rows, alike, nearest in nearest_others(unit, count):
        votes[rows] = votes[rows].scatter_add(1, labels[nearest], alike.clamp_min(0))
    return votes.numpy()


def nearest_others(unit: Tensor, count: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """For some `rows` (B,) of unit vectors (N, D) after the others: cosine and place (B, count) of
    the nearest of all, but themselves, the nearest first."""
    for rows in torch.arange(len(unit)).split(max(1, AT_ONCE // max(1, len(unit)))):
        alike = unit[rows] @ unit.T
        alike[torch.arange(len(rows)), rows] = -torch.inf
        yield rows, *alike.topk(count, dim=1)
