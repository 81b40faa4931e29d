"""What features tell of an encoder: collapse, effective rank, geometry, kNN and probe accuracy."""

import math
import warnings
from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field, field_validator
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from noisetune.section import Section

KNN_TEMPERATURE = 0.1
QUERIES_AT_ONCE = 2048


class TelemetryConfig(Section):
    """When the encoder is looked at while it is pre-trained, and how closely.

    It changes no other result. The last look is in the trial's result as `..._at_pretrained`.
    """

    epochs: tuple[Annotated[int, Field(ge=1)], ...] = ()
    """Pre-training epochs to look at, as far as the trial goes; its last one always is. Under a
    `cosine` schedule only that."""
    samples: int = Field(default=2000, ge=2)
    """Images whose two views give `pretrain/alignment` and `pretrain/uniformity`."""
    k: int = Field(default=200, ge=1)
    """Neighbours of `pretrain/knn` (noisy labels, on the validation part, or on every fifth image
    where none is held out) and `test/knn` (clean labels, on the test set)."""
    probe_iterations: int = Field(default=100, ge=1)
    """Most steps of L-BFGS that fit the linear probes, `pretrain/probe` and `test/probe`, as for
    kNN."""

    @field_validator("epochs")
    @classmethod
    def _in_order(cls, epochs: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(sorted(set(epochs)))


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


def alignment(first: Tensor, second: Tensor, alpha: float = 2.0) -> float:
    """Mean distance, to the power alpha, of the unit features (N, D) of two views: 0..2^alpha.

    0 where both views have one direction (Wang & Isola 2020, arXiv 2005.10242, section 4.1).
    """
    gaps = F.normalize(first.double(), dim=1) - F.normalize(second.double(), dim=1)
    return float(gaps.norm(dim=1).pow(alpha).mean())


def uniformity(features: Tensor, t: float = 2.0) -> float:
    """Log of the mean Gaussian potential exp(-t d^2) over pairs of unit features (N, D): -4t..0.

    0 where all have one direction, the lower the more even (Wang & Isola 2020, section 4.1). N is
    at least 2.
    """
    squares = torch.pdist(F.normalize(features.double(), dim=1)).square()
    return float(torch.logsumexp(-t * squares, dim=0)) - math.log(len(squares))


def class_separation(features: Tensor, labels: Tensor) -> float | None:
    """R^2 of the classes (N,): 1 - mean cosine distance within a class / over all, 0..1.

    Every class counts alike, each pair of samples, also with itself, is a distance (Kornblith et
    al. 2021, arXiv 2010.16402). 1 where each class is one direction, 0 where the
    classes do not differ; None where all features have one direction.
    """
    unit = F.normalize(features.double(), dim=1)
    means = torch.stack([unit[labels == label].mean(0) for label in labels.unique()])
    # The cosine similarities of all pairs average to the squared length of the mean.
    within = 1 - means.square().sum(1).mean()
    overall = 1 - means.mean(0).square().sum()
    return None if overall < 1e-12 else float(1 - within / overall)


def linear_probe(
    features: Tensor, labels: Tensor, queries: Tensor, expected: Tensor, iterations: int = 100
) -> float | None:
    """Share of `queries` (M, D) that a linear classifier of `features` (N, D) gives their label.

    Logistic regression on standardised features, fitted by L-BFGS; the features are fixed, so the
    backbone is (Alain & Bengio 2016, arXiv 1610.01644). None with fewer than two classes in
    `labels` (N,).
    """
    if len(labels.unique()) < 2:
        return None
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=iterations))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        probe.fit(features.float().numpy(), labels.numpy())
    return float(probe.score(queries.float().numpy(), expected.numpy()))
