from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from noisetune.config import TrialConfig
from noisetune.records import MetricPoint
from noisetune.stages.base import Inputs, Stage
from noisetune.stages.pretrain import pretrain_key, pretrain_stage
from noisetune.stages.runner import run_stage
from noisetune.store import Artifact, NullStore, Store
from noisetune.training.augment import normalise
from noisetune.training.loop import DivergedError, strip

StageOf = Callable[..., Stage]
Drive = Callable[..., tuple[list[MetricPoint], Artifact]]
AssertSame = Callable[[Artifact, Artifact], None]


def staged(inputs: Inputs) -> Stage:
    """The pre-training of a trial, as the pipeline makes it."""
    method, key = inputs.config.pretrain, pretrain_key(inputs.config, inputs.data)
    return pretrain_stage(inputs, method, key, method.epochs)


@pytest.fixture
def stage_of(
    tiny_trial: Callable[..., TrialConfig], inputs_of: Callable[[TrialConfig], Inputs]
) -> StageOf:
    """The pre-training of the tiny trial with changes."""
    return lambda **changes: staged(inputs_of(tiny_trial(**changes)))


def with_epochs(changes: dict[str, Any], epochs: int) -> dict[str, Any]:
    return changes | {"pretrain": changes.get("pretrain", {}) | {"epochs": epochs}}


def test_from_scratch_there_is_none(
    tiny_trial: Callable[..., TrialConfig], inputs_of: Callable[[TrialConfig], Inputs]
) -> None:
    inputs = inputs_of(tiny_trial(pretrain={"method": "none"}))
    assert pretrain_key(inputs.config, inputs.data) is None


def test_it_tells_its_loss_after_each_epoch(stage_of: StageOf, drive: Drive) -> None:
    points, _ = drive(run_stage(stage_of(), NullStore()))
    assert [(point.stage, point.step) for point in points] == [("pretrain", 1), ("pretrain", 2)]
    assert all(np.isfinite(point.values["pretrain/loss"]) for point in points)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"pretrain": {"optimizer": "adamw"}},
        {"pretrain": {"optimizer": "sgd", "lr": 0.05}},
        {"pretrain": {"optimizer": "sgd", "lr": 0.05, "momentum": 0}},
        {"pretrain": {"warmup_epochs": 3}},
        {"pretrain": {"optimizer": "lars", "lr": 0.5}},
        {"pretrain": {"decay": "weights", "clip_norm": 0.1}},
        {"runtime": {"precision": "bf16", "channels_last": True}},
    ],
    ids=str,
)
def test_two_epochs_and_two_more_are_four_bit_for_bit(
    stage_of: StageOf, drive: Drive, assert_same: AssertSame, store: Store, changes: dict[str, Any]
) -> None:
    two, four = (stage_of(**with_epochs(changes, epochs)) for epochs in (2, 4))
    first, _ = drive(run_stage(two, store))
    points, continued = drive(run_stage(four, store))
    _, uninterrupted = drive(run_stage(four, NullStore()))
    assert points[:2] == first
    assert store.steps(four.key) == [2, 4]
    assert_same(continued, uninterrupted)


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_epochs_are_in_the_key_only_where_the_schedule_looks_ahead(
    stage_of: StageOf, schedule: str
) -> None:
    short, long = (
        stage_of(pretrain={"schedule": schedule, "warmup_epochs": 1, "epochs": epochs})
        for epochs in (2, 4)
    )
    assert (short.key == long.key) == (schedule == "constant")


@pytest.mark.parametrize(
    "changes",
    [
        {"noise": {"rate": 0.6}},
        {"noise": {"model": "none"}},
        {"data": {"validation_fraction": 0.4}},
        {"data": {"test_samples": 10}},
        {"finetune": {"lr": 0.5, "epochs": 9, "augment": {"flip": 0.5}}},
        {"detect": {"filter_by": "both", "checkpoint": "last"}},
        {"runtime": {"threads": 3}},
        {"pretrain": {"stop": {"patience": 2}}},
        {"pretrain_seed": "shared"},
    ],
    ids=str,
)
def test_what_it_does_not_read_is_not_in_the_key(
    stage_of: StageOf, changes: dict[str, Any]
) -> None:
    assert stage_of(**changes).key == stage_of().key


@pytest.mark.parametrize(
    "changes",
    [
        {"data": {"train_samples": 59}},
        {"model": {"width": 5}},
        {"pretrain": {"method": "barlow_twins"}},
        {"pretrain": {"temperature": 0.3}},
        {"pretrain": {"lr": 0.01}},
        {"pretrain": {"optimizer": "lars"}},
        {"pretrain": {"decay": "weights"}},
        {"pretrain": {"clip_norm": 1.0}},
        {"pretrain": {"batch_size": 30}},
        {"pretrain": {"drop_last": True}},
        {"pretrain": {"projection": 9}},
        {"pretrain": {"augment": {"flip": 0.5}}},
        {"runtime": {"precision": "bf16"}},
        {"replicate": 1},
    ],
    ids=str,
)
def test_what_it_reads_is_in_the_key(stage_of: StageOf, changes: dict[str, Any]) -> None:
    assert stage_of(**changes).key != stage_of().key


def test_the_data_sets_own_augmentation_is_the_same_when_spelled_out(
    stage_of: StageOf, inputs_of: Callable[..., Inputs], tiny_trial: Callable[..., TrialConfig]
) -> None:
    own = inputs_of(tiny_trial()).data.ssl_augment.model_dump(mode="json")
    assert stage_of(pretrain={"augment": own}).key == stage_of().key


def test_a_shared_encoder_is_that_of_replicate_0(stage_of: StageOf) -> None:
    assert stage_of(pretrain_seed="shared", replicate=3).key == stage_of(replicate=0).key


def test_no_label_and_no_test_image_changes_key_or_result(
    tiny_trial: Callable[..., TrialConfig],
    inputs_of: Callable[..., Inputs],
    drive: Drive,
    assert_same: AssertSame,
) -> None:
    inputs = inputs_of(tiny_trial())
    data, labels = inputs.data, inputs.labels
    other = replace(
        inputs,
        data=replace(
            data, y_train=9 - data.y_train, x_test=255 - data.x_test, y_test=data.y_test[:5]
        ),
        labels=replace(labels, train=9 - labels.train, test=labels.test[:5], fit=labels.validation),
    )
    one, another = staged(inputs), staged(other)
    assert one.key == another.key
    assert_same(*(drive(run_stage(stage, NullStore()))[1] for stage in (one, another)))


def test_the_global_random_state_changes_nothing_and_is_not_changed(
    stage_of: StageOf, drive: Drive, assert_same: AssertSame
) -> None:
    made = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        state = torch.get_rng_state()
        made.append(drive(run_stage(stage_of(), NullStore()))[1])
        assert torch.equal(torch.get_rng_state(), state)
    assert_same(*made)


def test_every_epoch_draws_anew(stage_of: StageOf, drive: Drive) -> None:
    """With a rate too small to move a weight, the views alone can change the loss."""
    points, _ = drive(run_stage(stage_of(pretrain={"lr": 1e-30}), NullStore()))
    assert points[0].values != points[1].values


@pytest.mark.parametrize(
    ("batch_size", "batches", "without_last"),
    [(32, 2, 1), (25, 3, 2), (20, 3, 3), (59, 2, 1), (1000, 1, 1)],
)
def test_a_last_smaller_batch_is_trained_on_or_left_out(
    stage_of: StageOf, drive: Drive, batch_size: int, batches: int, without_last: int
) -> None:
    """Of 60 images; Adam counts its steps."""
    for drop_last, expected in ((False, batches), (True, without_last)):
        stage = stage_of(pretrain={"batch_size": batch_size, "drop_last": drop_last})
        _, made = drive(run_stage(stage, NullStore()))
        assert made.tensors["optimizer.0.step"].item() == 2 * expected


@pytest.mark.parametrize("method", ["simclr", "barlow_twins", "vicreg", "byol"])
def test_a_last_batch_of_two_images_is_trained_on(
    stage_of: StageOf, drive: Drive, method: str
) -> None:
    stage = stage_of(pretrain={"method": method, "batch_size": 29})
    points, _ = drive(run_stage(stage, NullStore()))
    assert all(np.isfinite(point.values["pretrain/loss"]) for point in points)


def test_it_diverges_by_name(stage_of: StageOf, drive: Drive, store: Store) -> None:
    stage = stage_of(pretrain={"lr": 1e30})
    with pytest.raises(DivergedError, match=r"the loss of epoch 1 is"):
        drive(run_stage(stage, store))
    assert store.steps(stage.key) == []


@pytest.mark.parametrize("normalised", [True, False])
def test_features_are_of_images_in_the_scale_of_the_views(
    tiny_trial: Callable[..., TrialConfig],
    inputs_of: Callable[[TrialConfig], Inputs],
    drive: Drive,
    normalised: bool,
) -> None:
    """Computed again, from the stored encoder."""
    inputs = inputs_of(tiny_trial(pretrain={"augment": {"normalise": normalised}}))
    data, key = inputs.data, pretrain_key(inputs.config, inputs.data)
    stage = pretrain_stage(inputs, inputs.config.pretrain, key, 1)
    _, made = drive(run_stage(stage, NullStore()))
    encoder = inputs.config.model.build(data.channels, data.size).eval()
    encoder.load_state_dict(strip("network.encoder", made.tensors))
    moments = (data.mean, data.std) if normalised else (None, None)
    with torch.no_grad():
        expected = encoder(normalise(data.x_train, *moments)).half()
    torch.testing.assert_close(made.tensors["features"], expected)
