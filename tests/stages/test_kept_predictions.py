"""What is kept of the test images agrees with the metrics that were told of them."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from noisetune.config import TrialConfig
from noisetune.noise.human import NAMES
from noisetune.pipeline import run_trial
from noisetune.predictions import Predictions
from noisetune.records import TrialResult
from noisetune.stages import runner
from noisetune.stages.base import Inputs
from noisetune.stages.finetune import finetune_key, finetune_stage
from noisetune.stages.labels import draw_labels
from noisetune.stages.predictions import predicted, predictions_of
from noisetune.stages.runner import run_stage
from noisetune.store import NullStore, Store

TinyTrial = Callable[..., TrialConfig]
InputsOf = Callable[[TrialConfig], Inputs]
Drive = Callable[..., tuple[list[Any], Any]]


def ran(trial: TrialConfig, drive: Drive, store: Any = None) -> tuple[TrialResult, Predictions]:
    result: TrialResult = drive(run_trial(trial, store or NullStore()))[1]
    assert result.predictions is not None
    return result, result.predictions


@pytest.mark.parametrize("rate", [0.0, 0.6])
def test_accuracy_is_that_of_each_choice_of_epoch(
    tiny_trial: TinyTrial, drive: Drive, rate: float
) -> None:
    trial = tiny_trial(noise={"rate": rate}, finetune={"epochs": 5, "lr": 0.02})
    result, kept = ran(trial, drive)
    assert kept.predicted.keys() == result.epochs.keys()
    for choice, metrics in result.epochs.items():
        assert kept.correct(choice).mean() == pytest.approx(metrics["test/accuracy"])
        assert kept.probability[choice].dtype == np.float16
        assert (kept.probability[choice] >= 0.1 - 1e-3).all()  # the likeliest of ten


def test_labels_and_scores_are_those_of_the_test_set(tiny_trial: TinyTrial, drive: Drive) -> None:
    trial = tiny_trial(noise={"rate": 0.4}, detect={"also": []})
    _, kept = ran(trial, drive)
    data = trial.data.load()
    labels = draw_labels(trial, data)
    assert np.array_equal(kept.true, data.y_test.numpy())
    assert np.array_equal(kept.given, labels.test)
    assert kept.rows is None
    assert np.array_equal(kept.given_true, kept.true)
    assert kept.scores.keys() == {trial.detect.label}
    assert kept.scores[trial.detect.label].shape == kept.given.shape


def test_the_score_is_the_detectors_own(tiny_trial: TinyTrial, drive: Drive) -> None:
    """Its ranks give the area that is told."""
    result, kept = ran(tiny_trial(noise={"rate": 0.4}), drive)
    (scores,) = kept.scores.values()
    wrong = kept.given != kept.true
    pairs = scores[wrong][:, None] - scores[~wrong]
    area = ((pairs > 0) + 0.5 * (pairs == 0)).mean()
    assert area == pytest.approx(result.detection["auroc"], abs=1e-3)


def test_human_labels_have_rows_of_the_training_set(
    tiny_trial: TinyTrial, drive: Drive, tmp_path: Path
) -> None:
    clean = tiny_trial().data.load()
    path = tmp_path / "human.pt"
    given = (clean.y_train + (torch.arange(len(clean.y_train)) % 5 == 0)) % 10
    torch.save({NAMES["worse"]: given, "clean_label": clean.y_train}, path)
    trial = tiny_trial(noise={"model": "human", "path": str(path), "labels": "worse"})
    _, kept = ran(trial, drive)
    labels = draw_labels(trial, trial.data.load())
    assert np.array_equal(kept.rows, labels.detection)
    assert np.array_equal(kept.given, given.numpy()[labels.detection])
    assert np.array_equal(kept.given_true, clean.y_train.numpy()[labels.detection])
    assert np.array_equal(kept.true, clean.y_test.numpy())


def test_nobody_knows_the_truth_of_rows_whose_labels_are_not_clean(
    tiny_trial: TinyTrial, inputs_of: InputsOf, drive: Drive
) -> None:
    inputs = inputs_of(tiny_trial())
    part = replace(inputs.labels, test=None, detection=inputs.labels.validation)
    unknown = replace(inputs, data=replace(inputs.data, labels_clean=False), labels=part)
    stage = finetune_stage(inputs, None, finetune_key(inputs.config, inputs.data, None, 0))
    made = drive(run_stage(stage, NullStore()))[1]
    kept = predictions_of(unknown, made, {})
    assert kept.rows is not None
    assert kept.given_true is None


def test_a_run_that_goes_on_keeps_the_same(
    tiny_trial: TinyTrial, drive: Drive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a checkpoint of fine-tuning, and replayed as a whole from the store."""
    monkeypatch.setattr(runner, "CHECKPOINT_SECONDS", 0.0)
    trial = tiny_trial(noise={"rate": 0.6}, finetune={"epochs": 5, "lr": 0.02})
    _, whole = ran(trial, drive)
    store = Store.open(str(tmp_path))
    events = run_trial(trial, store)
    for event in events:
        if getattr(event, "stage", "") == "finetune" and getattr(event, "step", 0) == 4:
            break
    events.close()
    for _ in ("gone on with", "replayed"):
        _, again = ran(trial, drive, store)
        for choice, classes in whole.predicted.items():
            assert np.array_equal(again.predicted[choice], classes)
            assert np.array_equal(again.probability[choice], whole.probability[choice])


def test_folds_keep_none(tiny_trial: TinyTrial, drive: Drive, tmp_path: Path) -> None:
    """Cross-validation reads the logits of its folds alone, and a store holds many of them."""
    store = Store.open(str(tmp_path))
    drive(run_trial(tiny_trial(detect={"folds": 3}), store))
    folds = list((tmp_path / "fold").rglob("*.safetensors"))
    assert len(folds) == 3
    assert not any(b"probability." in file.read_bytes() for file in folds)


def test_the_class_and_its_probability() -> None:
    logits = torch.tensor([[0.0, 0.0, 2.0], [3.0, 0.0, 0.0]])
    kept = predicted(logits, "last")
    assert kept["predicted.last"].tolist() == [2, 0]
    expected = torch.softmax(logits, 1).max(1).values.half()
    assert kept["probability.last"].equal(expected)
