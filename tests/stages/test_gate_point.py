from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from noisetune.config import TrialConfig
from noisetune.stages.base import Inputs
from noisetune.stages.gate import gate_point, noisy_knn
from noisetune.store import Artifact
from noisetune.training.representation import feature_deviation, rankme


@pytest.fixture
def inputs(
    tiny_trial: Callable[..., TrialConfig], inputs_of: Callable[[TrialConfig], Inputs]
) -> Inputs:
    """60 digits, two fifths of them with a wrong label."""
    return inputs_of(tiny_trial())


def encoder(features: Tensor) -> Artifact:
    """What pre-training leaves of the features."""
    return Artifact({"features": features.half()})


def told_by(labels: np.ndarray) -> Artifact:
    """An encoder whose features are the labels and nothing else."""
    return encoder(F.one_hot(torch.from_numpy(labels), 10).float())


def random_features() -> Tensor:
    return torch.randn(60, 16, generator=torch.Generator().manual_seed(0)).half()


def test_it_measures_the_stored_features(inputs: Inputs) -> None:
    features = random_features()
    point = gate_point(inputs, encoder(features), 25, knn=False)
    assert (point.stage, point.step) == ("gate", 25)
    assert point.values == {
        "pretrain/feature_deviation": feature_deviation(features.float()),
        "pretrain/rankme": rankme(features.float()),
    }


def test_the_neighbours_are_asked_only_where_that_is_wanted(inputs: Inputs) -> None:
    made = encoder(random_features())
    point = gate_point(inputs, made, 25, knn=True)
    assert point.values["pretrain/knn"] == noisy_knn(inputs, made)


def test_a_collapsed_encoder_is_seen(inputs: Inputs) -> None:
    point = gate_point(inputs, encoder(torch.ones(60, 16)), 1, knn=False)
    assert point.values["pretrain/feature_deviation"] == pytest.approx(0, abs=1e-3)
    assert point.values["pretrain/rankme"] == pytest.approx(1, abs=1e-3)


def test_the_neighbours_are_judged_by_noisy_labels(inputs: Inputs) -> None:
    assert noisy_knn(inputs, told_by(inputs.labels.train)) == 1.0
    assert noisy_knn(inputs, told_by(inputs.data.y_train.numpy())) < 1.0


def test_no_clean_label_and_nothing_of_the_test_set_is_looked_at(inputs: Inputs) -> None:
    data, labels = inputs.data, inputs.labels
    blind = replace(
        inputs,
        data=replace(
            data, y_train=9 - data.y_train, y_test=9 - data.y_test, x_test=data.x_test[:1]
        ),
        labels=replace(labels, test=9 - labels.test),
    )
    made = encoder(random_features())
    assert gate_point(blind, made, 1, knn=True).values == gate_point(inputs, made, 1, True).values


def test_the_validation_part_asks_the_rest(inputs: Inputs) -> None:
    """Neighbours within the validation part have no vote."""
    labels, made = inputs.labels, told_by(inputs.labels.train)
    wrong = labels.train.copy()
    wrong[labels.fit] = 9 - wrong[labels.fit]
    shifted = replace(inputs, labels=replace(labels, train=wrong))
    assert noisy_knn(shifted, made) == 0.0


def test_without_a_validation_part_a_fifth_of_the_images_asks_the_others(inputs: Inputs) -> None:
    labels, fit = inputs.labels, np.arange(60)
    whole = replace(inputs, labels=replace(labels, fit=fit, validation=fit[:0]))
    right = told_by(labels.train)
    assert noisy_knn(whole, right) == 1.0
    alone = labels.train.copy()
    alone[::5] = 9 - alone[::5]
    assert noisy_knn(replace(whole, labels=replace(whole.labels, train=alone)), right) == 0.0
