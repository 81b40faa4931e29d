import pytest
import torch
import torch.nn.functional as F
from by_hand import assert_is_the_papers, batches, pull, sure_and_wrong
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from noisetune.finetuning.gce import Config


@given(batches(), st.floats(0.01, 1))
def test_values_and_gradients_are_the_papers(batch: tuple[Tensor, Tensor], q: float) -> None:
    assert_is_the_papers(Config(q=q).loss, lambda p, label: (1 - p[label] ** q) / q, *batch)


@given(batches())
def test_near_zero_it_is_cross_entropy(batch: tuple[Tensor, Tensor]) -> None:
    """In single precision, too, where 1 - p^q is 0."""
    logits, labels = batch[0].float(), batch[1]
    torch.testing.assert_close(Config(q=1e-9).loss(logits, labels), F.cross_entropy(logits, labels))


@given(batches())
def test_at_one_it_is_half_the_mean_absolute_error(batch: tuple[Tensor, Tensor]) -> None:
    logits, labels = batch
    gaps = logits.softmax(1) - F.one_hot(labels, logits.shape[1])
    torch.testing.assert_close(Config(q=1).loss(logits, labels), gaps.abs().sum(1).mean() / 2)


@pytest.mark.parametrize(("less", "more"), [(0.3, 0.7), (0.7, 1.0)])
def test_a_label_that_contradicts_a_sure_network_pulls_less_the_higher_q(
    less: float, more: float
) -> None:
    batch = sure_and_wrong()
    pulls = [pull(Config(q=q).loss, *batch) for q in (less, more)]
    assert pull(F.cross_entropy, *batch) > pulls[0] > pulls[1]
