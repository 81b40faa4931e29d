"""Trials of one replicate train on the same random numbers, whatever else differs between them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from noisetune.config import TrialConfig
from noisetune.stages import finetune, samples
from noisetune.stages.base import Checkpoint, Inputs, Stage
from noisetune.stages.crossval import fold_stage
from noisetune.stages.finetune import finetune_key, finetune_stage
from noisetune.stages.pretrain import pretrain_key, pretrain_stage
from noisetune.store import Artifact
from noisetune.training.augment import Augment
from noisetune.training.feeding import Feed
from noisetune.training.loop import strip

Build = Callable[..., Inputs]
STILL = 1e-30
"""A learning rate too small to move a weight: what a stage keeps is what it began with."""


@pytest.fixture
def inputs(
    tiny_trial: Callable[..., TrialConfig], inputs_of: Callable[[TrialConfig], Inputs]
) -> Build:
    return lambda **changes: inputs_of(tiny_trial(**changes))


def tuning(given: Inputs) -> Stage:
    """The fine-tuning of a trial, from scratch."""
    return finetune_stage(given, None, finetune_key(given.config, given.data, None, 0))


def pretraining(given: Inputs) -> Stage:
    key = pretrain_key(given.config, given.data)
    return pretrain_stage(given, given.config.pretrain, key, given.config.pretrain.epochs)


def made(stage: Stage) -> Artifact:
    """What a stage keeps after its first epoch."""
    events = stage.compute(None, lambda step: True)
    return next(each.artifact for each in events if isinstance(each, Checkpoint))


def weights(prefix: str, artifact: Artifact) -> dict[str, list[Any]]:
    """The trained weights under `prefix`, without statistics; what was 0 has moved by `STILL`."""
    named = strip(prefix, artifact.tensors).items()
    return {
        name: each.where(each.abs() > 9 * STILL, 0).tolist()
        for name, each in named
        if "running" not in name and each.ndim
    }


@pytest.mark.parametrize(
    "changes",
    [
        {"noise": {"rate": 0.1}},
        {"noise": {"model": "none"}},
        {"finetune": {"method": "elr"}},
        {"finetune": {"weight_decay": 0.1, "augment": {"flip": 0.5}}},
        {"data": {"validation_fraction": 0.4}},
        {"detect": {"filter_by": "both"}},
    ],
    ids=str,
)
def test_networks_begin_alike(inputs: Build, changes: dict[str, Any]) -> None:
    still = {"finetune": {"lr": STILL, **changes.get("finetune", {})}}
    one, other = inputs(finetune={"lr": STILL}), inputs(**(changes | still))
    first, second = (weights("network", made(tuning(each))) for each in (one, other))
    assert first == second


def test_another_replicate_begins_elsewhere(inputs: Build) -> None:
    one, other = (
        weights("network", made(tuning(inputs(finetune={"lr": STILL}, replicate=each))))
        for each in (0, 1)
    )
    drawn = [name for name in one if name.endswith("weight") and one[name] != other[name]]
    assert "head.weight" in drawn
    assert "backbone.stem.0.weight" in drawn


@pytest.mark.parametrize("method", ["simclr", "barlow_twins", "byol"])
def test_pre_training_begins_with_the_backbone_of_a_trial_from_scratch(
    inputs: Build, method: str
) -> None:
    given = inputs(pretrain={"method": method, "lr": STILL}, finetune={"lr": STILL}, replicate=2)
    pretrained, scratch = made(pretraining(given)), made(tuning(given))
    assert weights("network.encoder", pretrained) == weights("network.backbone", scratch)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[list[int]], list[Tensor]]]:
    """For each fine-tuning since: the rows of its batches, and their images as they are seen."""
    runs: list[tuple[list[list[int]], list[Tensor]]] = []
    begin, batch = samples.Augment, finetune.Batch

    def augment(*settings: Any) -> Augment:
        runs.append(([], []))
        return begin(*settings)

    def seen(images: Tensor, labels: Tensor, rows: Tensor, random: torch.Generator) -> Any:
        runs[-1][0].append(rows.tolist())
        runs[-1][1].append(images)
        return batch(images, labels, rows, random)

    monkeypatch.setattr(samples, "Augment", augment)
    monkeypatch.setattr(finetune, "Batch", seen)
    return runs


def test_batches_and_views_are_the_same_for_every_rate_method_and_encoder(
    inputs: Build, drawn: list[tuple[list[list[int]], list[Tensor]]]
) -> None:
    for changes in (
        {}, {"noise": {"rate": 0.1}}, {"noise": {"model": "instance"}},
        {"finetune": {"method": "elr", "lr": 0.1}}, {"pretrain": {"method": "none"}},
    ):  # fmt: skip
        made(tuning(inputs(**changes)))
    (rows, images), *others = drawn
    assert [len(each) for each in rows] == [16, 16, 16]
    for other_rows, other_images in others:
        assert other_rows == rows
        assert torch.equal(torch.cat(other_images), torch.cat(images))


def test_folds_train_apart_from_the_trial_and_from_each_other(
    inputs: Build, drawn: list[tuple[list[list[int]], list[Tensor]]]
) -> None:
    """From other weights, in another order."""
    given = inputs(detect={"folds": 2}, finetune={"lr": STILL, "epochs": 2})
    key = finetune_key(given.config, given.data, None, 0)
    begun = [made(tuning(given))] + [made(fold_stage(given, None, key, fold)) for fold in (0, 1)]
    first = {tuple(map(tuple, rows)) for rows, _ in drawn}
    assert len(first) == 3
    assert len({str(weights("network.head", each)) for each in begun}) == 3


@pytest.fixture
def orders(monkeypatch: pytest.MonkeyPatch) -> list[list[list[int]]]:
    """The batches that each epoch asked for."""
    asked: list[list[list[int]]] = []
    batches = Feed.batches

    def asking(self: Feed, parts: Sequence[Tensor]) -> Iterator[Tensor]:
        asked.append([part.tolist() for part in parts])
        return batches(self, parts)

    monkeypatch.setattr(Feed, "batches", asking)
    return asked


def test_every_self_supervised_method_has_the_same_order(
    inputs: Build, orders: list[list[list[int]]]
) -> None:
    for method in ("simclr", "barlow_twins", "vicreg", "byol"):
        made(pretraining(inputs(pretrain={"method": method, "epochs": 1})))
    assert len(orders) == 4
    assert all(order == orders[0] for order in orders)


def test_leaving_the_last_batch_out_changes_no_other(
    inputs: Build, orders: list[list[list[int]]]
) -> None:
    for drop_last in (False, True):
        made(pretraining(inputs(pretrain={"drop_last": drop_last, "epochs": 1})))
    whole, without = orders
    assert [len(part) for part in whole] == [32, 28]
    assert without == whole[:1]


@pytest.mark.parametrize("fewer", [False, True])
def test_test_images_and_their_labels_change_no_training(inputs: Build, fewer: bool) -> None:
    """Other clean test labels, or fewer test images: the same losses and validation figures."""
    given = inputs()
    data, labels = given.data, given.labels
    if fewer:
        data = replace(data, x_test=data.x_test[:9], y_test=data.y_test[:9])
        labels = replace(labels, test=labels.test[:9])
    else:
        data = replace(data, y_test=9 - data.y_test)
    other = Inputs(given.config, data, labels)
    assert tuning(other).key != tuning(given).key
    one, another = (made(tuning(each)).record["points"][0]["values"] for each in (given, other))
    for name in ("train/loss", "val/loss", "val/accuracy", "detect/memorisation"):
        assert another[name] == one[name]


def test_with_a_shared_encoder_the_rest_is_the_replicates_own(inputs: Build) -> None:
    shared = inputs(pretrain_seed="shared", replicate=3)
    zeroth = inputs()
    encoders = [made(pretraining(each)).tensors for each in (shared, zeroth)]
    assert all(encoders[0][name].equal(encoders[1][name]) for name in encoders[0])
    assert shared.labels.fit.tolist() != zeroth.labels.fit.tolist()
    assert shared.labels.fit.tolist() == inputs(replicate=3).labels.fit.tolist()
