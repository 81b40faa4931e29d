"""LARS against a plain loop, and against lightly's."""

from collections.abc import Iterable

import pytest
import torch
from lightly.utils import lars as lightlys
from torch import Tensor, nn

from noisetune.training.lars import LARS

SHAPES = [(4, 3), (5, 2, 3, 3), (6,), ()]
STEPS = 5


def weights() -> list[nn.Parameter]:
    random = torch.Generator().manual_seed(0)
    return [
        nn.Parameter(torch.randn(shape, generator=random, dtype=torch.double)) for shape in SHAPES
    ]


def gradients(step: int) -> list[Tensor]:
    random = torch.Generator().manual_seed(1 + step)
    return [torch.randn(shape, generator=random, dtype=torch.double) for shape in SHAPES]


def take_steps(optimizer: torch.optim.Optimizer, moved: Iterable[nn.Parameter]) -> None:
    for step in range(STEPS):
        for weight, gradient in zip(moved, gradients(step), strict=True):
            weight.grad = gradient
        optimizer.step()


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_steps_by_hand(momentum: float, decay: float) -> None:
    ours, by_hand = weights(), [weight.detach().clone() for weight in weights()]
    take_steps(LARS(ours, lr=2.0, momentum=momentum, weight_decay=decay), ours)
    speeds = [torch.zeros_like(weight) for weight in by_hand]
    for step in range(STEPS):
        for weight, speed, gradient in zip(by_hand, speeds, gradients(step), strict=True):
            if weight.ndim > 1:
                length, pull = weight.square().sum().sqrt(), gradient.square().sum().sqrt()
                trust = 0.001 * length / (pull + decay * length)
                gradient = trust * (gradient + decay * weight)
            speed.mul_(momentum).add_(gradient)
            weight.sub_(2.0 * speed)
    torch.testing.assert_close([weight.detach() for weight in ours], by_hand)


def test_steps_are_lightlys() -> None:
    """Which adapts, and decays, a weight exactly where it has a decay."""
    ours, theirs = weights(), weights()
    groups = [
        {"params": [weight for weight in theirs if weight.ndim > 1], "weight_decay": 0.1},
        {"params": [weight for weight in theirs if weight.ndim <= 1], "weight_decay": 0.0},
    ]
    take_steps(LARS(ours, lr=2.0, momentum=0.9, weight_decay=0.1), ours)
    take_steps(lightlys.LARS(groups, lr=2.0, momentum=0.9), theirs)
    torch.testing.assert_close(ours, theirs)


def test_a_weight_of_zeros_takes_the_step_of_sgd_and_one_without_a_pull_none() -> None:
    zeros, still = nn.Parameter(torch.zeros(2, 2)), nn.Parameter(torch.ones(2, 2))
    zeros.grad, still.grad = torch.ones(2, 2), torch.zeros(2, 2)
    LARS([zeros, still], lr=0.5, weight_decay=0.1).step()
    assert torch.equal(zeros.detach(), -0.5 * torch.ones(2, 2))
    assert torch.equal(still.detach(), torch.ones(2, 2))


def test_a_weight_without_a_gradient_is_left_alone() -> None:
    """A backbone that is frozen so far; it joins in later."""
    frozen, other = weights()[0], weights()[1]
    before, optimizer = frozen.detach().clone(), LARS([frozen, other], lr=2.0, weight_decay=0.1)
    other.grad = torch.ones_like(other)
    optimizer.step()
    assert torch.equal(frozen.detach(), before)
    assert frozen not in optimizer.state
    frozen.grad = torch.ones_like(frozen)
    optimizer.step()
    assert not torch.equal(frozen.detach(), before)
