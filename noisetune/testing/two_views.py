"""What every method promises that is a loss of the projections of two views."""

from typing import Any

import torch
from torch import Tensor

from noisetune.seeds import generator
from noisetune.ssl.base import ProjectionConfig, TwoViewConfig
from noisetune.testing.promises import promise, small

NARROW = {"hidden": 16, "projection": 6}


@promise(ProjectionConfig)
def the_head_gives_as_many_values_as_it_says(
    config: type[ProjectionConfig], **settings: Any
) -> None:
    method = small(config, **(NARROW | settings))
    head = method.build_head(feature_dim=10)
    made = head(torch.rand(4, 10))
    assert made.shape == (4, method.projection), f"build_head: made {tuple(made.shape)}"
    widest = max(weight.shape[0] for weight in head.parameters())
    assert widest == max(method.hidden, method.projection), f"build_head: it is {widest} wide"


@promise(TwoViewConfig)
def the_loss_pulls_at_both_views(config: type[TwoViewConfig], **settings: Any) -> None:
    method, views = _method(config, settings)
    first, second = (view.clone().requires_grad_() for view in views)
    loss = method.loss(first, second)
    assert loss.shape == (), f"loss: shape {tuple(loss.shape)}, it must be a scalar"
    assert loss.isfinite(), f"loss: {loss.item()}, it must be finite"
    loss.backward()
    for name, view in (("first", first), ("second", second)):
        assert view.grad is not None, f"loss: no gradient for the {name} view"
        assert view.grad.isfinite().all(), f"loss: the {name} view's gradient must be finite"
        assert view.grad.any(), f"loss: it does not pull at the {name} view"


@promise(TwoViewConfig)
def the_loss_is_lower_where_the_views_agree(config: type[TwoViewConfig], **settings: Any) -> None:
    method, (first, second) = _method(config, settings)
    agreed, apart = method.loss(first, first), method.loss(first, second)
    assert agreed < apart, f"loss: {agreed} of equal views, {apart} of unrelated ones"


@promise(TwoViewConfig)
def the_order_of_the_images_does_not_matter(config: type[TwoViewConfig], **settings: Any) -> None:
    method, (first, second) = _method(config, settings)
    turned = method.loss(first.roll(3, 0), second.roll(3, 0))
    torch.testing.assert_close(turned, method.loss(first, second))


@promise(TwoViewConfig)
def the_loss_can_be_optimised(config: type[TwoViewConfig], **settings: Any) -> None:
    method, given = _method(config, settings)
    views = given.clone().requires_grad_()
    optimizer = torch.optim.Adam([views], lr=0.05)
    losses = []
    for _ in range(20):
        first, second = views
        losses.append(method.loss(first, second))
        optimizer.zero_grad()
        losses[-1].backward()
        optimizer.step()
    assert losses[-1] < losses[0], f"loss: {losses[0]} before, {losses[-1]} after 20 steps"


def _method(config: type[TwoViewConfig], settings: Any) -> tuple[TwoViewConfig, Tensor]:
    """A narrow one, and the projections (2, B, D) of two unrelated views."""
    method = small(config, **(NARROW | settings))
    return method, torch.randn(2, 12, method.projection, generator=generator("projections"))
