"""MoCo v3's loss, row by row, and its heads."""

import math

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from noisetune.models.resnet18 import Config as ResNet18
from noisetune.seeds import seeded_initialisation
from noisetune.ssl.base import Batch
from noisetune.ssl.moco_v3 import Config, MoCo, contrast


def plain(queries: Tensor, keys: Tensor, temperature: float) -> Tensor:
    """2 t * mean_i -log(exp(cos(q_i, k_i) / t) / sum_j exp(cos(q_i, k_j) / t))."""
    losses = []
    for row, query in enumerate(queries):
        cosines = [query @ key / (query.norm() * key.norm()) for key in keys]
        exponentials = torch.stack([torch.exp(each / temperature) for each in cosines])
        losses.append(-torch.log(exponentials[row] / exponentials.sum()))
    return 2 * temperature * torch.stack(losses).mean()


@given(
    batch=st.integers(1, 8), width=st.integers(2, 10), temperature=st.floats(0.1, 2),
    seed=st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_value_and_gradient_are_those_of_a_plain_loop(
    batch: int, width: int, temperature: float, seed: int
) -> None:
    random = torch.Generator().manual_seed(seed)
    queries, keys = torch.randn(2, batch, width, generator=random, dtype=torch.double)
    queries.requires_grad_()
    losses = contrast(queries, keys, temperature), plain(queries, keys, temperature)
    torch.testing.assert_close(*losses)
    torch.testing.assert_close(*(torch.autograd.grad(loss, queries) for loss in losses))


def test_a_batch_that_says_nothing_costs_two_temperatures_times_its_logarithm() -> None:
    same = torch.ones(8, 3)
    torch.testing.assert_close(
        contrast(same, same, 0.2), torch.tensor(2 * 0.2 * math.log(8)), rtol=1e-5, atol=0
    )


def test_each_view_is_contrasted_with_the_teachers_of_the_other() -> None:
    with seeded_initialisation("moco"):
        made = MoCo(ResNet18(width=4).build(1, (8, 8)), Config(hidden=16, projection=6))
    views = torch.rand(2, 6, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    first, second, first_key, second_key = made(Batch(tuple(views)))
    expected = contrast(first, second_key, 0.2) + contrast(second, first_key, 0.2)
    torch.testing.assert_close(made.loss((first, second, first_key, second_key)), expected)
    assert first.requires_grad
    assert not first_key.requires_grad
    # The projector ends in a normalisation, over the keys of both views together.
    both = torch.cat([first_key, second_key])
    torch.testing.assert_close(both.mean(0), torch.zeros(6), atol=1e-5, rtol=0)
