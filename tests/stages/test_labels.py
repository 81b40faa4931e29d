from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from noisetune.config import TrialConfig
from noisetune.data.base import ImageData
from noisetune.stages.labels import NoisyLabels, describe_noise, draw_labels
from noisetune.training.augment import AugmentConfig

TinyTrial = Callable[..., TrialConfig]


def labelled(train: Any, test: Any, classes: int = 10) -> ImageData:
    """Clean labels with blank images."""
    labels = [torch.as_tensor(part) for part in (train, test)]
    images = [torch.zeros(len(part), 1, 1, 1, dtype=torch.uint8) for part in labels]
    names, off = tuple(map(str, range(classes))), AugmentConfig()
    return ImageData(images[0], labels[0], images[1], labels[1], names, (0,), (1,), off, off)


def cycle(count: int, classes: int = 10) -> torch.Tensor:
    return torch.arange(count) % classes


def fields(labels: NoisyLabels) -> dict[str, list[int]]:
    return {name: part.tolist() for name, part in vars(labels).items()}


@given(count=st.integers(2, 500), fraction=st.floats(0.001, 0.999))
def test_the_split_is_disjoint_whole_and_of_the_asked_size(
    tiny_trial: TinyTrial, count: int, fraction: float
) -> None:
    config = tiny_trial(data={"validation_fraction": fraction})
    labels = draw_labels(config, labelled(cycle(count), cycle(5)))
    assert sorted([*labels.fit, *labels.validation]) == list(range(count))
    assert min(len(labels.fit), len(labels.validation)) >= 1
    assert abs(len(labels.validation) - count * fraction) <= 1


def test_a_fifth_is_held_out_unless_said_otherwise() -> None:
    assert len(draw_labels(TrialConfig(), labelled(cycle(1437), cycle(5))).validation) == 287


@pytest.mark.parametrize(
    "changes",
    [
        {"pretrain": {"method": "none"}},
        {"pretrain": {"method": "barlow_twins"}},
        {"pretrain": {"lr": 0.1, "epochs": 7}},
        {"pretrain_seed": "shared"},
        {"model": {"width": 8}},
        {"finetune": {"lr": 0.1, "epochs": 7}},
        {"detect": {"filter_by": "both"}},
        {"runtime": {"precision": "bf16", "threads": 2}},
    ],
)
def test_nothing_but_data_noise_and_replicate_decides(
    tiny_trial: TinyTrial, changes: dict[str, Any]
) -> None:
    data = labelled(cycle(200), cycle(50))
    expected = draw_labels(tiny_trial(), data)
    assert fields(draw_labels(tiny_trial(**changes), data)) == fields(expected)


@pytest.mark.parametrize(
    "changes", [{"replicate": 1}, {"noise": {"rate": 0.5}}, {"data": {"name": "cifar10"}}]
)
def test_each_of_them_decides_all(tiny_trial: TinyTrial, changes: dict[str, Any]) -> None:
    data = labelled(cycle(200), cycle(50))
    before, after = (fields(draw_labels(tiny_trial(**part), data)) for part in ({}, changes))
    assert all(before[name] != after[name] for name in before)


def test_how_much_is_held_out_changes_no_label(tiny_trial: TinyTrial) -> None:
    data = labelled(cycle(200), cycle(50))
    less, more = (
        draw_labels(tiny_trial(data={"validation_fraction": share}), data) for share in (0.2, 0.4)
    )
    assert less.train.tolist() == more.train.tolist()
    assert set(less.validation) < set(more.validation)


def test_training_and_test_noise_have_seeds_of_their_own(tiny_trial: TinyTrial) -> None:
    labels = draw_labels(tiny_trial(), labelled(cycle(200), cycle(200)))
    assert labels.train.tolist() != labels.test.tolist()


def test_the_split_looks_at_no_label(tiny_trial: TinyTrial) -> None:
    splits = [
        draw_labels(tiny_trial(), labelled(train, cycle(5))).fit.tolist()
        for train in (cycle(200), cycle(200).flip(0))
    ]
    assert splits[0] == splits[1]


def test_without_noise_all_labels_are_clean(tiny_trial: TinyTrial) -> None:
    data = labelled(cycle(200), cycle(50))
    labels = draw_labels(tiny_trial(noise={"model": "none"}), data)
    assert labels.train.tolist() == data.y_train.tolist()
    assert labels.test.tolist() == data.y_test.tolist()


def test_realised_rates_and_matrices_by_hand() -> None:
    labels = NoisyLabels(
        train=np.array([1, 0, 1, 1, 0]),
        test=np.array([0, 1]),
        fit=np.array([0, 1, 3]),
        validation=np.array([2, 4]),
    )
    noise = describe_noise(labels, labelled([0, 0, 1, 1, 1], [0, 0], classes=2))
    assert noise == {
        "train_rate": pytest.approx(1 / 3),
        "validation_rate": 0.5,
        "test_rate": 0.5,
        "train_matrix": [[0.5, 0.5], [pytest.approx(1 / 3), pytest.approx(2 / 3)]],
        "test_matrix": [[0.5, 0.5], [None, None]],
    }
