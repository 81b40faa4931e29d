import pytest
import torch
import torch.nn.functional as F
from by_hand import batches
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from noisetune.finetuning.base import Criterion, Task
from noisetune.finetuning.small_loss import Config


def beginning(method: Config, epoch: int) -> Criterion:
    """The criterion at the beginning of an epoch."""
    criterion = method.criterion(Task(torch.zeros(1, dtype=torch.long), 2))
    criterion.epoch_begins(epoch, lambda: torch.zeros(1, 2))
    return criterion


@given(
    rate=st.floats(0, 0.99), ramp=st.floats(0.1, 30), exponent=st.floats(0.1, 3),
    epoch=st.integers(0, 60),
)  # fmt: skip
def test_the_share_that_is_left_out_is_the_papers(
    rate: float, ramp: float, exponent: float, epoch: int
) -> None:
    """R(T) = 1 - tau min(T^c / T_k, 1) is what is kept (Han et al. 2018)."""
    method = Config(forget_rate=rate, ramp_epochs=ramp, exponent=exponent)
    kept = 1 - rate * min(epoch**exponent / ramp, 1)
    assert 1 - method.forgotten(epoch) == pytest.approx(kept)
    assert method.forgotten(0) == 0


@given(batches(), st.floats(0, 0.99))
def test_it_is_the_cross_entropy_of_the_smallest_losses(
    batch: tuple[Tensor, Tensor], rate: float
) -> None:
    """In value and gradient: one at least is kept, the others pull at nothing."""
    logits, labels = batch[0].requires_grad_(), batch[1]
    criterion = beginning(Config(forget_rate=rate, ramp_epochs=1), 1)
    loss = criterion.loss(logits, labels, torch.arange(len(labels)))
    (gradient,) = torch.autograd.grad(loss, logits)
    losses = F.cross_entropy(logits, labels, reduction="none")
    kept = max(1, round((1 - rate) * len(labels)))
    smallest = sorted(losses.tolist())[:kept]
    assert loss.item() == pytest.approx(sum(smallest) / kept)
    left_out = losses > max(smallest)
    own = (logits.softmax(1) - F.one_hot(labels, logits.shape[1])) / kept
    torch.testing.assert_close(gradient, torch.where(left_out[:, None], 0, own).detach())


@given(batches())
def test_at_first_it_is_cross_entropy(batch: tuple[Tensor, Tensor]) -> None:
    criterion = beginning(Config(forget_rate=0.9), 0)
    loss = criterion.loss(*batch, torch.arange(len(batch[1])))
    torch.testing.assert_close(loss, F.cross_entropy(*batch))


def test_of_labels_that_contradict_a_network_none_is_learnt() -> None:
    labels = torch.arange(10)
    logits = 3 * F.one_hot(labels, 10).double()
    given = labels.clone()
    given[:4] = 9
    logits.requires_grad_()
    loss = beginning(Config(forget_rate=0.4), 9).loss(logits, given, labels)
    (gradient,) = torch.autograd.grad(loss, logits)
    assert gradient.any(dim=1).tolist() == [False] * 4 + [True] * 6
