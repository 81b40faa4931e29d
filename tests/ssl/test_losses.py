"""The losses against lightly's, and by hand."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from lightly.loss import BarlowTwinsLoss, NTXentLoss
from torch import Tensor

from noisetune.ssl.barlow_twins import Config as BarlowTwins
from noisetune.ssl.barlow_twins import barlow_twins
from noisetune.ssl.simclr import nt_xent

# A dimension that is nearly constant over a small batch is all rounding in float32.
batches, widths = st.integers(8, 40), st.integers(2, 40)
seeds = st.integers(0, 2**32 - 1)
scales = st.floats(0.1, 100)
Loss = Callable[[Tensor, Tensor, float], Tensor]


def views(batch: int, width: int, seed: int, scale: float = 1.0) -> tuple[Tensor, Tensor]:
    """Two related views with an offset, as a head without normalisation would give them."""
    random = torch.Generator().manual_seed(seed)
    shared, own, other = torch.randn(3, batch, width, generator=random)
    return scale * (shared + own + 1), scale * (shared + other - 1)


def gradients(loss: Tensor, *inputs: Tensor) -> tuple[Tensor, ...]:
    return torch.autograd.grad(loss, inputs)


@given(batch=batches, width=widths, seed=seeds, scale=scales, temperature=st.floats(0.1, 2))
def test_nt_xent_equals_lightly(
    batch: int, width: int, seed: int, scale: float, temperature: float
) -> None:
    first, second = views(batch, width, seed, scale)
    ours, theirs = nt_xent(first, second, temperature), NTXentLoss(temperature)(first, second)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


@given(batch=batches, width=widths, seed=seeds, scale=scales, redundancy=st.floats(1e-4, 1))
def test_barlow_twins_equals_lightly(
    batch: int, width: int, seed: int, scale: float, redundancy: float
) -> None:
    first, second = views(batch, width, seed, scale)
    ours, theirs = (
        barlow_twins(first, second, redundancy),
        BarlowTwinsLoss(redundancy)(first, second),
    )
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_gradients_equal_lightlys(seed: int) -> None:
    both = [view.requires_grad_() for view in views(32, 16, seed)]
    for ours, theirs in (
        (nt_xent(*both, 0.2), NTXentLoss(0.2)(*both)),
        (barlow_twins(*both, 0.03), BarlowTwinsLoss(0.03)(*both)),
    ):
        torch.testing.assert_close(
            gradients(ours, *both), gradients(theirs, *both), rtol=1e-5, atol=1e-5
        )


@pytest.mark.parametrize("temperature", [0.5, 1.0])
def test_nt_xent_of_two_images_by_hand(temperature: float) -> None:
    """Each row has its positive at similarity 1 and two negatives at 0; lengths do not matter."""
    first = torch.tensor([[3.0, 0.0], [0.0, 0.5]])
    second = torch.tensor([[1.0, 0.0], [0.0, 9.0]])
    expected = math.log(1 + 2 * math.exp(-1 / temperature))
    assert nt_xent(first, second, temperature).item() == pytest.approx(expected)


def test_barlow_twins_of_uncorrelated_dimensions_by_hand() -> None:
    """The cross-correlation is the identity, and with its columns exchanged off the diagonal."""
    view = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    assert barlow_twins(view, 5 * view + 2, 0.1).item() == pytest.approx(0, abs=1e-8)
    assert barlow_twins(view, view.flip(1), 0.1).item() == pytest.approx(2 + 0.1 * 2, rel=1e-4)
    assert barlow_twins(view, -view, 0.1).item() == pytest.approx(2 * 2**2, rel=1e-4)


@pytest.mark.parametrize("loss", [nt_xent, barlow_twins])
def test_exchanging_the_views_changes_nothing(loss: Loss) -> None:
    first, second = views(8, 5, seed=0)
    torch.testing.assert_close(loss(first, second, 0.5), loss(second, first, 0.5))


@pytest.mark.parametrize("loss", [nt_xent, barlow_twins])
def test_half_precision_is_left_before_anything_is_summed(loss: Loss) -> None:
    first, second = (view.bfloat16() for view in views(8, 5, seed=0))
    expected = loss(first.float(), second.float(), 0.5)
    torch.testing.assert_close(loss(first, second, 0.5), expected)


@given(batch=batches, width=widths, seed=seeds)
def test_an_unbiased_deviation_gives_the_correlation_of_the_views(
    batch: int, width: int, seed: int
) -> None:
    first, second = views(batch, width, seed)
    correlation = np.corrcoef(first.T, second.T)[:width, width:]
    diagonal = np.diagonal(correlation)
    off = (correlation**2).sum() - (diagonal**2).sum()
    expected = ((diagonal - 1) ** 2).sum() + 0.1 * off
    ours = barlow_twins(first, second, 0.1, "unbiased")
    assert ours.item() == pytest.approx(expected, rel=1e-4, abs=1e-5)


def test_the_deviations_differ_where_a_dimension_hardly_varies() -> None:
    """Batch normalisation's 1e-5 takes it for smaller than it is; 1e-9 does not."""
    view = 1e-3 * torch.tensor([[1.0], [-1.0]])
    assert barlow_twins(view, view, 0.1, "unbiased").item() == pytest.approx(0, abs=1e-4)
    expected = (1e-6 / (1e-6 + 1e-5) - 1) ** 2
    assert barlow_twins(view, view, 0.1).item() == pytest.approx(expected, rel=1e-4)


def test_a_collapsed_projection_has_a_finite_loss_and_gradient() -> None:
    first, second = (torch.zeros(4, 3, requires_grad=True) for _ in range(2))
    for loss in (
        nt_xent(first, second, 0.5),
        barlow_twins(first, second, 0.1),
        barlow_twins(first, second, 0.1, "unbiased"),
    ):
        assert all(one.isfinite().all() for one in (loss, *gradients(loss, first, second)))


def test_barlow_twins_on_unit_projections_reads_no_length() -> None:
    (first, second), lengths = views(16, 6, seed=1), torch.linspace(0.5, 2, 16)[:, None]
    unit = BarlowTwins(unit_projections=True)
    torch.testing.assert_close(unit.loss(first, second), unit.loss(lengths * first, second))
    expected = barlow_twins(
        torch.nn.functional.normalize(first, dim=1),
        torch.nn.functional.normalize(second, dim=1),
        5e-3,
    )
    torch.testing.assert_close(unit.loss(first, second), expected)
