"""Losses by their papers' equations: image by image, in double precision, without torch."""

import math
from collections.abc import Callable, Sequence

import torch
from hypothesis import strategies as st
from torch import Tensor

Equation = Callable[[list[float], int], float]
"""The loss of an image, by its probabilities and its label."""
STEP = 1e-6
TOLERANCE = {"rtol": 1e-6, "atol": 1e-7}


@st.composite
def batches(draw: st.DrawFn) -> tuple[Tensor, Tensor]:
    """Logits (B, classes), in double precision, of networks more and less sure; labels (B,)."""
    random = torch.Generator().manual_seed(draw(st.integers(0, 2**32 - 1)))
    count, classes = draw(st.integers(1, 5)), draw(st.integers(2, 6))
    scale = draw(st.floats(0.1, 4.0))
    logits = scale * torch.randn(count, classes, generator=random, dtype=torch.double)
    return logits, torch.randint(classes, (count,), generator=random)


def probabilities(scores: Sequence[float]) -> list[float]:
    powers = [math.exp(score) for score in scores]
    return [power / sum(powers) for power in powers]


def assert_is_the_papers(
    loss: Callable[[Tensor, Tensor], Tensor], equation: Equation, logits: Tensor, labels: Tensor
) -> None:
    """The loss is the mean of the equation, and its gradient that of central differences."""
    logits = logits.clone().requires_grad_()
    value = loss(logits, labels)
    (gradient,) = torch.autograd.grad(value, logits)
    images = list(zip(logits.tolist(), labels.tolist(), strict=True))
    by_hand = [equation(probabilities(scores), label) for scores, label in images]
    slopes = [_slopes(equation, scores, label) for scores, label in images]
    expected = torch.tensor(by_hand, dtype=torch.double).mean()
    torch.testing.assert_close(value.double(), expected, **TOLERANCE)
    torch.testing.assert_close(
        gradient, torch.tensor(slopes, dtype=torch.double) / len(images), **TOLERANCE
    )


def _slopes(equation: Equation, scores: list[float], label: int) -> list[float]:
    return [
        (_moved(equation, scores, label, k, STEP) - _moved(equation, scores, label, k, -STEP))
        / (2 * STEP)
        for k in range(len(scores))
    ]


def _moved(equation: Equation, scores: list[float], label: int, k: int, by: float) -> float:
    moved = [score + by * (place == k) for place, score in enumerate(scores)]
    return equation(probabilities(moved), label)


def pull(loss: Callable[[Tensor, Tensor], Tensor], logits: Tensor, labels: Tensor) -> float:
    """How strongly a loss pulls at logits: the norm of its gradient."""
    logits = logits.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(logits, labels), logits)
    return float(gradient.norm())


def sure_and_wrong() -> tuple[Tensor, Tensor]:
    """An image that a network is sure of, under another label."""
    return torch.tensor([[5.0, 0.0, 0.0]], dtype=torch.double), torch.tensor([1])
