"""Predictions of training images, epoch by epoch, and margins of those that are not trained on."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from noisetune.config import TrialConfig
from noisetune.finetuning.base import Batch, Criterion, FinetuneConfig, Forward, Task
from noisetune.models.base import Classifier
from noisetune.selection import CHANGED
from noisetune.stages.base import MARGINS, Checkpoint, Inputs, points_of, record_of
from noisetune.stages.finetune import finetune_key, finetune_stage
from noisetune.stages.fluctuation import SEEN, SeenPredictions
from noisetune.stages.predictions import margins
from noisetune.store import Artifact
from noisetune.training.augment import normalise
from noisetune.training.loop import strip

CPU = torch.device("cpu")
EPOCHS = 3
Build = Callable[..., Inputs]


class Mixed(FinetuneConfig):
    """A method that shows the network no image as it is."""

    method: Literal["mixed"] = "mixed"

    def criterion(self, task: Task) -> Criterion:
        return _Mixing()


class _Mixing(Criterion):
    def step(self, networks: Sequence[Forward], batch: Batch) -> Tensor:
        logits = networks[0](0.7 * batch.images + 0.3 * batch.images.flip(0))
        return F.cross_entropy(logits, batch.labels)


@pytest.fixture
def inputs(
    tiny_trial: Callable[..., TrialConfig], inputs_of: Callable[[TrialConfig], Inputs]
) -> Build:
    """What the fine-tuning of the tiny trial reads, over three epochs, with changes to it."""
    return lambda **changes: inputs_of(tiny_trial(finetune={"epochs": EPOCHS, **changes}))


def checkpoints(inputs: Inputs, start: Any = None) -> dict[int, Artifact]:
    key = finetune_key(inputs.config, inputs.data, None, 0)
    events = finetune_stage(inputs, None, key).compute(start, lambda step: True)
    return {each.step: each.artifact for each in events if isinstance(each, Checkpoint)}


def changes_of(artifact: Artifact) -> list[float | None]:
    return [point.values[CHANGED] for point in points_of(artifact)]


def logits_of(inputs: Inputs, tensors: dict[str, Tensor], images: Tensor) -> Tensor:
    """Of a checkpoint's network, in evaluation mode."""
    data = inputs.data
    network = Classifier(inputs.config.model.build(data.channels, data.size), data.classes).eval()
    network.load_state_dict(strip("network", tensors))
    with torch.no_grad():
        return network(normalise(images, data.mean, data.std))


def batch_of(images: Tensor, rows: list[int]) -> Batch:
    return Batch(images, torch.zeros(len(rows)).long(), torch.tensor(rows), torch.Generator())


def test_predictions_are_remembered_by_image_and_their_changes_counted() -> None:
    seen = SeenPredictions(4, CPU)
    for classes, share in (([0, 1, 2, 0], None), ([0, 1, 1, 1], 0.5), ([0, 1, 1, 1], 0.0)):
        assert not seen.complete
        for rows in ([3, 0], [1, 2]):
            images = torch.eye(3)[[classes[row] for row in rows]]
            batch = batch_of(images, rows)
            assert seen.watching(lambda x: 2 * x, batch)(images).equal(2 * images)
        assert seen.complete
        assert seen.changed() == share


def test_images_that_a_method_changed_are_not_seen() -> None:
    seen, images = SeenPredictions(2, CPU), torch.eye(2)
    seen.watching(lambda x: x, batch_of(images, [0, 1]))(0.5 * images)
    assert not seen.complete
    assert seen.changed(torch.tensor([0, 1])) is None
    assert seen.changed(torch.tensor([1, 1])) == 0.5


def test_of_a_network_that_stands_still_nothing_changes(inputs: Build) -> None:
    """The head alone is trained, with a rate too small to move a weight."""
    made = checkpoints(inputs(train="head", lr=1e-30, augment={}))
    assert changes_of(made[EPOCHS]) == [None, 0.0, 0.0]


def test_training_costs_no_pass_more(inputs: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    """Images that pass through the network: of training, both held-out parts, wrong labels."""
    given, passed = inputs(), [0]
    forward = type(given.backbone(0)).forward

    def counting(self: Any, images: Tensor) -> Tensor:
        passed[0] += len(images)
        return forward(self, images)

    monkeypatch.setattr(type(given.backbone(0)), "forward", counting)
    made = checkpoints(given)
    labels, true = given.labels, given.data.y_train.numpy()
    wrong = (labels.train != true)[labels.fit].sum()
    once = len(labels.fit) + len(labels.validation) + len(given.data.x_test) + wrong
    assert passed[0] == EPOCHS * once
    assert changes_of(made[EPOCHS])[0] is None


def test_where_images_are_mixed_one_plain_pass_tells_changes_and_memorisation(
    inputs: Build,
) -> None:
    plain = inputs()
    settings = plain.config.finetune.model_dump(exclude={"method"})
    mixed = replace(plain, config=plain.config.model_copy(update={"finetune": Mixed(**settings)}))
    made = checkpoints(mixed)
    rows = torch.from_numpy(mixed.labels.fit)
    classes = [
        logits_of(mixed, made[epoch].tensors, mixed.data.x_train[rows]).argmax(1)
        for epoch in (1, 2)
    ]
    points = points_of(made[2])
    assert points[0].values[CHANGED] is None
    assert points[1].values[CHANGED] == (classes[0] != classes[1]).double().mean()
    noisy = torch.from_numpy(mixed.labels.train)[rows]
    wrong = noisy != mixed.data.y_train[rows]
    memorised = (classes[1] == noisy)[wrong].double().mean()
    assert points[1].values["detect/memorisation"] == memorised


def test_margins_are_summed_over_the_epochs(inputs: Build) -> None:
    given = inputs(lr=0.02)
    made = checkpoints(given)
    logits = [logits_of(given, made[epoch].tensors, given.data.x_test) for epoch in (1, 2)]
    logits.append(made[EPOCHS].tensors["logits.last"])
    expected = torch.stack([margins(each) for each in logits]).sum(0)
    torch.testing.assert_close(made[EPOCHS].tensors[MARGINS], expected, rtol=1e-4, atol=1e-4)


def test_what_an_earlier_version_began_is_gone_on_with_without_either(inputs: Build) -> None:
    given = inputs()
    begun = checkpoints(given)[1]
    new = {MARGINS, SEEN, "predicted.label_wave", "probability.label_wave"}
    tensors = {name: each for name, each in begun.tensors.items() if name not in new}
    old = points_of(begun)
    for point in old:
        del point.values[CHANGED]
    made = checkpoints(given, (1, Artifact(tensors, record_of(old, 1.0))))[EPOCHS]
    assert MARGINS not in made.tensors
    assert "predicted.label_wave" not in made.tensors
    first, second, third = points_of(made)
    assert CHANGED not in first.values
    assert second.values[CHANGED] is None
    assert third.values[CHANGED] is not None


@given(
    st.integers(2, 5).flatmap(
        lambda classes: st.lists(
            st.lists(st.integers(-3, 3), min_size=classes, max_size=classes), min_size=1, max_size=6
        )
    )
)
def test_a_margin_is_over_the_highest_of_the_other_classes(rows: list[list[int]]) -> None:
    expected = [
        [value - max(row[:place] + row[place + 1 :]) for place, value in enumerate(row)]
        for row in rows
    ]
    assert np.array_equal(margins(torch.tensor(rows, dtype=torch.float32)).numpy(), expected)
