"""What every two-view method promises, those to come included."""

import pytest
import torch
from torch import Tensor

from noisetune.config import PLUGINS
from noisetune.ssl.base import PretrainConfig, TwoViewConfig

METHODS = [
    name for name, config in PLUGINS["pretrain"].items() if issubclass(config, TwoViewConfig)
]


def method(name: str) -> TwoViewConfig:
    return PLUGINS["pretrain"][name](hidden=16, projection=6)


def projections(count: int = 2, batch: int = 12) -> Tensor:
    return torch.randn(count, batch, 6, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", PLUGINS["pretrain"])
def test_it_is_a_pretraining(name: str) -> None:
    assert issubclass(PLUGINS["pretrain"][name], PretrainConfig)


@pytest.mark.parametrize("name", METHODS)
def test_the_head_gives_as_many_values_as_it_says(name: str) -> None:
    head = method(name).build_head(feature_dim=10)
    assert head(torch.rand(4, 10)).shape == (4, 6)
    assert max(weight.shape[0] for weight in head.parameters()) == 16


@pytest.mark.parametrize("name", METHODS)
def test_the_loss_is_a_finite_number_that_pulls_at_both_views(name: str) -> None:
    first, second = (view.clone().requires_grad_() for view in projections())
    loss = method(name).loss(first, second)
    assert loss.shape == ()
    assert loss.isfinite()
    loss.backward()
    for view in (first, second):
        assert view.grad is not None
        assert view.grad.isfinite().all()
        assert view.grad.any()


@pytest.mark.parametrize("name", METHODS)
def test_the_loss_is_lower_where_the_views_agree(name: str) -> None:
    first, second = projections()
    assert method(name).loss(first, first) < method(name).loss(first, second)


@pytest.mark.parametrize("name", METHODS)
def test_the_order_of_the_images_does_not_matter(name: str) -> None:
    first, second = projections()
    turned = method(name).loss(first.roll(3, 0), second.roll(3, 0))
    torch.testing.assert_close(turned, method(name).loss(first, second))


@pytest.mark.parametrize("name", METHODS)
def test_it_can_be_optimised(name: str) -> None:
    views = projections().requires_grad_()
    optimizer = torch.optim.Adam([views], lr=0.05)
    losses = []
    for _ in range(20):
        losses.append(method(name).loss(*views))
        optimizer.zero_grad()
        losses[-1].backward()
        optimizer.step()
    assert losses[-1] < losses[0]
