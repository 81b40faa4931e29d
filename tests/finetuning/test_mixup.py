import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from by_hand import assert_is_the_papers, batches
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta, kstest
from torch import Tensor

from noisetune.finetuning.base import Batch, Task
from noisetune.finetuning.mixup import Config, drawn_share, mixed_cross_entropy

shares = st.floats(0, 1)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@given(batches(), shares, st.integers(0, 2**32 - 1))
def test_values_and_gradients_are_the_papers(
    batch: tuple[Tensor, Tensor], share: float, seed: int
) -> None:
    """Of images one at a time, since the equation of each has a partner's label."""
    logits, labels = batch
    others = labels[torch.randperm(len(labels), generator=generator(seed))]
    for own, label, other in zip(logits, labels, others, strict=True):

        def equation(p: list[float], first: int, second: int = int(other)) -> float:
            return -share * math.log(p[first]) - (1 - share) * math.log(p[second])

        def loss(scores: Tensor, first: Tensor, second: Tensor = other[None]) -> Tensor:
            return mixed_cross_entropy(scores, first, second, share)

        assert_is_the_papers(loss, equation, own[None], label[None])


@given(batches())
def test_with_one_image_alone_it_is_cross_entropy(batch: tuple[Tensor, Tensor]) -> None:
    mixed = mixed_cross_entropy(*batch, batch[1].flip(0), 1.0)
    torch.testing.assert_close(mixed, F.cross_entropy(*batch))


@given(st.floats(1e-4, 1e4), st.integers(0, 2**32 - 1))
def test_a_share_is_one(concentration: float, seed: int) -> None:
    assert 0 <= drawn_share(concentration, generator(seed)) <= 1


@pytest.mark.parametrize("concentration", [0.2, 1.0, 8.0])
def test_shares_are_of_the_beta_distribution(concentration: float) -> None:
    random = generator()
    drawn = [drawn_share(concentration, random) for _ in range(500)]
    assert kstest(drawn, beta(concentration, concentration).cdf).pvalue > 0.01


def step(method: Config, images: Tensor, labels: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """The loss of a batch under a linear network, and the images that this saw."""
    seen = []

    def network(given: Tensor) -> Tensor:
        seen.append(given)
        return given.flatten(1)[:, :3]

    criterion = method.criterion(Task(labels, 3))
    batch = Batch(images, labels, torch.arange(len(labels)), generator(seed))
    return criterion.step([network], batch), seen[0]


@given(st.integers(0, 2**32 - 1))
def test_each_image_lies_between_itself_and_another_and_so_does_its_label(seed: int) -> None:
    """A batch whose pixels are its numbers tells who was mixed with whom, and how much."""
    images = torch.eye(6).reshape(6, 1, 2, 3)
    labels = torch.tensor([0, 1, 2, 0, 1, 2])
    loss, seen = step(Config(), images, labels, seed)
    weights = seen.flatten(1)
    torch.testing.assert_close(weights.sum(0), torch.ones(6))
    torch.testing.assert_close(weights.sum(1), torch.ones(6))
    targets = weights @ F.one_hot(labels, 3).float()
    expected = -(targets * weights[:, :3].log_softmax(1)).sum(1).mean()
    torch.testing.assert_close(loss, expected)


def test_it_draws_from_the_batch_alone() -> None:
    images, labels = torch.randn(5, 1, 2, 2), torch.tensor([0, 1, 2, 0, 1])
    torch.manual_seed(0)
    first = step(Config(), images, labels, 7)
    again = step(Config(), images, labels, 7)
    other = step(Config(), images, labels, 8)
    assert first[1].equal(again[1])
    assert not first[1].equal(other[1])


def test_a_small_concentration_leaves_images_alone_or_swaps_them() -> None:
    images: Any = torch.eye(4).reshape(4, 1, 2, 2)
    _, seen = step(Config(concentration=1e-4), images, torch.tensor([0, 1, 2, 0]), 1)
    assert seen.flatten(1).max(1).values.min() > 0.99
