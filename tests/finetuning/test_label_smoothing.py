import math

import torch
import torch.nn.functional as F
from by_hand import assert_is_the_papers, batches
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from noisetune.finetuning.label_smoothing import Config


@given(batches(), st.floats(0, 0.99))
def test_values_and_gradients_are_the_papers(batch: tuple[Tensor, Tensor], epsilon: float) -> None:
    def equation(p: list[float], label: int) -> float:
        smoothed = [epsilon / len(p) + (1 - epsilon) * (k == label) for k in range(len(p))]
        return -sum(q * math.log(own) for q, own in zip(smoothed, p, strict=True))

    assert_is_the_papers(Config(epsilon=epsilon).loss, equation, *batch)


@given(batches())
def test_without_smoothing_it_is_cross_entropy(batch: tuple[Tensor, Tensor]) -> None:
    torch.testing.assert_close(Config(epsilon=0).loss(*batch), F.cross_entropy(*batch))


def test_a_network_that_is_too_sure_of_a_label_is_held_back() -> None:
    """Cross-entropy goes on to pull at it."""
    logits = torch.tensor([[9.0, 0.0, 0.0]], requires_grad=True)
    (gradient,) = torch.autograd.grad(Config(epsilon=0.1).loss(logits, torch.tensor([0])), logits)
    assert gradient[0, 0] > 0
