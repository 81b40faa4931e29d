"""Votes of the nearest images, against loops over pairs."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from noisetune.detectors import _neighbours
from noisetune.detectors._neighbours import Neighbours
from noisetune.detectors.base import Evidence
from noisetune.detectors.knn import Config

CLASSES = 3


def cosine(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    return float(a @ b) / math.sqrt(float(a @ a) * float(b @ b))


def votes_in_loops(
    features: NDArray[np.float32], labels: list[int], fold: list[int], image: int, k: int
) -> list[float]:
    others = [
        (cosine(features[image], features[other]), labels[other])
        for other in range(len(labels))
        if other != image and fold[other] == fold[image]
    ]
    votes = [0.0] * CLASSES
    for alike, label in sorted(others, reverse=True)[:k]:
        votes[label] += max(alike, 0.0)
    return votes


@given(st.integers(0, 2**31), st.integers(1, 14), st.integers(1, 6), st.booleans())
def test_the_nearest_of_the_same_network_vote_by_their_cosine(
    seed: int, count: int, k: int, folded: bool
) -> None:
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(count, 5)).astype(np.float32)
    labels = rng.integers(0, CLASSES, count)
    fold = rng.integers(0, 2, count) if folded else np.zeros(count, dtype=np.int64)
    evidence = Evidence(labels, np.full((count, CLASSES), 1 / CLASSES), features)
    evidence = Evidence(**vars(evidence) | {"fold": fold if folded else None})
    judgement = Config(k=k).judge(evidence)
    assert judgement.mask is not None
    for image, label in enumerate(labels):
        votes = votes_in_loops(features, labels.tolist(), fold.tolist(), image, k)
        share = votes[label] / sum(votes) if sum(votes) else 1.0
        assert judgement.suspicion[image] == pytest.approx(1 - share, abs=1e-4)
        if abs(votes[label] - max(votes)) > 1e-4 or votes[label] == max(votes):
            assert judgement.mask[image] == (votes[label] < max(votes))


def test_an_image_does_not_vote_for_its_own_label() -> None:
    """It would be the nearest; a copy of it in the data set is another image."""
    features = np.array([[1, 0], [1, 0.1], [1, -0.1]], dtype=np.float32)
    labels = np.array([0, 1, 1])
    judgement = Config(k=3).judge(Evidence(labels, np.full((3, 2), 0.5), features))
    assert judgement.suspicion[0] == 1
    assert judgement.mask is not None
    assert judgement.mask[0]
    copies = Evidence([0, 0, 1], np.full((3, 2), 0.5), features[[0, 0, 1]])
    assert Config(k=1).judge(copies).suspicion[:2].tolist() == [0, 0]


def test_an_image_by_itself_has_nothing_said_against_it() -> None:
    alone = Evidence([1], np.full((1, 2), 0.5), np.ones((1, 4), dtype=np.float32))
    judgement = Config().judge(alone)
    assert judgement.suspicion.tolist() == [0]
    assert judgement.mask is not None
    assert not judgement.mask.any()


@given(st.integers(0, 2**31), st.integers(1, 60))
def test_the_size_of_its_parts_changes_nothing(seed: int, at_once: int) -> None:
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(20, 6)).astype(np.float32)
    labels = rng.integers(0, CLASSES, 20)
    whole = Neighbours(features).votes(labels, CLASSES, 4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_neighbours, "AT_ONCE", at_once)
        parts = Neighbours(features).votes(labels, CLASSES, 4)
    np.testing.assert_allclose(parts, whole, atol=1e-5)


def test_other_labels_have_the_same_neighbours_and_other_features_do_not() -> None:
    features = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
    first = Evidence([0, 1, 2, 0, 1, 2], np.full((6, CLASSES), 1 / CLASSES), features)
    assert first.neighbours is not None
    found = first.neighbours.nearest(2)
    relabelled = replace(first, given=np.zeros(6, dtype=np.int64))
    assert relabelled.neighbours is not None
    assert relabelled.neighbours.nearest(2) is found
    for other in ({"features": features[::-1].copy()}, {"fold": np.array([0, 0, 0, 1, 1, 1])}):
        changed = replace(first, **other)
        assert changed.neighbours is not None
        assert not changed.neighbours.nearest(2)[1].equal(found[1])


def test_different_k_look_at_one_trial_under_names_of_their_own() -> None:
    assert Config(k=5).label != Config(k=20).label
    assert Config(k=5).identity() != Config(k=20).identity()
