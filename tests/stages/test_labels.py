from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from noisetune.config import TrialConfig
from noisetune.data.base import ImageData
from noisetune.errors import UserError
from noisetune.noise.base import Part
from noisetune.stages.labels import (
    NoisyLabels,
    clean_part,
    describe_noise,
    draw_labels,
    true_matrix,
)
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


@given(count=st.integers(3, 500), fraction=st.floats(0.001, 0.999))
def test_the_split_is_disjoint_whole_and_of_the_asked_size(
    tiny_trial: TinyTrial, count: int, fraction: float
) -> None:
    config = tiny_trial(data={"validation_fraction": fraction})
    labels = draw_labels(config, labelled(cycle(count), cycle(5)))
    assert sorted([*labels.fit, *labels.validation]) == list(range(count))
    assert len(labels.fit) >= 2
    assert len(labels.validation) == min(max(1, round(count * fraction)), count - 2)


def test_nobody_reads_a_true_matrix_of_labels_that_were_wrong_before(
    tiny_trial: TinyTrial,
) -> None:
    """Before anything starts, whoever runs the trial."""
    unknown = replace(labelled(cycle(20), cycle(5)), labels_clean=False)
    draw_labels(tiny_trial(finetune={"method": "forward"}), unknown)
    oracle = {"method": "forward", "matrix": "true", "oracle": True}
    with pytest.raises(UserError, match="finetune: method forward is to read the true transition"):
        draw_labels(tiny_trial(finetune=oracle), unknown)


def test_a_matrix_is_made_where_it_is_read_alone(tiny_trial: TinyTrial) -> None:
    data = labelled(cycle(20, 4), cycle(5, 4), classes=4)
    oracle = {"method": "forward", "matrix": "true", "oracle": True}
    noise = {"model": "pairflip", "rate": 0.25}
    assert true_matrix(tiny_trial(noise=noise), data) is None
    matrix = true_matrix(tiny_trial(noise=noise, finetune=oracle), data)
    assert matrix is not None
    assert matrix.tolist() == (0.75 * np.eye(4) + 0.25 * np.roll(np.eye(4), 1, axis=1)).tolist()


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
        {"data": {"name": "cifar10"}},
    ],
)
def test_nothing_but_images_noise_and_replicate_decides(
    tiny_trial: TinyTrial, changes: dict[str, Any]
) -> None:
    data = labelled(cycle(200), cycle(50))
    expected = draw_labels(tiny_trial(), data)
    assert fields(draw_labels(tiny_trial(**changes), data)) == fields(expected)


def test_another_replicate_is_another_split_and_other_wrong_labels(tiny_trial: TinyTrial) -> None:
    data = labelled(cycle(200), cycle(50))
    before, after = (fields(draw_labels(tiny_trial(replicate=each), data)) for each in (0, 1))
    assert before.pop("detection") == after.pop("detection") == []
    assert all(before[name] != after[name] for name in before)


@pytest.mark.parametrize(
    "noise",
    [
        {"rate": 0.1},
        {"draw": "exact"},
        *({"model": model} for model in ("paper", "none", "instance")),
    ],
    ids=str,
)
def test_every_noise_of_a_replicate_has_the_same_split(
    tiny_trial: TinyTrial, noise: dict[str, Any]
) -> None:
    data = labelled(cycle(200), cycle(50))
    usual, other = (draw_labels(tiny_trial(noise=each), data) for each in ({}, noise))
    assert other.train.tolist() != usual.train.tolist()
    assert other.fit.tolist() == usual.fit.tolist()
    assert other.validation.tolist() == usual.validation.tolist()


@pytest.mark.parametrize("model", ["symmetric", "symmetric_inclusive", "paper", "pairflip"])
@pytest.mark.parametrize("draw", ["iid", "exact"])
def test_wrong_labels_are_nested_over_the_rates(
    tiny_trial: TinyTrial, model: str, draw: str
) -> None:
    data = labelled(cycle(200), cycle(50))
    low, high = (
        draw_labels(tiny_trial(noise={"model": model, "draw": draw, "rate": rate}), data)
        for rate in (0.2, 0.4)
    )
    for less, more, clean in (
        (low.train, high.train, data.y_train.numpy()), (low.test, high.test, data.y_test.numpy()),
    ):  # fmt: skip
        wrong = less != clean
        assert 0 < wrong.sum() < (more != clean).sum()
        assert np.array_equal(more[wrong], less[wrong])


def test_fewer_images_change_no_label_of_the_others(tiny_trial: TinyTrial) -> None:
    many, few = (
        draw_labels(tiny_trial(), labelled(cycle(count), cycle(count))) for count in (200, 120)
    )
    assert few.train.tolist() == many.train[:120].tolist()
    assert few.test.tolist() == many.test[:120].tolist()


def test_the_projection_of_instance_noise_is_the_replicates(tiny_trial: TinyTrial) -> None:
    data = labelled(cycle(20), cycle(20))

    def seed(part: Part, replicate: int = 0, **noise: Any) -> int:
        return clean_part(tiny_trial(noise=noise, replicate=replicate), data, part).seed

    assert seed("train") == seed("test") == seed("train", rate=0.6) == seed("train", model="paper")
    assert seed("train") != seed("train", replicate=1)


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


def test_all_noise_but_peoples_has_its_detection_part_in_the_test_set(
    tiny_trial: TinyTrial,
) -> None:
    data = labelled(cycle(200), cycle(50))
    labels = draw_labels(tiny_trial(data={"detection_fraction": 0.5}), data)
    detected = labels.detected
    assert len(labels.detection) == 0
    assert (detected.part, detected.rows.tolist()) == ("test", list(range(50)))
    assert detected.noisy.tolist() == labels.test.tolist()
    assert detected.clean(data).tolist() == data.y_test.tolist()


@pytest.fixture
def by_people(tmp_path: Path, tiny_trial: TinyTrial) -> Callable[..., TrialConfig]:
    """A trial whose noisy labels of 200 images are those of a file: every class one too high."""
    clean = cycle(200).numpy()
    np.savez(tmp_path / "human.npz", clean=clean, worse=(clean + 1) % 10)
    noise = {"model": "human", "labels": "worse", "path": tmp_path / "human.npz"}
    return lambda **changes: tiny_trial(**{"noise": noise, **changes})


@given(count=st.integers(4, 200), validation=st.floats(0, 0.6), detection=st.floats(0.001, 0.39))
def test_without_test_labels_a_part_of_the_training_set_is_held_out_for_detection(
    count: int, validation: float, detection: float, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "human.npz"
    if not path.exists():
        np.savez(path, clean=cycle(200), worse=cycle(200).flip(0))
    fractions = {"validation_fraction": validation, "detection_fraction": detection}
    noise = {"model": "human", "labels": "worse", "path": path}
    config = TrialConfig.parse({"data": fractions, "noise": noise}, "x")
    data = labelled(cycle(200)[:count], cycle(5))
    labels = draw_labels(config, data)
    parts = [labels.fit, labels.validation, labels.detection]
    assert sorted(np.concatenate(parts)) == list(range(count))
    assert len(labels.fit) >= 2
    left = count - 2 - len(labels.validation)
    assert len(labels.detection) == min(max(1, round(count * detection)), left)
    assert bool(len(labels.validation)) == bool(validation)
    assert labels.test is None
    assert labels.detected.part == "train"
    assert labels.detected.noisy.tolist() == labels.train[labels.detection].tolist()
    assert labels.detected.clean(data).tolist() == data.y_train[labels.detection].tolist()


def test_a_detection_part_leaves_the_validation_part_as_it_is(
    by_people: Callable[..., TrialConfig],
) -> None:
    data = labelled(cycle(200), cycle(5))
    less, more = (
        draw_labels(by_people(data={"detection_fraction": share}), data) for share in (0.1, 0.3)
    )
    assert less.validation.tolist() == more.validation.tolist()
    assert set(less.detection) < set(more.detection)


def test_the_same_labels_from_another_file_are_the_same_noise(
    by_people: Callable[..., TrialConfig], tmp_path: Path
) -> None:
    moved = tmp_path / "moved.npz"
    data, config = labelled(cycle(200), cycle(5)), by_people()
    moved.write_bytes(config.noise.path.read_bytes())
    other = by_people(noise={"model": "human", "labels": "worse", "path": moved})
    labels, same = draw_labels(config, data), draw_labels(other, data)
    for name in ("train", "fit", "validation", "detection"):
        assert getattr(same, name).tolist() == getattr(labels, name).tolist()


def test_too_few_images_for_three_parts_are_a_user_error(
    by_people: Callable[..., TrialConfig],
) -> None:
    with pytest.raises(UserError, match=r"2 training images are too few .* raise data.train_samp"):
        draw_labels(by_people(), labelled(cycle(2), cycle(5)))


@pytest.mark.parametrize(
    ("count", "people", "fraction", "enough"),
    [
        (2, False, 0.2, False), (2, False, 0.0, True), (3, False, 0.2, True),
        (3, True, 0.2, False), (3, True, 0.0, True), (4, True, 0.2, True),
    ],
)  # fmt: skip
def test_two_images_are_left_to_train_on_or_all_are_refused(
    by_people: Any, tiny_trial: TinyTrial, count: int, people: bool, fraction: float, enough: bool
) -> None:
    """Of a single one batch normalisation has no deviation."""
    config = (by_people if people else tiny_trial)(data={"validation_fraction": fraction})
    data = labelled(cycle(count), cycle(5))
    if enough:
        assert len(draw_labels(config, data).fit) >= 2
        return
    with pytest.raises(UserError, match=rf"data: {count} training images are too few to hold some"):
        draw_labels(config, data)


@pytest.mark.parametrize(("checkpoint", "count"), [("selected", 5), ("last", 3)])
def test_too_few_images_for_folds_are_refused_before_anything_starts(
    tiny_trial: TinyTrial, checkpoint: str, count: int
) -> None:
    config = tiny_trial(detect={"folds": 2, "checkpoint": checkpoint})
    with pytest.raises(UserError, match=rf"detect.folds: 2 folds of {count} training images: "):
        draw_labels(config, labelled(cycle(count), cycle(5)))
    assert len(draw_labels(config, labelled(cycle(count + 1), cycle(5))).fit) >= 2


@pytest.mark.parametrize("people", [False, True])
def test_without_a_validation_part_the_detection_part_selects(
    by_people: Callable[..., TrialConfig], tiny_trial: TinyTrial, people: bool
) -> None:
    config = (by_people if people else tiny_trial)(data={"validation_fraction": 0})
    data = labelled(cycle(200), cycle(50))
    labels = draw_labels(config, data)
    assert len(labels.validation) == 0
    assert len(labels.fit) == (180 if people else 200)
    selected, detected = labels.selected, labels.detected
    assert selected.part == detected.part == ("train" if people else "test")
    assert selected.rows.tolist() == detected.rows.tolist()
    assert selected.noisy.tolist() == detected.noisy.tolist()


def test_test_noise_may_have_the_seed_of_the_training_noise(tiny_trial: TinyTrial) -> None:
    data = labelled(cycle(200), cycle(200))
    labels = draw_labels(tiny_trial(detect={"test_seed": "training"}), data)
    assert labels.test.tolist() == labels.train.tolist()
    own = draw_labels(tiny_trial(), data)
    assert own.train.tolist() == labels.train.tolist()


def test_instance_noise_reads_the_images(tiny_trial: TinyTrial) -> None:
    config = tiny_trial(noise={"model": "instance"})
    data = config.data.load()
    dark = replace(data, x_train=data.x_train // 2)
    labels = [draw_labels(config, each).train.tolist() for each in (data, dark)]
    assert labels[0] != labels[1]


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
        "detection_rate": 0.5,
        "detection_part": "test",
        "train_matrix": [[0.5, 0.5], [pytest.approx(1 / 3), pytest.approx(2 / 3)]],
        "detection_matrix": [[0.5, 0.5], [None, None]],
    }
