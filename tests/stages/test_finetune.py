from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from noisetune.config import TrialConfig
from noisetune.models.base import Classifier
from noisetune.records import MetricPoint
from noisetune.selection import best_epoch
from noisetune.stages import runner
from noisetune.stages.base import Inputs, Stage
from noisetune.stages.finetune import finetune_key, finetune_stage
from noisetune.stages.pretrain import pretrain_key, pretrain_stage
from noisetune.stages.runner import run_stage
from noisetune.store import Artifact, NullStore, Store
from noisetune.training.augment import normalise
from noisetune.training.loop import DivergedError, strip

TinyTrial = Callable[..., TrialConfig]
InputsOf = Callable[[TrialConfig], Inputs]
Drive = Callable[..., tuple[list[MetricPoint], Artifact]]
AssertSame = Callable[[Artifact, Artifact], None]
METRICS = {
    "train/loss", "val/loss", "val/accuracy", "test/loss", "test/accuracy", "detect/memorisation",
    "train/changed_predictions",
}  # fmt: skip


def staged(inputs: Inputs) -> Stage:
    """The fine-tuning of a trial, from scratch."""
    return finetune_stage(inputs, None, finetune_key(inputs.config, inputs.data, None, 0))


@pytest.fixture
def stage_of(tiny_trial: TinyTrial, inputs_of: InputsOf) -> Callable[..., Stage]:
    """The fine-tuning of the tiny trial, from scratch, with changes."""
    return lambda **changes: staged(inputs_of(tiny_trial(**changes)))


def test_each_epoch_tells_every_metric(stage_of: Callable[..., Stage], drive: Drive) -> None:
    points, _ = drive(run_stage(stage_of(), NullStore()))
    assert [(point.stage, point.step) for point in points] == [("finetune", 1), ("finetune", 2)]
    assert all(point.values.keys() == METRICS for point in points)


@pytest.mark.parametrize("rate", [0.0, 0.4, 1.0])
def test_the_selected_network_has_the_metrics_of_the_best_epoch(
    tiny_trial: TinyTrial, inputs_of: InputsOf, drive: Drive, rate: float
) -> None:
    """Computed again, from its weights: on clean test, noisy validation and corrupted labels."""
    inputs = inputs_of(tiny_trial(noise={"rate": rate}, finetune={"epochs": 4, "lr": 0.02}))
    points, made = drive(run_stage(staged(inputs), NullStore()))
    data, labels = inputs.data, inputs.labels
    network = Classifier(inputs.config.model.build(data.channels, data.size), data.classes).eval()
    network.load_state_dict(strip("selected", made.tensors))
    with torch.no_grad():
        train, test = (
            network(normalise(x, data.mean, data.std)) for x in (data.x_train, data.x_test)
        )
    noisy, held_out = torch.from_numpy(labels.train), labels.validation
    wrong = labels.fit[(noisy != data.y_train).numpy()[labels.fit]]
    memorised = train[wrong].argmax(1) == noisy[wrong]
    best = best_epoch(points, "val/accuracy").values
    torch.testing.assert_close(test, made.tensors["logits.selected"])
    assert best["test/accuracy"] == (test.argmax(1) == data.y_test).double().mean()
    assert best["test/loss"] == pytest.approx(F.cross_entropy(test, data.y_test).item(), rel=1e-5)
    assert best["val/accuracy"] == (train.argmax(1) == noisy)[held_out].double().mean()
    loss = F.cross_entropy(train[held_out], noisy[held_out]).item()
    assert best["val/loss"] == pytest.approx(loss, rel=1e-5)
    assert best["detect/memorisation"] == (memorised.double().mean() if len(wrong) else None)


def test_the_last_logits_are_those_of_the_last_epoch(
    tiny_trial: TinyTrial, inputs_of: InputsOf, drive: Drive
) -> None:
    inputs = inputs_of(tiny_trial(finetune={"epochs": 3}))
    points, made = drive(run_stage(staged(inputs), NullStore()))
    loss = F.cross_entropy(made.tensors["logits.last"], inputs.data.y_test).item()
    assert points[-1].values["test/loss"] == pytest.approx(loss)


def test_there_is_nothing_to_memorise_without_noise(
    stage_of: Callable[..., Stage], drive: Drive
) -> None:
    points, _ = drive(run_stage(stage_of(noise={"model": "none"}), NullStore()))
    assert [point.values["detect/memorisation"] for point in points] == [None, None]


def test_a_validation_label_is_never_trained_on(
    tiny_trial: TinyTrial, inputs_of: InputsOf, drive: Drive
) -> None:
    inputs = inputs_of(tiny_trial())
    changed = inputs.labels.train.copy()
    changed[inputs.labels.validation] = 9 - changed[inputs.labels.validation]
    other = replace(inputs, labels=replace(inputs.labels, train=changed))
    runs = [drive(run_stage(staged(x), NullStore()))[0] for x in (inputs, other)]
    for name in METRICS - {"val/loss", "val/accuracy"}:
        assert [p.values[name] for p in runs[0]] == [p.values[name] for p in runs[1]]


def test_every_epoch_draws_anew(stage_of: Callable[..., Stage], drive: Drive) -> None:
    """With a rate too small to move a weight, the views alone can change the training loss."""
    points, _ = drive(run_stage(stage_of(finetune={"lr": 1e-30}), NullStore()))
    assert points[0].values["train/loss"] != points[1].values["train/loss"]


def test_it_starts_from_the_encoder(
    tiny_trial: TinyTrial, inputs_of: InputsOf, drive: Drive
) -> None:
    """With a rate too small to move a weight, the backbone is still the encoder."""
    inputs = inputs_of(tiny_trial(finetune={"lr": 1e-30, "epochs": 1}))
    key = pretrain_key(inputs.config, inputs.data)
    pretraining = pretrain_stage(inputs, inputs.config.pretrain, key, 2)
    _, encoder = drive(run_stage(pretraining, NullStore()))
    tuning = finetune_key(inputs.config, inputs.data, key, 2)
    _, network = drive(run_stage(finetune_stage(inputs, encoder, tuning), NullStore()))
    weights = strip("selected.backbone", network.tensors)
    for name, tensor in strip("network.encoder", encoder.tensors).items():
        if "running_" not in name and "num_batches" not in name:
            assert torch.equal(weights[name], tensor)


@pytest.mark.parametrize(
    "finetune",
    [
        {"optimizer": "adam"},
        {"optimizer": "adamw"},
        {"optimizer": "sgd", "lr": 0.05},
        {"warmup_epochs": 3},
        {"schedule": "cosine"},
    ],
    ids=str,
)
def test_resumed_it_equals_an_uninterrupted_one(
    stage_of: Callable[..., Stage],
    drive: Drive,
    assert_same: AssertSame,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    finetune: dict[str, Any],
) -> None:
    """Stopped after its third epoch, whose point was seen and whose checkpoint was not written."""
    monkeypatch.setattr(runner, "CHECKPOINT_SECONDS", -1.0)
    stage = stage_of(finetune={"epochs": 4, **finetune})
    stopped = run_stage(stage, store)
    seen = [next(stopped) for _ in range(3)]
    stopped.close()
    assert store.steps(stage.key) == [2]
    points, resumed = drive(run_stage(stage, store))
    _, uninterrupted = drive(run_stage(stage, NullStore()))
    assert points[:2] == seen[:2]
    assert_same(resumed, uninterrupted)


@pytest.mark.parametrize(
    "changes",
    [
        {"noise": {"rate": 0.5}},
        {"data": {"validation_fraction": 0.3}},
        {"data": {"test_samples": 29}},
        {"finetune": {"method": "elr"}},
        {"model": {"width": 5}},
        {"finetune": {"lr": 0.01}},
        {"finetune": {"decay": "weights"}},
        {"finetune": {"clip_norm": 1.0}},
        {"finetune": {"layer_decay": 0.7}},
        {"finetune": {"epochs": 3}},
        {"finetune": {"augment": {"flip": 0.5}}},
        {"runtime": {"precision": "bf16"}},
        {"replicate": 1},
    ],
    ids=str,
)
def test_what_it_reads_is_in_the_key(
    stage_of: Callable[..., Stage], changes: dict[str, Any]
) -> None:
    assert stage_of(**changes).key != stage_of().key


@pytest.mark.parametrize(
    "changes", [{"detect": {"filter_by": "both"}}, {"runtime": {"threads": 3}}], ids=str
)
def test_what_it_does_not_read_is_not_in_the_key(
    stage_of: Callable[..., Stage], changes: dict[str, Any]
) -> None:
    assert stage_of(**changes).key == stage_of().key


def test_the_encoders_epochs_are_in_the_key(tiny_trial: TinyTrial, inputs_of: InputsOf) -> None:
    """Its own key holds them only under cosine."""
    inputs = inputs_of(tiny_trial())
    origin = pretrain_key(inputs.config, inputs.data)
    keys = {finetune_key(inputs.config, inputs.data, origin, epochs) for epochs in (2, 4)}
    assert len(keys) == 2


@pytest.mark.parametrize("count", [*range(4, 28), 41])
def test_any_number_of_images_can_be_trained_on(
    stage_of: Callable[..., Stage], drive: Drive, count: int
) -> None:
    """A batch of a single image could not be normalised where the features are 1x1."""
    changes = {"data": {"train_samples": count}, "finetune": {"batch_size": 3, "epochs": 1}}
    points, _ = drive(run_stage(stage_of(**changes), NullStore()))
    assert len(points) == 1


@pytest.mark.parametrize("finetune", [{"batch_size": 60}, {"batch_size": 4}], ids=str)
def test_it_diverges_by_name(
    stage_of: Callable[..., Stage], drive: Drive, store: Store, finetune: dict[str, Any]
) -> None:
    """Also where only the last step of the last epoch breaks the network."""
    stage = stage_of(finetune={"lr": 1e30, "epochs": 1, **finetune})
    with pytest.raises(DivergedError, match="of epoch 1 is"):
        drive(run_stage(stage, store))
    assert store.steps(stage.key) == []
