"""What features tell of an encoder: whether it collapsed, its effective rank, kNN accuracy."""

import torch
import torch.nn.functional as F
from torch import Tensor

KNN_TEMPERATURE = 0.1
QUERIES_AT_ONCE = 2048


def feature_deviation(features: Tensor) -> float:
    """Spread of L2-normalised features (N, D): 0 for one and the same vector, 1 on the sphere.

    sqrt(D) times the mean over dimensions of the deviation over samples (Chen & He 2021,
    arXiv 2011.10566, section 4.1).
    """
    unit = F.normalize(features.float(), dim=1)
    return float(unit.std(0, correction=0).mean() * features.shape[1] ** 0.5)


def rankme(features: Tensor, epsilon: float = 1e-7) -> float:
    """Effective rank of features (N, D), 1..min(N, D) (Garrido et al. 2023, arXiv 2210.02885).

    exp of the entropy of the normalised singular values; compare it within one method only.
    """
    wide = features.double()
    values = torch.linalg.eigvalsh(wide.T @ wide).clamp_min(0).sqrt()
    shares = values / values.sum().clamp_min(epsilon) + epsilon
    return float(torch.exp(-(shares * shares.log()).sum()))


def knn_accuracy(
    reference: Tensor, labels: Tensor, queries: Tensor, expected: Tensor, classes: int, k: int = 200
) -> float:
    """Share of `queries` (M, D) whose label the `k` nearest of `reference` (N, D) vote for.

    Votes are weighted by exp(cosine similarity / 0.1) (Wu et al. 2018, arXiv 1805.01978). Labels
    may be noisy; k is at most N.
    """
    known = F.normalize(reference.float(), dim=1)
    right = 0
    for batch, wanted in zip(
        F.normalize(queries.float(), dim=1).split(QUERIES_AT_ONCE),
        expected.split(QUERIES_AT_ONCE),
        strict=True,
    ):
        similarity, nearest = (batch @ known.T).topk(min(k, len(known)), dim=1)
        weights = torch.exp((similarity - 1) / KNN_TEMPERATURE)
        votes = torch.zeros(len(batch), classes, device=batch.device)
        votes.scatter_add_(1, labels[nearest], weights)
        right += int((votes.argmax(1) == wanted).sum())
    return right / len(queries)
