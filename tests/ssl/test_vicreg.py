"""VICReg's loss against lightly's, and by hand."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from lightly.loss import VICRegLoss
from torch import Tensor

from noisetune.ssl.vicreg import Config, covariance_square, variance_hinge, vicreg

batches, widths, seeds = st.integers(2, 40), st.integers(2, 40), st.integers(0, 2**32 - 1)
scales, weights = st.floats(0.01, 10), st.floats(0, 30)


def views(batch: int, width: int, seed: int, scale: float = 1.0) -> tuple[Tensor, Tensor]:
    """Two related views with an offset, as a head without normalisation would give them."""
    random = torch.Generator().manual_seed(seed)
    shared, own, other = torch.randn(3, batch, width, generator=random)
    return scale * (shared + own + 1), scale * (shared + other - 1)


@given(
    batch=batches, width=widths, seed=seeds, scale=scales,
    invariance=weights, variance=weights, covariance=weights,
)  # fmt: skip
def test_value_and_gradient_equal_lightlys(
    batch: int,
    width: int,
    seed: int,
    scale: float,
    invariance: float,
    variance: float,
    covariance: float,
) -> None:
    both = [view.requires_grad_() for view in views(batch, width, seed, scale)]
    ours = vicreg(*both, invariance, variance, covariance)
    theirs = VICRegLoss(invariance, variance, covariance)(*both)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
    gradients = (torch.autograd.grad(loss, both) for loss in (ours, theirs))
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-4)


def test_the_terms_by_hand() -> None:
    """Deviations of 1/2 and 2 (unbiased) and a covariance of 1: D = 2, both orders counted."""
    unit = torch.tensor([-1.0, 0.0, 1.0])
    projections = torch.stack([unit / 2, 2 * unit], dim=1)
    assert variance_hinge(projections).item() == pytest.approx(0.5 / 2, abs=1e-4)
    assert covariance_square(projections).item() == pytest.approx(2 * 1.0**2 / 2)
    moved = vicreg(projections, projections + 3, invariance=2, variance=0, covariance=0)
    assert moved.item() == pytest.approx(2 * 3**2)


def test_views_that_agree_vary_and_tell_different_things_cost_nothing() -> None:
    view = 2 * torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    assert Config().loss(view, view).item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("name", ["invariance", "variance", "covariance"])
def test_each_weight_is_that_of_its_term(name: str) -> None:
    none = {"invariance": 0.0, "variance": 0.0, "covariance": 0.0}
    both = views(8, 5, seed=0, scale=0.3)
    one, three = (Config(**none | {name: weight}).loss(*both) for weight in (1.0, 3.0))
    assert one > 0
    torch.testing.assert_close(three, 3 * one)


def test_exchanging_the_views_changes_nothing() -> None:
    first, second = views(8, 5, seed=0)
    torch.testing.assert_close(Config().loss(first, second), Config().loss(second, first))


def test_half_precision_is_left_before_anything_is_summed() -> None:
    first, second = (view.bfloat16() for view in views(8, 5, seed=0))
    expected = Config().loss(first.float(), second.float())
    torch.testing.assert_close(Config().loss(first, second), expected)


def test_a_collapsed_projection_has_a_finite_loss_and_gradient() -> None:
    first, second = (torch.zeros(4, 3, requires_grad=True) for _ in range(2))
    loss = Config().loss(first, second)
    assert loss.item() == pytest.approx(25 * 0.99)
    assert all(one.isfinite().all() for one in torch.autograd.grad(loss, (first, second)))
