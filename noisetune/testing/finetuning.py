"""What every method of fine-tuning promises."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from noisetune.finetuning.base import (
    Batch,
    Criterion,
    FinetuneConfig,
    Forward,
    Task,
)
from noisetune.noise.base import RateNoise
from noisetune.seeds import generator, seeded_initialisation
from noisetune.ssl.base import Features
from noisetune.stages.base import Inputs, Stage
from noisetune.stages.finetune import finetune_key, finetune_stage
from noisetune.testing.every import variations
from noisetune.testing.promises import promise, small
from noisetune.testing.trials import assert_goes_on, assert_same, checkpoints, tiny_inputs
from noisetune.training.optimisation import FORWARD_PASS

QUICK = {"epochs": 2, "batch_size": 16}
SHORT = {"epochs": 4}
"""With a beginning, a middle, and an end that only what was kept tells of."""
COUNT, CLASSES, SIDE = 24, 5, 4
SURE = 1e4
"""So large are logits where a network has no doubt: all but one probability are 0."""
KEYED_APART = {"augment"}
"""Fields that a stage key holds by themselves."""


@promise(FinetuneConfig)
def its_loss_is_finite_and_pulls_at_every_network(
    config: type[FinetuneConfig], **settings: Any
) -> None:
    method = small(config, **(SHORT | settings))
    run = _Run.begin(method)
    for loss in run.losses():
        assert loss.shape == (), f"loss: shape {tuple(loss.shape)}, it must be a scalar"
        assert loss.isfinite(), f"loss: {loss.item()}, it must be finite"
        loss.backward()
        for number, network in enumerate(run.networks):
            network.assert_pulled_at(f"network {number} of {method.networks}")


@promise(FinetuneConfig)
def it_is_finite_where_a_network_is_sure(config: type[FinetuneConfig], **settings: Any) -> None:
    """Of right labels and of wrong ones, in value and gradient."""
    run = _Run.begin(small(config, **(SHORT | settings)), scale=SURE)
    for loss in run.losses():
        assert loss.isfinite(), f"loss: {loss.item()} of logits of {SURE:g}, it must be finite"
        loss.backward()
        for number, network in enumerate(run.networks):
            network.assert_finite(f"network {number}")


@promise(FinetuneConfig)
def what_it_remembers_has_no_gradient(config: type[FinetuneConfig], **settings: Any) -> None:
    """It would keep the graph of every step."""
    run = _Run.begin(small(config, **(SHORT | settings)))
    for loss in run.losses():
        loss.backward()
        held = [name for name, each in run.criterion.named_buffers() if each.requires_grad]
        assert not held, f"criterion: {held} hold gradients: detach what is remembered"


@promise(FinetuneConfig)
def its_passes_are_paid_for(config: type[FinetuneConfig], **settings: Any) -> None:
    """Those without gradients, such as a look at all images before an epoch, count a third."""
    method = small(config, **(SHORT | settings))
    run = _Run.begin(method)
    for _ in run.losses():
        pass
    spent = sum(network.cost for network in run.networks) / (COUNT * method.epochs)
    assert spent < method.passes + 1e-6, (
        f"passes: {method.passes:.4g}, but an epoch costs {spent:.4g} of each image"
    )


@promise(FinetuneConfig)
def its_images_are_those_of_the_batch_or_it_says_so(
    config: type[FinetuneConfig], **settings: Any
) -> None:
    """By `changes_images`: features of images that were computed before would not serve it."""
    method = small(config, **(SHORT | settings))
    run = _Run.begin(method)
    for _ in run.losses():
        pass
    seen = torch.cat([images for network in run.networks for images in network.seen])
    known = (seen[:, None] == run.images.flatten(1)).all(dim=2).any(dim=1)
    assert method.changes_images or known.all(), "changes_images: is False, but it changes them"


@promise(FinetuneConfig)
def its_criterion_has_nothing_to_train(config: type[FinetuneConfig], **settings: Any) -> None:
    criterion = _Run.begin(small(config, **settings)).criterion
    weights = [name for name, each in criterion.named_parameters() if each.requires_grad]
    assert not weights, f"criterion: {weights} are in no optimiser: make them buffers"


@promise(FinetuneConfig)
def all_that_it_remembers_is_in_buffers(config: type[FinetuneConfig], **settings: Any) -> None:
    """A fresh criterion with the state of one that has seen epochs says the same."""
    method = small(config, **(SHORT | settings))
    seen, fresh = _Run.begin(method), _Run.begin(method)
    last = method.epochs - 1
    for epoch in range(last):
        for _ in seen.epoch(epoch):
            pass
    fresh.criterion.load_state_dict(seen.criterion.state_dict())
    losses = [[loss.item() for loss in run.epoch(last)] for run in (seen, fresh)]
    assert losses[0] == losses[1], f"loss: {losses[0]}, and {losses[1]} with its buffers alone"
    kept, again = (run.criterion.state_dict() for run in (seen, fresh))
    differ = [name for name in kept if not kept[name].equal(again[name])]
    assert not differ, f"criterion: {differ} hang on what is in no buffer"


@promise(FinetuneConfig)
def the_order_of_the_rows_does_not_matter(config: type[FinetuneConfig], **settings: Any) -> None:
    """Of one that has a loss of logits, labels and rows, and not of whole batches alone."""
    method = small(config, **(SHORT | settings))
    if type(_Run.begin(method).criterion).step is not Criterion.step:
        return
    turned = torch.randperm(COUNT, generator=generator("another order"))
    runs = [_Run.begin(method), _Run.begin(method)]
    for epoch in range(method.epochs):
        losses = [
            [loss.item() for loss in run.epoch(epoch, [order])]
            for run, order in zip(runs, (torch.arange(COUNT), turned), strict=True)
        ]
        torch.testing.assert_close(losses[0], losses[1])
    states = [run.criterion.state_dict() for run in runs]
    torch.testing.assert_close(states[0], states[1])


@promise(FinetuneConfig)
def a_run_goes_on_bit_for_bit(config: type[FinetuneConfig], **settings: Any) -> None:
    method = small(config, **(QUICK | {"epochs": 4} | settings))
    assert_goes_on(_stage(tiny_inputs(finetune=method)), 1, 3)


@promise(FinetuneConfig)
def a_probe_goes_on_bit_for_bit(config: type[FinetuneConfig], **settings: Any) -> None:
    """Of one that changes no images: its head learns from features that are there."""
    if config.changes_images:
        return
    method = small(config, **(QUICK | {"epochs": 4, "train": "probe"} | settings))
    if method.train == "probe":
        assert_goes_on(_stage(_with_features(tiny_inputs(finetune=method))), 2)


@promise(FinetuneConfig)
def equal_identities_are_equal_results(config: type[FinetuneConfig], **settings: Any) -> None:
    """A field that is not in the stage key changes nothing."""
    method = small(config, **(QUICK | settings))
    for name, other in variations(method):
        if name in KEYED_APART or method.identity() != other.identity():
            continue
        one, another = (
            checkpoints(_stage(tiny_inputs(finetune=each)))[method.epochs]
            for each in (method, other)
        )
        assert_same(one, another, f"identity: {name} is not in it, and must change nothing")


@promise(FinetuneConfig)
def it_learns(config: type[FinetuneConfig], **settings: Any) -> None:
    """From a few labels, without noise: every network better than chance by far."""
    plain = {"epochs": 4, "batch_size": 16, "lr": 0.01, "augment": {}}
    method = small(config, **(plain | settings))
    inputs = tiny_inputs(finetune=method)
    noise = inputs.config.noise
    assert isinstance(noise, RateNoise)
    data = inputs.config.data.model_copy(update={"train_samples": 300, "test_samples": 100})
    inputs = tiny_inputs(finetune=method, data=data, noise=noise.model_copy(update={"rate": 0.0}))
    last = checkpoints(_stage(inputs))[method.epochs]
    values = last.record["points"][-1]["values"]
    assert values["test/accuracy"] > 3 / inputs.data.classes, (
        f"test/accuracy is {values['test/accuracy']} after {method.epochs} epochs of 10 digits"
    )


@promise(FinetuneConfig)
def its_networks_are_all_trained_and_paid_for(
    config: type[FinetuneConfig], **settings: Any
) -> None:
    method = small(config, **(QUICK | {"epochs": 3} | settings))
    assert method.networks >= 1, f"networks: {method.networks}, it must be one at least"
    assert 0 < method.passes < float("inf"), f"passes: {method.passes}: a finite number above 0"
    made = checkpoints(_stage(tiny_inputs(finetune=method)))
    for number in range(method.networks):
        name = f"network{number or ''}.head.weight"
        early, late = (made[epoch].tensors[name] for epoch in (1, 2))
        assert not early.equal(late), f"{name}: an epoch does not move it"


@dataclass
class _Network:
    """A linear layer that remembers what it saw and answered, and what that cost."""

    layer: nn.Linear
    scale: float
    seen: list[Tensor] = field(default_factory=list)
    answers: list[Tensor] = field(default_factory=list)
    cost: float = 0.0

    def __call__(self, images: Tensor) -> Tensor:
        self.seen.append(images.flatten(1))
        logits = self.scale * self.layer(images.flatten(1))
        self.cost += len(images) * (1 if logits.requires_grad else FORWARD_PASS)
        if logits.requires_grad:
            logits.retain_grad()
            self.answers.append(logits)
        return logits

    def assert_finite(self, name: str) -> list[Tensor]:
        """The gradients of what it answered since the last time."""
        gradients = [each.grad for each in self.answers if each.grad is not None]
        self.answers.clear()
        assert all(each.isfinite().all() for each in gradients), f"{name}: must be finite"
        return gradients

    def assert_pulled_at(self, name: str) -> None:
        pulls = [each.any() for each in self.assert_finite(name)]
        assert any(pulls), f"{name}: the loss does not pull at it"


@dataclass
class _Run:
    """A criterion at work on images drawn at random, with networks that stand still."""

    criterion: Criterion
    task: Task
    images: Tensor
    networks: list[_Network]
    epochs: int

    @classmethod
    def begin(cls, method: FinetuneConfig, scale: float = 1.0) -> "_Run":
        random = generator("a task")
        labels = torch.arange(COUNT) % CLASSES
        images = torch.randn(COUNT, 1, SIDE, SIDE, generator=random)
        with seeded_initialisation("networks"):
            layers = [nn.Linear(SIDE * SIDE, CLASSES) for _ in range(method.networks)]
            matrix = 0.5 * torch.eye(CLASSES) + 0.5 / CLASSES
            task = Task(labels, CLASSES, matrix)
            criterion = method.criterion(task)
        networks = [_Network(each, scale) for each in layers]
        return cls(criterion, task, images, networks, method.epochs)

    def losses(self) -> Iterator[Tensor]:
        """The loss of each batch of all epochs."""
        for number in range(self.epochs):
            yield from self.epoch(number)

    def epoch(self, number: int, batches: Sequence[Tensor] | None = None) -> Iterator[Tensor]:
        """The loss of each batch of rows, by default of three in an order of their own."""
        random = generator("an epoch", number)
        self.criterion.epoch_begins(number, self._predict)
        if batches is None:
            batches = torch.randperm(COUNT, generator=random).split(COUNT // 3)
        networks: list[Forward] = [*self.networks]
        for rows in batches:
            batch = Batch(self.images[rows], self.task.labels[rows], rows, random)
            yield self.criterion.step(networks, batch)

    @torch.no_grad()
    def _predict(self) -> Tensor:
        return torch.softmax(self.networks[0](self.images), dim=1)


def _with_features(inputs: Inputs) -> Inputs:
    """The pixels of the images stand for what an encoder makes of them."""
    train, test = (each.flatten(1) / 255 for each in (inputs.data.x_train, inputs.data.x_test))
    return replace(inputs, features=Features(train, test))


def _stage(inputs: Inputs) -> Stage:
    return finetune_stage(inputs, None, finetune_key(inputs.config, inputs.data, None, 0))
