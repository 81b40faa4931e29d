"""Methods of fine-tuning that break a promise, and what is said of them."""

from collections.abc import Sequence
from typing import Any, Literal

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from noisetune.finetuning.base import (
    Batch,
    Criterion,
    FinetuneConfig,
    Forward,
    Predict,
    Task,
)
from noisetune.plugins import PluginConfig
from noisetune.testing import finetuning as of_finetuning
from noisetune.testing.promises import Check


class Averages(Criterion):
    average: Tensor

    def __init__(self, task: Task) -> None:
        super().__init__()
        self.register_buffer("average", torch.zeros(len(task.labels), task.classes))

    def loss(self, logits: Tensor, labels: Tensor, rows: Tensor) -> Tensor:
        self.average[rows] = logits.softmax(1).detach()
        return F.cross_entropy(logits, labels) + self.average[rows].square().mean()


class InNoBuffer(Averages):
    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self.kept = self._buffers.pop("average")

    def loss(self, logits: Tensor, labels: Tensor, rows: Tensor) -> Tensor:
        assert self.kept is not None
        before = self.kept[rows].clone()
        self.kept[rows] = logits.softmax(1).detach()
        return F.cross_entropy(logits, labels) + (logits * before).mean()


class ByPlace(Averages):
    """Takes the place in the batch for the row."""

    def loss(self, logits: Tensor, labels: Tensor, rows: Tensor) -> Tensor:
        return super().loss(logits, labels, torch.arange(len(rows)))


class WithWeights(Averages):
    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self.scale = nn.Parameter(torch.ones(()))


class FirstAlone(Averages):
    """One network of two is trained."""

    def step(self, networks: Sequence[Forward], batch: Batch) -> Tensor:
        return F.cross_entropy(networks[0](batch.images), batch.labels)


class Endless(Averages):
    def loss(self, logits: Tensor, labels: Tensor, rows: Tensor) -> Tensor:
        return F.cross_entropy(logits, labels) * torch.inf


class Overflowing(Averages):
    def loss(self, logits: Tensor, labels: Tensor, rows: Tensor) -> Tensor:
        return -logits.softmax(1).gather(1, labels[:, None]).log().mean()


class KeepingGraphs(Averages):
    def loss(self, logits: Tensor, labels: Tensor, rows: Tensor) -> Tensor:
        self.average = self.average.detach().index_put((rows,), logits.softmax(1))
        return F.cross_entropy(logits, labels)


class LookingForNothing(Averages):
    def epoch_begins(self, epoch: int, predict: Predict) -> None:
        predict()


class Dimming(Averages):
    """Makes images of its own, and does not say so."""

    def step(self, networks: Sequence[Forward], batch: Batch) -> Tensor:
        return F.cross_entropy(networks[0](batch.images / 2), batch.labels)


class Unlearning(Averages):
    def loss(self, logits: Tensor, labels: Tensor, rows: Tensor) -> Tensor:
        return F.cross_entropy(logits, torch.zeros_like(labels))


def finetuning(kind: type[Averages], networks: int = 1) -> type[FinetuneConfig]:
    class Config(FinetuneConfig):
        """One that breaks a promise."""

        method: Literal["broken"] = "broken"

        def criterion(self, task: Task) -> Criterion:
            return kind(task)

    Config.networks = networks
    return Config


class Unkeyed(FinetuneConfig):
    """Reads a field that its identity does not hold."""

    method: Literal["broken"] = "broken"
    weight: float = 1.0

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        return self.weight * F.cross_entropy(logits, labels) + logits.square().mean()

    def identity(self) -> dict[str, Any]:
        return {name: value for name, value in super().identity().items() if name != "weight"}


CASES: list[tuple[type[PluginConfig], Check, str]] = [
    (finetuning(InNoBuffer), of_finetuning.all_that_it_remembers_is_in_buffers, "buffers alone"),
    (finetuning(InNoBuffer), of_finetuning.a_run_goes_on_bit_for_bit, "weights and buffers"),
    (finetuning(ByPlace), of_finetuning.the_order_of_the_rows_does_not_matter, "not close"),
    (finetuning(WithWeights), of_finetuning.its_criterion_has_nothing_to_train, "'scale'"),
    (
        finetuning(FirstAlone, networks=2),
        of_finetuning.its_loss_is_finite_and_pulls_at_every_network,
        "network 1 of 2: the loss does not pull",
    ),
    (
        finetuning(FirstAlone, networks=2),
        of_finetuning.its_networks_are_all_trained_and_paid_for,
        "network1.head.weight: an epoch does not move it",
    ),
    (
        finetuning(Endless),
        of_finetuning.its_loss_is_finite_and_pulls_at_every_network,
        "must be finite",
    ),
    (
        finetuning(Overflowing),
        of_finetuning.it_is_finite_where_a_network_is_sure,
        "loss: inf of lo",
    ),
    (finetuning(KeepingGraphs), of_finetuning.what_it_remembers_has_no_gradient, "'average'"),
    (
        finetuning(LookingForNothing),
        of_finetuning.its_passes_are_paid_for,
        "passes: 1, but an epoch costs 1.333",
    ),
    (
        finetuning(Dimming),
        of_finetuning.its_images_are_those_of_the_batch_or_it_says_so,
        "changes_images: is False",
    ),
    (finetuning(Unlearning), of_finetuning.it_learns, "test/accuracy is 0"),
    (Unkeyed, of_finetuning.equal_identities_are_equal_results, "identity: weight is not in it"),
]


@pytest.mark.parametrize(
    ("config", "promise", "reason"), CASES, ids=[each.__name__ for _, each, _ in CASES]
)
def test_a_broken_promise_is_seen(config: type[PluginConfig], promise: Check, reason: str) -> None:
    with pytest.raises(AssertionError, match=reason):
        promise(config)
