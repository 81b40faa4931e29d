from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from by_hand import batches
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from noisetune.finetuning.base import Batch, Task
from noisetune.finetuning.coteaching import Config
from noisetune.stages.finetune import finetune_key, finetune_stage
from noisetune.testing.trials import checkpoints, tiny_inputs
from noisetune.training.loop import strip


def step(method: Config, epoch: int, logits: Sequence[Tensor], labels: Tensor) -> Tensor:
    """The loss in an epoch, of networks that answer with these logits."""
    criterion = method.criterion(Task(labels, logits[0].shape[1]))
    criterion.epoch_begins(epoch, lambda: logits[0].softmax(1))
    networks: list[Callable[[Tensor], Tensor]] = [lambda _, own=own: own for own in logits]
    rows = torch.arange(len(labels))
    return criterion.step(networks, Batch(labels[:, None], labels, rows, torch.Generator()))


def smallest(losses: list[float], count: int) -> list[int]:
    return sorted(range(len(losses)), key=lambda row: losses[row])[:count]


@given(batches(), st.floats(0, 0.9), st.integers(0, 2**32 - 1))
def test_each_learns_what_the_other_one_learns_easily(
    batch: tuple[Tensor, Tensor], rate: float, seed: int
) -> None:
    """By the paper's algorithm 1, in value and in the gradient of both networks."""
    random = torch.Generator().manual_seed(seed)
    first, labels = batch
    second = torch.randn(first.shape, generator=random, dtype=torch.double)
    both = [first.requires_grad_(), second.requires_grad_()]
    loss = step(Config(forget_rate=rate, ramp_epochs=1), 1, both, labels)
    gradients = torch.autograd.grad(loss, both)
    losses = [F.cross_entropy(each, labels, reduction="none").tolist() for each in both]
    count = max(1, round((1 - rate) * len(labels)))
    chosen = [smallest(each, count) for each in losses]
    total = 0.0
    for own, other in ((0, 1), (1, 0)):
        rows = chosen[other]
        total += sum(losses[own][row] for row in rows) / count
        slopes = torch.zeros_like(both[own])
        gaps = both[own].softmax(1) - F.one_hot(labels, first.shape[1])
        slopes[rows] = gaps[rows] / count
        torch.testing.assert_close(gradients[own], slopes.detach())
    torch.testing.assert_close(loss.item(), total)


def test_what_one_network_believes_it_does_not_learn_unless_the_other_does() -> None:
    """The first holds the wrong label of image 0 for right: only the second may tell it so."""
    labels = torch.tensor([1, 0])
    first = torch.tensor([[0.0, 9.0], [0.5, 0.0]], requires_grad=True)
    second = torch.tensor([[9.0, 0.0], [0.5, 0.0]], requires_grad=True)
    loss = step(Config(forget_rate=0.5, ramp_epochs=1), 1, [first, second], labels)
    gradients = torch.autograd.grad(loss, [first, second])
    assert [each.any(dim=1).tolist() for each in gradients] == [[False, True], [True, False]]


@given(batches())
def test_at_first_it_is_cross_entropy_of_both(batch: tuple[Tensor, Tensor]) -> None:
    logits, labels = batch
    both = step(Config(forget_rate=0.9), 0, [logits, 2 * logits], labels)
    plain = F.cross_entropy(logits, labels) + F.cross_entropy(2 * logits, labels)
    torch.testing.assert_close(both, plain)


def test_two_networks_are_trained_and_paid_for() -> None:
    """From one backbone and two heads; without anything left out each is plain training."""
    method = Config(epochs=2, batch_size=16, forget_rate=0)
    inputs = tiny_inputs(finetune=method)
    key = finetune_key(inputs.config, inputs.data, None, 0)
    made = checkpoints(finetune_stage(inputs, None, key))
    first, second = (strip(name, made[1].tensors) for name in ("network", "network1"))
    assert not first["head.weight"].equal(second["head.weight"])
    assert method.passes == 2
