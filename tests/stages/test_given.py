"""Trials that are given an encoder: what they are known by, and what they begin with."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor

from noisetune.config import TrialConfig
from noisetune.errors import UserError
from noisetune.models._resnet import STEM
from noisetune.models.resnet18 import Config as ResNet18
from noisetune.pipeline import run_trial
from noisetune.records import MetricPoint
from noisetune.stages.base import Inputs
from noisetune.stages.finetune import finetune_key
from noisetune.stages.given import given_encoder
from noisetune.store import NullStore, StageKey, Store
from noisetune.training.loop import strip

TinyTrial = Callable[..., TrialConfig]
Trial = Callable[..., TrialConfig]


def own_weights(seed: int = 0) -> dict[str, Tensor]:
    torch.manual_seed(seed)
    return ResNet18(width=4).build(1, (8, 8)).state_dict()


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    torch.save(own_weights(), tmp_path / "encoder.pth")
    return tmp_path / "encoder.pth"


@pytest.fixture
def from_file(tiny_trial: TinyTrial, checkpoint: Path) -> Trial:
    """The tiny trial on a checkpoint."""

    def build(path: Path = checkpoint, **changes: Any) -> TrialConfig:
        return tiny_trial(pretrain={"method": "checkpoint", "path": str(path)}, **changes)

    return build


@pytest.fixture
def from_imagenet(tiny_trial: TinyTrial, imagenet_file: Path) -> Trial:
    """A trial on few images with the network that has ImageNet's weights."""

    def build(stem: str = "adapted", **changes: Any) -> TrialConfig:
        given = {"method": "imagenet", "path": str(imagenet_file), "stem": stem}
        few = {"train_samples": 20, "test_samples": 12}
        return tiny_trial(pretrain=given, model={"width": 64}, data=few, **changes)

    return build


def key(config: TrialConfig, store: Any = None) -> StageKey:
    given = given_encoder(config, config.data.load(), store or NullStore())
    assert given is not None
    return given[0]


@pytest.mark.parametrize("method", ["none", "simclr"])
def test_who_computes_an_encoder_or_has_none_is_given_none(
    tiny_trial: TinyTrial, method: str
) -> None:
    config = tiny_trial(pretrain={"method": method})
    assert given_encoder(config, config.data.load(), NullStore()) is None


def test_the_key_is_of_the_content_and_not_of_the_place(
    from_file: Trial, checkpoint: Path, tmp_path: Path
) -> None:
    copy, other = shutil.copy(checkpoint, tmp_path / "copy.pth"), tmp_path / "other.safetensors"
    safetensors.torch.save_file(own_weights(), other)
    keys = {key(from_file(Path(path))) for path in (checkpoint, copy, other)}
    assert len(keys) == 1
    torch.save(own_weights(seed=1), checkpoint)
    assert key(from_file()) not in keys


def test_the_stem_is_in_the_key(from_imagenet: Trial) -> None:
    assert key(from_imagenet("adapted")) != key(from_imagenet("random"))


def test_another_encoder_is_another_finetuning(
    from_file: Trial, checkpoint: Path, inputs_of: Callable[[TrialConfig], Inputs]
) -> None:
    inputs = inputs_of(from_file())

    def tuning() -> StageKey:
        return finetune_key(inputs.config, inputs.data, key(inputs.config), 0)

    before = tuning()
    assert tuning() == before
    torch.save(own_weights(seed=1), checkpoint)
    assert tuning() != before


def test_it_is_what_finetuning_starts_from(
    from_file: Trial, store: Store, drive: Callable[..., Any]
) -> None:
    """A frozen backbone still has it at the end, bit for bit."""
    drive(run_trial(from_file(finetune={"train": "head"}), store))
    (tuned,) = (each for each in store.list() if each.stage == "finetune")
    made = store.load(StageKey("finetune", tuned.version, tuned.inputs), tuned.step)
    assert made is not None
    weights = strip("selected.backbone", made.tensors)
    assert all(tensor.equal(weights[name]) for name, tensor in own_weights().items())


def test_a_random_stem_is_drawn_for_each_replicate_and_all_else_is_given(
    from_imagenet: Trial, store: Store, drive: Callable[..., Any]
) -> None:
    begun = []
    for replicate in (0, 1):
        frozen = {"train": "head", "epochs": 1}
        drive(run_trial(from_imagenet("random", finetune=frozen, replicate=replicate), store))
    for tuned in store.list():
        if tuned.stage == "finetune":
            made = store.load(StageKey("finetune", tuned.version, tuned.inputs), tuned.step)
            assert made is not None
            begun.append(strip("selected.backbone", made.tensors))
    assert len(begun) == 2
    differing = {name for name in begun[0] if not begun[0][name].equal(begun[1][name])}
    assert differing == {STEM}


@pytest.mark.parametrize("stem", ["adapted", "random"])
def test_a_run_repeats_bit_for_bit_without_pretraining_and_gate(
    from_imagenet: Trial, drive: Callable[..., Any], stem: str
) -> None:
    config = from_imagenet(stem, finetune={"epochs": 1})
    runs = [drive(run_trial(config, NullStore())) for _ in range(2)]
    told = [
        [
            (event.stage, event.step, event.values)
            for event in events
            if isinstance(event, MetricPoint)
        ]
        for events, _ in runs
    ]
    assert told[0] == told[1]
    assert [(stage, step) for stage, step, _ in told[0]] == [("finetune", 1), ("detect", 0)]


def test_a_stage_of_the_store_gives_what_its_own_pretraining_does(
    tiny_trial: TinyTrial, store: Store, drive: Callable[..., Any]
) -> None:
    drive(run_trial(tiny_trial(), store))
    (made,) = (each for each in store.list() if each.stage == "pretrain")
    given = tiny_trial(pretrain={"method": "checkpoint", "stage": made.digest[:8]})
    artifact = store.load(StageKey("pretrain", made.version, made.inputs), made.step)
    found = given_encoder(given, given.data.load(), store)
    assert artifact is not None
    assert found is not None
    expected = strip("network.encoder", artifact.tensors)
    weights = strip("network.encoder", found[1].tensors)
    assert weights.keys() == expected.keys()
    assert all(weights[name].equal(expected[name]) for name in expected)


def test_a_missing_file_is_refused_before_anything_is_computed(
    from_file: Trial, store: Store, drive: Callable[..., Any], tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=r"pretrain.path: .*none.pth does not exist"):
        drive(run_trial(from_file(tmp_path / "none.pth"), store))
    assert list(store.list()) == []
