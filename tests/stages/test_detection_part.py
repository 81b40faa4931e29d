"""Fine-tuning and detection where the noise has no test labels, and where nothing is held out."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from noisetune.config import TrialConfig
from noisetune.detectors.base import Evidence
from noisetune.detectors.confident_learning import Config
from noisetune.models.base import Classifier
from noisetune.records import MetricPoint
from noisetune.stages.base import Inputs
from noisetune.stages.detect import detect_key, detect_stage
from noisetune.stages.finetune import finetune_key, finetune_stage
from noisetune.stages.runner import run_stage
from noisetune.stages.scores import detection_scores
from noisetune.store import Artifact, NullStore
from noisetune.training.augment import normalise
from noisetune.training.loop import strip

Drive = Callable[..., tuple[list[MetricPoint], Artifact]]
MakeInputs = Callable[..., Inputs]


@pytest.fixture
def by_people(
    tmp_path: Path,
    tiny_trial: Callable[..., TrialConfig],
    inputs_of: Callable[[TrialConfig], Inputs],
) -> MakeInputs:
    """60 digits whose noisy labels come from a file: every fourth one is wrong."""
    clean = tiny_trial().data.load().y_train.numpy()
    noisy = np.where(np.arange(60) % 4 == 0, (clean + 1) % 10, clean)
    np.savez(tmp_path / "human.npz", clean=clean, worse=noisy)
    noise = {"model": "human", "labels": "worse", "path": tmp_path / "human.npz"}
    return lambda **changes: inputs_of(tiny_trial(**{"noise": noise, **changes}))


def tuned(drive: Drive, inputs: Inputs) -> tuple[list[MetricPoint], Artifact]:
    key = finetune_key(inputs.config, inputs.data, None, 0)
    return drive(run_stage(finetune_stage(inputs, None, key), NullStore()))


@pytest.mark.parametrize("normalised", [True, False])
def test_the_logits_are_those_of_the_held_out_training_images(
    by_people: MakeInputs, drive: Drive, normalised: bool
) -> None:
    """Computed again, from the selected weights; clean test accuracy is of the test set."""
    inputs = by_people(finetune={"epochs": 1, "augment": {"normalise": normalised}})
    points, made = tuned(drive, inputs)
    data, labels = inputs.data, inputs.labels
    network = Classifier(inputs.config.model.build(data.channels, data.size), data.classes).eval()
    network.load_state_dict(strip("selected", made.tensors))
    moments = (data.mean, data.std) if normalised else (None, None)
    with torch.no_grad():
        held_out = network(normalise(data.x_train[labels.detection], *moments))
        test = network(normalise(data.x_test, *moments))
    assert len(labels.detection) == 6
    for name in ("logits.selected", "logits.last"):
        torch.testing.assert_close(made.tensors[name], held_out)
    assert points[0].values["test/accuracy"] == (test.argmax(1) == data.y_test).double().mean()


def test_neither_held_out_part_is_trained_on(by_people: MakeInputs, drive: Drive) -> None:
    inputs = by_people()
    labels, changed = inputs.labels, inputs.labels.train.copy()
    for part in (labels.validation, labels.detection):
        changed[part] = 9 - changed[part]
    other = replace(inputs, labels=replace(labels, train=changed))
    runs = [tuned(drive, each)[0] for each in (inputs, other)]
    for name in ("train/loss", "test/loss", "test/accuracy"):
        assert [p.values[name] for p in runs[0]] == [p.values[name] for p in runs[1]]


def test_detection_is_scored_on_the_held_out_part(by_people: MakeInputs, drive: Drive) -> None:
    inputs = by_people(data={"detection_fraction": 0.4})
    _, network = tuned(drive, inputs)
    key = detect_key(inputs.config, finetune_key(inputs.config, inputs.data, None, 0))
    _, made = drive(run_stage(detect_stage(inputs, network, key), NullStore()))
    rows = inputs.labels.detection
    given, true = inputs.labels.train[rows], inputs.data.y_train.numpy()[rows]
    probabilities = torch.softmax(network.tensors["logits.selected"].double(), 1).numpy()
    judgement = Config().judge(Evidence(given, probabilities))
    expected = detection_scores(given, true, judgement)
    assert made.record["scores"].items() >= expected.items()
    assert made.record["scores"]["error_rate"] == (given != true).mean() > 0


@pytest.mark.parametrize("people", [True, False])
def test_with_nothing_held_out_the_detection_part_selects(
    by_people: MakeInputs,
    tiny_trial: Callable[..., TrialConfig],
    inputs_of: Callable[[TrialConfig], Inputs],
    drive: Drive,
    people: bool,
) -> None:
    changes: dict[str, Any] = {"data": {"validation_fraction": 0}}
    inputs = by_people(**changes) if people else inputs_of(tiny_trial(**changes))
    points, made = tuned(drive, inputs)
    noisy = torch.from_numpy(inputs.labels.detected.noisy)
    logits, last = made.tensors["logits.last"], points[-1].values
    assert last["val/accuracy"] == (logits.argmax(1) == noisy).double().mean()
    assert last["val/loss"] == pytest.approx(F.cross_entropy(logits, noisy).item())


def key_of(config: TrialConfig) -> object:
    return finetune_key(config, config.data.load(), None, 0)


def test_the_detection_fraction_is_in_the_key_where_it_counts(
    by_people: MakeInputs, tiny_trial: Callable[..., TrialConfig]
) -> None:
    more = {"data": {"detection_fraction": 0.3}}
    assert key_of(tiny_trial(**more)) == key_of(tiny_trial())
    assert key_of(by_people(**more).config) != key_of(by_people().config)


def test_the_test_seed_is_in_the_key_where_test_labels_select(
    tiny_trial: Callable[..., TrialConfig],
) -> None:
    seed, nothing = {"detect": {"test_seed": "training"}}, {"data": {"validation_fraction": 0}}
    assert key_of(tiny_trial(**seed)) == key_of(tiny_trial())
    assert key_of(tiny_trial(**seed, **nothing)) != key_of(tiny_trial(**nothing))


def test_a_file_is_in_the_key_by_its_labels(by_people: MakeInputs) -> None:
    config = by_people().config
    before = key_of(config)
    with np.load(config.noise.path) as arrays:
        held = dict(arrays)
    np.savez(config.noise.path, clean=held["clean"], worse=held["worse"], more=held["worse"])
    assert key_of(config) == before
    np.savez(config.noise.path, clean=held["clean"], worse=held["clean"])
    assert key_of(config) != before
