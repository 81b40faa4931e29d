import math

import pytest
import torch
import torch.nn.functional as F
from by_hand import assert_is_the_papers, batches, pull, sure_and_wrong
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from noisetune.finetuning.bootstrapping import Config

shares = st.floats(0, 1)


@given(batches(), shares)
def test_soft_values_and_gradients_are_the_papers(
    batch: tuple[Tensor, Tensor], beta: float
) -> None:
    """The targets are probabilities that a gradient passes through: the loss has their entropy."""

    def equation(p: list[float], label: int) -> float:
        targets = [beta * (k == label) + (1 - beta) * own for k, own in enumerate(p)]
        return -sum(t * math.log(own) for t, own in zip(targets, p, strict=True))

    assert_is_the_papers(Config(targets="soft", given_weight=beta).loss, equation, *batch)


@given(batches(), shares)
def test_hard_values_and_gradients_are_the_papers(
    batch: tuple[Tensor, Tensor], beta: float
) -> None:
    def equation(p: list[float], label: int) -> float:
        return -beta * math.log(p[label]) - (1 - beta) * math.log(max(p))

    assert_is_the_papers(Config(targets="hard", given_weight=beta).loss, equation, *batch)


@pytest.mark.parametrize("targets", ["soft", "hard"])
@given(batches())
def test_with_the_given_labels_alone_it_is_cross_entropy(
    targets: str, batch: tuple[Tensor, Tensor]
) -> None:
    method = Config.model_validate({"targets": targets, "given_weight": 1})
    torch.testing.assert_close(method.loss(*batch), F.cross_entropy(*batch))


@pytest.mark.parametrize("targets", ["soft", "hard"])
def test_a_label_that_contradicts_a_sure_network_pulls_less(targets: str) -> None:
    method, batch = Config.model_validate({"targets": targets}), sure_and_wrong()
    assert pull(method.loss, *batch) < 0.9 * pull(F.cross_entropy, *batch)
