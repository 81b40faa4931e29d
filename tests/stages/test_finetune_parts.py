"""Fine-tuning of the head alone, and of the head first; and with the pre-training's views."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from noisetune.config import TrialConfig
from noisetune.data.base import ImageData
from noisetune.finetuning.cross_entropy import Config as FinetuneConfig
from noisetune.models.base import Classifier
from noisetune.stages import runner
from noisetune.stages.base import Checkpoint, Inputs, Stage
from noisetune.stages.finetune import finetune_key, finetune_stage
from noisetune.stages.runner import run_stage
from noisetune.store import Artifact, NullStore, Store
from noisetune.training.loop import strip

Build = Callable[..., Inputs]
OPTIMIZERS = [
    {"optimizer": "adam"},
    {"optimizer": "adamw", "weight_decay": 0.1},
    {"optimizer": "sgd", "lr": 0.05, "weight_decay": 0.1},
    {"schedule": "cosine", "warmup_epochs": 1},
    {"optimizer": "adamw", "decay": "weights", "clip_norm": 0.5, "layer_decay": 0.6},
]
LARS = {"optimizer": "lars", "lr": 0.5}


@pytest.fixture
def inputs(
    tiny_trial: Callable[..., TrialConfig], inputs_of: Callable[[TrialConfig], Inputs]
) -> Build:
    """What the stages of the tiny trial read, with changes to its fine-tuning."""
    return lambda **changes: inputs_of(tiny_trial(finetune=changes))


def encoder_of(inputs: Inputs) -> Artifact:
    """Weights and running statistics that no initialisation has."""
    state = inputs.config.model.build(inputs.data.channels, inputs.data.size).state_dict()
    random = torch.Generator().manual_seed(1)
    floats = {
        name: torch.rand(tensor.shape, generator=random) + 0.5 if "running" in name else tensor
        for name, tensor in state.items()
    }
    return Artifact({f"network.encoder.{name}": tensor for name, tensor in floats.items()})


def staged(inputs: Inputs, encoder: Artifact | None = None) -> Stage:
    return finetune_stage(inputs, encoder, finetune_key(inputs.config, inputs.data, None, 0))


def checkpoints(stage: Stage) -> dict[int, dict[str, Tensor]]:
    """The tensors after each epoch."""
    events = stage.compute(None, lambda step: True)
    return {each.step: each.artifact.tensors for each in events if isinstance(each, Checkpoint)}


def changed(before: dict[str, Tensor], after: dict[str, Tensor]) -> set[str]:
    return {name for name in before if not before[name].equal(after[name])}


@pytest.mark.parametrize("optimisation", OPTIMIZERS, ids=str)
def test_a_frozen_backbone_keeps_every_bit(inputs: Build, optimisation: dict[str, Any]) -> None:
    """Its running statistics and counters, too; the head does learn."""
    given = inputs(train="head", epochs=3, **optimisation)
    encoder = encoder_of(given)
    made = checkpoints(staged(given, encoder))
    expected = strip("network.encoder", encoder.tensors)
    for prefix, epoch in (("network", 1), ("network", 2), ("selected", 3)):
        assert changed(expected, strip(f"{prefix}.backbone", made[epoch])) == set()
    heads = [strip("network.head", made[epoch]) for epoch in (1, 2)]
    assert changed(*heads) == {"weight", "bias"}


def test_the_backbone_joins_in_after_the_probe(inputs: Build) -> None:
    given = inputs(train="probe_then_tune", probe_epochs=2, epochs=4)
    encoder = encoder_of(given)
    made = checkpoints(staged(given, encoder))
    expected = strip("network.encoder", encoder.tensors)
    after = {epoch: strip("network.backbone", made[epoch]) for epoch in (1, 2, 3)}
    assert changed(expected, after[1]) == changed(expected, after[2]) == set()
    assert changed(expected, after[3]) == expected.keys()


def test_the_probe_is_the_head_training(inputs: Build) -> None:
    """Its first epochs are those of `train: head`, and then it goes another way."""
    head, probe = (
        checkpoints(staged(inputs(train=train, probe_epochs=2, epochs=4)))
        for train in ("head", "probe_then_tune")
    )
    for epoch in (1, 2, 3):
        networks = [strip("network", made[epoch]) for made in (head, probe)]
        assert (changed(*networks) == set()) == (epoch <= 2)


@pytest.mark.parametrize("train", ["head", "probe_then_tune"])
def test_the_optimiser_holds_nothing_of_a_frozen_backbone(inputs: Build, train: str) -> None:
    """And of both once it has joined in: the head's moments are then two epochs older."""
    made = checkpoints(staged(inputs(train=train, probe_epochs=2, epochs=4)))
    steps = [
        sorted({float(x) for name, x in tensors.items() if name.endswith(".step")})
        for tensors in (made[2], made[3])
    ]
    batches = steps[0][0] / 2
    expected = [3 * batches] if train == "head" else [batches, 3 * batches]
    assert steps == [[2 * batches], expected]


def test_the_backbone_has_no_gradients_to_pay_for(
    inputs: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What comes out of it hangs on no graph, and it is in evaluation mode, while frozen."""
    seen: list[tuple[bool, bool]] = []
    forward = Classifier.forward

    def looking(self: Classifier, images: Tensor) -> Tensor:
        if torch.is_grad_enabled():
            assert self.head.training
            seen.append((self.backbone(images).requires_grad, self.backbone.training))
        return forward(self, images)

    monkeypatch.setattr(Classifier, "forward", looking)
    checkpoints(staged(inputs(train="probe_then_tune", probe_epochs=1, epochs=2)))
    half = len(seen) // 2
    assert seen == [(False, False)] * half + [(True, True)] * half


@pytest.mark.parametrize("optimisation", [*OPTIMIZERS, LARS], ids=str)
@pytest.mark.parametrize("stopped_after", [1, 2, 3])
def test_resumed_on_either_side_of_the_switch_it_equals_an_uninterrupted_one(
    inputs: Build,
    drive: Callable[..., Any],
    assert_same: Callable[[Artifact, Artifact], None],
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    optimisation: dict[str, Any],
    stopped_after: int,
) -> None:
    """The probe has two epochs of four."""
    monkeypatch.setattr(runner, "CHECKPOINT_SECONDS", -1.0)
    stage = staged(inputs(train="probe_then_tune", probe_epochs=2, epochs=4, **optimisation))
    stopped = run_stage(stage, store)
    for _ in range(stopped_after + 1):
        next(stopped)
    stopped.close()
    assert store.steps(stage.key) == [stopped_after]
    _, resumed = drive(run_stage(stage, store))
    _, uninterrupted = drive(run_stage(stage, NullStore()))
    assert_same(resumed, uninterrupted)


def test_how_it_trains_is_in_the_key(inputs: Build) -> None:
    ways = [
        {},
        {"train": "head"},
        {"train": "probe_then_tune", "probe_epochs": 1},
        {"train": "probe_then_tune", "probe_epochs": 2},
    ]
    assert len({staged(inputs(epochs=4, **way)).key for way in ways}) == 4


@pytest.mark.parametrize("train", ["all", "head"])
def test_a_probe_that_is_not_made_is_not_in_the_key(inputs: Build, train: str) -> None:
    assert staged(inputs(train=train, probe_epochs=3)).key == staged(inputs(train=train)).key


@pytest.mark.parametrize("probe_epochs", [4, 9])
def test_a_probe_leaves_an_epoch_to_tune(probe_epochs: int) -> None:
    with pytest.raises(ValidationError, match=rf"probe_epochs: {probe_epochs}: must be fewer"):
        FinetuneConfig(train="probe_then_tune", probe_epochs=probe_epochs, epochs=4)


def views(data: ImageData) -> dict[str, Any]:
    return data.ssl_augment.model_dump(mode="json")


def test_ssl_is_the_augmentation_of_the_pretraining(inputs: Build) -> None:
    plain = inputs()
    same, other = inputs(augment=views(plain.data)), inputs(augment="ssl")
    assert staged(other).key == staged(same).key != staged(plain).key


def test_it_trains_on_one_view_of_the_pretrainings(
    inputs: Build, drive: Callable[..., Any], assert_same: Callable[[Artifact, Artifact], None]
) -> None:
    named, written = inputs(augment="ssl"), inputs(augment=views(inputs().data))
    made = [drive(run_stage(staged(each), NullStore()))[1] for each in (named, written)]
    assert_same(*made)
