import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from noisetune.training import representation as telemetry
from noisetune.training.representation import (
    TelemetryConfig,
    alignment,
    class_separation,
    feature_deviation,
    knn_accuracy,
    linear_probe,
    rankme,
    uniformity,
)

seeds = st.integers(0, 2**31)
CLASSES = 3


def gaussian(rows: int, dimensions: int, seed: int = 0) -> Tensor:
    return torch.randn(rows, dimensions, generator=torch.Generator().manual_seed(seed))


def orthonormal(rows: int, columns: int, seed: int) -> Tensor:
    """Columns of length 1 at right angles."""
    return torch.linalg.qr(gaussian(rows, columns, seed).double())[0]


def clusters(rows: int, seed: int) -> tuple[Tensor, Tensor]:
    """Points close to one axis for each class, and their classes."""
    labels = torch.arange(rows) % CLASSES
    return 5 * torch.eye(CLASSES, 8)[labels] + 0.1 * gaussian(rows, 8, seed), labels


@given(seed=seeds, scale=st.floats(1e-3, 1e3))
def test_one_and_the_same_vector_has_no_deviation(seed: int, scale: float) -> None:
    features = scale * gaussian(1, 16, seed).expand(50, 16)
    assert feature_deviation(features) == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("dimensions", [8, 64, 512])
def test_the_uniform_sphere_has_a_deviation_of_one(dimensions: int) -> None:
    assert feature_deviation(gaussian(4000, dimensions)) == pytest.approx(1, abs=0.02)


@given(seed=seeds)
def test_the_deviation_is_of_directions_alone(seed: int) -> None:
    features = gaussian(40, 6, seed)
    lengths = torch.rand(40, 1, generator=torch.Generator().manual_seed(seed)) + 0.1
    expected = pytest.approx(feature_deviation(features), rel=1e-4)
    assert feature_deviation(features * lengths) == expected
    assert 0 <= feature_deviation(features) <= 1


def test_a_dead_network_has_collapsed_by_both_measures() -> None:
    dead = torch.zeros(20, 8, dtype=torch.half)
    assert feature_deviation(dead) == 0
    assert rankme(dead) == pytest.approx(1, abs=1e-3)


@given(rank=st.integers(1, 12), seed=seeds, scale=st.floats(1e-2, 1e3))
def test_rankme_is_the_rank_where_all_directions_are_as_strong(
    rank: int, seed: int, scale: float
) -> None:
    features = scale * orthonormal(40, rank, seed) @ orthonormal(12, rank, seed + 1).T
    assert rankme(features) == pytest.approx(rank, rel=1e-3)


@given(seed=seeds, rows=st.integers(2, 30), dimensions=st.integers(2, 12))
def test_rankme_lies_between_one_and_the_smaller_side(
    seed: int, rows: int, dimensions: int
) -> None:
    features = gaussian(rows, dimensions, seed)
    assert 1 <= rankme(features) <= min(rows, dimensions) + 1e-3


@given(seed=seeds)
def test_rankme_knows_no_order_rotation_or_scale(seed: int) -> None:
    features = gaussian(30, 8, seed).double()
    expected = pytest.approx(rankme(features), rel=1e-5)
    order = torch.randperm(30, generator=torch.Generator().manual_seed(seed))
    assert rankme(features[order]) == expected
    assert rankme(features @ orthonormal(8, 8, seed)) == expected
    assert rankme(17 * features) == expected


def test_weak_directions_count_for_less() -> None:
    strong = orthonormal(30, 4, 0) @ orthonormal(8, 4, 1).T
    uneven = orthonormal(30, 4, 0) @ torch.diag(torch.tensor([1.0, 0.5, 0.2, 0.1]).double())
    assert 1 < rankme(uneven) < rankme(strong)


@given(seed=seeds, k=st.integers(1, 30))
def test_clusters_that_lie_apart_are_told_apart(seed: int, k: int) -> None:
    known, asked = clusters(30, seed), clusters(12, seed + 1)
    assert knn_accuracy(*known, *asked, CLASSES, k) == 1.0


@given(seed=seeds, k=st.integers(1, 40))
def test_knn_knows_no_order_length_rotation_or_name_of_classes(seed: int, k: int) -> None:
    reference, queries = gaussian(30, 8, seed), gaussian(20, 8, seed + 1)
    random = torch.Generator().manual_seed(seed)
    labels = torch.randint(CLASSES, (30,), generator=random)
    wanted = torch.randint(CLASSES, (20,), generator=random)
    expected = knn_accuracy(reference, labels, queries, wanted, CLASSES, k)
    order, renamed = torch.randperm(30, generator=random), torch.randperm(CLASSES, generator=random)
    turn = orthonormal(8, 8, seed).float()
    again = (
        3 * reference[order] @ turn,
        renamed[labels[order]],
        0.1 * queries @ turn,
        renamed[wanted],
    )
    # A rotation moves last bits, which may turn a vote that is nearly a tie.
    assert knn_accuracy(*again, CLASSES, k) == pytest.approx(expected, abs=1 / 20 + 1e-9)


@given(seed=seeds)
def test_with_one_neighbour_a_sample_names_itself(seed: int) -> None:
    features = gaussian(25, 8, seed)
    labels = torch.randint(CLASSES, (25,), generator=torch.Generator().manual_seed(seed))
    assert knn_accuracy(features, labels, features, labels, CLASSES, k=1) == 1.0


def test_a_near_neighbour_outvotes_many_far_ones() -> None:
    near, far = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]]).expand(5, 2)
    labels = torch.tensor([2, 0, 0, 0, 0, 0])
    accuracy = knn_accuracy(torch.cat([near, far]), labels, near, torch.tensor([2]), CLASSES)
    assert accuracy == 1.0


@given(seed=seeds, at_once=st.integers(1, 19))
def test_queries_in_parts_are_answered_alike(seed: int, at_once: int) -> None:
    reference, labels = clusters(30, seed)
    queries, wanted = gaussian(20, 8, seed), torch.arange(20) % CLASSES
    whole = knn_accuracy(reference, labels, queries, wanted, CLASSES)
    assume(0 < whole < 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(telemetry, "QUERIES_AT_ONCE", at_once)
        parts = knn_accuracy(reference, labels, queries, wanted, CLASSES)
    assert parts == pytest.approx(whole)


def test_alignment_by_hand() -> None:
    """Opposite, at right angles, and the same: squared distances 4, 2 and 0."""
    first = torch.tensor([[1.0, 0.0], [3.0, 0.0], [0.0, 2.0]])
    second = torch.tensor([[-1.0, 0.0], [0.0, 1.0], [0.0, 5.0]])
    assert alignment(first, second) == pytest.approx((4 + 2 + 0) / 3)
    assert alignment(first, second, alpha=1) == pytest.approx((2 + 2**0.5 + 0) / 3)


def test_uniformity_by_hand() -> None:
    """Three vectors: two opposite, one at right angles to both; squared distances 4, 2 and 2."""
    features = torch.tensor([[1.0, 0.0], [-2.0, 0.0], [0.0, 3.0]])
    expected = math.log((math.exp(-8) + 2 * math.exp(-4)) / 3)
    assert uniformity(features) == pytest.approx(expected)
    assert uniformity(features, t=1) == pytest.approx(
        math.log((math.exp(-4) + 2 * math.exp(-2)) / 3)
    )


def test_separation_by_hand() -> None:
    """Two classes of one direction each are separate; so far as each spreads, they are not."""
    axes = torch.tensor([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0], [0.0, 3.0]])
    assert class_separation(axes, torch.tensor([4, 4, 7, 7])) == pytest.approx(1)
    assert class_separation(axes, torch.tensor([4, 7, 4, 7])) == pytest.approx(0)
    # Within class 4 a distance is 1 half of the time, within class 7 it is 0; over all, with each
    # class of weight one half, the mean vector is (1/4, 3/4).
    labels = torch.tensor([4, 7, 4, 7])
    spread = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0], [0.0, 1.0]])
    within, overall = (0.5 + 0) / 2, 1 - (1 / 16 + 9 / 16)
    assert class_separation(spread, labels) == pytest.approx(1 - within / overall)


def test_one_direction_for_all_is_perfectly_aligned_and_not_uniform_at_all() -> None:
    features = torch.full((10, 4), 0.3)
    assert alignment(features, 2 * features) == pytest.approx(0)
    assert uniformity(features) == pytest.approx(0)
    assert class_separation(features, torch.arange(10) % 2) is None


@given(rows=st.integers(2, 30), seed=seeds)
def test_geometry_is_of_angles_alone_and_in_its_range(rows: int, seed: int) -> None:
    first, second = gaussian(rows, 6, seed), gaussian(rows, 6, seed + 1)
    labels = torch.arange(rows) % CLASSES
    values = alignment(first, second), uniformity(first), class_separation(first, labels)
    turn = orthonormal(6, 6, seed)
    lengths = torch.rand(rows, 1, generator=torch.Generator().manual_seed(seed)) + 0.1
    turned, other = first * lengths @ turn.float(), second @ turn.float()
    again = alignment(turned, other), uniformity(turned), class_separation(turned, labels)
    assert again == pytest.approx(values, abs=1e-4)
    rounding = 1e-9
    assert 0 <= values[0] <= 4 + rounding
    assert -8 - rounding <= values[1] <= rounding
    assert -rounding <= (values[2] or 0.0) <= 1 + rounding


@given(rows=st.integers(3, 20), seed=seeds)
def test_separation_is_that_of_all_pairs(rows: int, seed: int) -> None:
    """The definition, pair by pair (Kornblith et al. 2021)."""
    unit, labels = (
        F.normalize(gaussian(rows, 5, seed).double(), dim=1),
        torch.arange(rows) % CLASSES,
    )
    distance = 1 - unit @ unit.T
    pair = torch.tensor(
        [
            [distance[labels == a][:, labels == b].mean() for b in range(CLASSES)]
            for a in range(CLASSES)
        ]
    )
    expected = 1 - float(pair.diagonal().mean() / pair.mean())
    assert class_separation(unit, labels) == pytest.approx(expected)


def test_separation_counts_every_class_alike() -> None:
    features, labels = clusters(90, seed=3)
    often = torch.cat([features, features[labels == 0].repeat(5, 1)])
    more = torch.cat([labels, torch.zeros(len(often) - len(labels), dtype=torch.long)])
    assert class_separation(often, more) == pytest.approx(class_separation(features, labels))


def test_a_linear_probe_finds_what_a_line_can_separate() -> None:
    features, labels = clusters(60, seed=0)
    queries, expected = clusters(30, seed=1)
    assert linear_probe(features, labels, queries, expected) == 1
    assert linear_probe(features, labels, queries, (expected + 1) % CLASSES) == 0


@given(seed=seeds, scale=st.floats(0.1, 10), shift=st.floats(-10, 10))
@settings(max_examples=20)
def test_a_linear_probe_knows_no_unit_and_no_origin(seed: int, scale: float, shift: float) -> None:
    features, labels = clusters(60, seed)
    queries, expected = clusters(30, seed + 1)
    assert linear_probe(scale * features + shift, labels, scale * queries + shift, expected) == 1


def test_a_linear_probe_of_one_class_is_undefined() -> None:
    features, labels = clusters(12, seed=0)
    assert linear_probe(features, torch.zeros_like(labels), features, labels) is None


def test_epochs_to_look_at_come_once_and_in_order() -> None:
    assert TelemetryConfig(epochs=(25, 5, 25)).epochs == (5, 25)
