"""What the labels of the nearest images say (SimiFeat, Zhu et al. 2022, arXiv 2110.06283)."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from noisetune.detectors.base import Detector, Evidence, Judgement


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
        assert evidence.neighbours is not None
        classes = evidence.probabilities.shape[1]
        votes = evidence.neighbours.votes(evidence.given, classes, self.k)
        return judged(votes, evidence.given)


def judged(votes: NDArray[np.float32], given: NDArray[np.int64]) -> Judgement:
    """What votes (N, C) say of labels (N,); without any nothing is said against a label."""
    own, total = votes[np.arange(len(given)), given], votes.sum(axis=1)
    against = 1 - own / np.where(total > 0, total, 1)
    return Judgement(np.where(total > 0, against, 0.0), own < votes.max(axis=1))
