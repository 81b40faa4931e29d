"""Which training images are kept, where they are not all."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pictures import number_of, paint_folders

from noisetune.config import TrialConfig
from noisetune.data import cifar10, folder, npz
from noisetune.data._subset import drawn_order
from noisetune.data.base import DataConfig
from noisetune.data.digits import Config as Digits
from noisetune.errors import UserError
from noisetune.stages.labels import draw_labels

LABELS = st.lists(st.integers(0, 4), min_size=1, max_size=60).map(np.array)


@given(labels=LABELS, seed=st.integers(0, 5), stratified=st.booleans())
def test_an_order_has_every_row_once_and_hangs_on_the_seed_alone(
    labels: np.ndarray, seed: int, stratified: bool
) -> None:
    order = drawn_order(labels, seed, stratified)
    assert sorted(order) == list(range(len(labels)))
    assert np.array_equal(order, drawn_order(labels.copy(), seed, stratified))


@given(labels=LABELS, seed=st.integers(0, 5), data=st.data())
def test_each_class_has_its_share_of_a_stratified_part(
    labels: np.ndarray, seed: int, data: st.DataObject
) -> None:
    count = data.draw(st.integers(1, len(labels)))
    part = labels[drawn_order(labels, seed, stratified=True)[:count]]
    for label in np.unique(labels):
        share = (labels == label).mean() * count
        assert abs((part == label).sum() - share) <= 1 + len(np.unique(labels)) / 2


def test_of_equal_classes_as_many_are_kept() -> None:
    order = drawn_order(np.arange(1000) % 10, 3, stratified=True)
    for count in (10, 50, 400):
        assert np.bincount(order[:count] % 10).tolist() == [count // 10] * 10


@pytest.fixture
def sets(tmp_path: Path) -> dict[str, DataConfig]:
    """Data sets of numbered images, of each kind."""
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (50, 8, 8), dtype=np.uint8)
    labels = np.arange(40) // 20
    parts = {
        "x_train": images[:40],
        "y_train": labels,
        "x_test": images[40:],
        "y_test": labels[15:25],
    }
    np.savez(tmp_path / "x.npz", **parts)
    classes = {"a": range(20), "b": range(20, 30)}, {"a": range(30, 33), "b": range(33, 36)}
    paint_folders(tmp_path / "mine", *classes)
    cache = tmp_path / "cache"
    return {
        "digits": Digits(),
        "npz": npz.Config(path=tmp_path / "x.npz"),
        "folder": folder.Config(root=tmp_path / "mine", size=8, cache=cache),
        "cifar10": cifar10.Config(made_up=True, test_samples=10),
    }


def few(config: DataConfig, count: int | None, subset: str = "random", seed: int = 0) -> Any:
    changes = {"train_samples": count, "train_subset": subset, "subset_seed": seed}
    return config.model_copy(update=changes).load()


@pytest.mark.long
@pytest.mark.parametrize("name", ["digits", "npz", "folder", "cifar10"])
@pytest.mark.parametrize("subset", ["random", "stratified"])
def test_fewer_are_a_part_of_more(sets: dict[str, DataConfig], name: str, subset: str) -> None:
    config = sets[name]
    less, more = few(config, 10, subset), few(config, 20, subset)
    whole, other = config.load(), few(config, 20, subset, seed=1)
    assert torch.equal(less.x_train, more.x_train[:10])
    assert less.rows.tolist() == more.rows[:10].tolist()
    assert torch.equal(more.x_train, whole.x_train[more.rows])
    assert torch.equal(more.y_train, whole.y_train[more.rows])
    assert set(more.rows.tolist()) != set(other.rows.tolist())
    assert whole.rows is None
    assert torch.equal(more.x_test, whole.x_test)
    assert more.class_names == whole.class_names


@pytest.mark.parametrize("subset", ["first", "random", "stratified"])
def test_all_are_all_in_their_order(sets: dict[str, DataConfig], subset: str) -> None:
    config = sets["npz"]
    assert few(config, None, subset).fingerprint == config.load().fingerprint
    assert few(config, 12, "first").x_train.equal(config.load().x_train[:12])


def test_other_seeds_are_other_data(sets: dict[str, DataConfig]) -> None:
    prints = {few(sets["npz"], 20, seed=seed).fingerprint for seed in range(4)}
    assert len(prints) == 4


def test_of_files_the_drawn_ones_alone_are_decoded(sets: dict[str, DataConfig]) -> None:
    data = few(sets["folder"], 10)
    assert len(data.x_train) == 10
    listed = sets["folder"].load().x_train
    assert [number_of(image) for image in data.x_train.numpy()] == [
        number_of(listed[row].numpy()) for row in data.rows
    ]


def test_what_is_wrong_with_the_labels_is_said_before_they_are_drawn(tmp_path: Path) -> None:
    images = np.zeros((4, 8, 8), np.uint8)
    np.savez(tmp_path / "x.npz", x_train=images, y_train=[0, 1], x_test=images, y_test=[0] * 4)
    with pytest.raises(UserError, match=r"x.npz: y_train: .* label for each of the 4 images"):
        few(npz.Config(path=tmp_path / "x.npz"), 2)


def test_a_subset_is_named_by_a_word_that_is_known(tiny_trial: Callable[..., TrialConfig]) -> None:
    with pytest.raises(UserError, match=r"train_subset.*'first', 'random' or 'stratified'"):
        TrialConfig.parse({"data": {"name": "digits", "train_subset": "some"}}, "here.yaml")


@pytest.mark.parametrize("subset", ["first", "random", "stratified"])
@pytest.mark.parametrize("reach", [60, 50])
def test_labels_of_people_follow_their_images(
    tmp_path: Path, tiny_trial: Callable[..., TrialConfig], subset: str, reach: int
) -> None:
    """A file of labels is in the order of the whole training set."""
    clean = Digits(train_samples=60).load().y_train.numpy()
    people = (clean + np.arange(60) % 3) % 10
    np.savez(tmp_path / "people.npz", clean=clean[:reach], worse=people[:reach])
    source = np.load(tmp_path / "people.npz")
    images = Digits(train_samples=60).load().x_train.numpy()[:, 0]
    np.savez(
        tmp_path / "x.npz", x_train=images, y_train=clean, x_test=images[:5] // 2, y_test=clean[:5]
    )
    data = {
        "name": "npz", "path": str(tmp_path / "x.npz"), "classes": 10, "train_samples": 30,
        "train_subset": subset,
    }  # fmt: skip
    noise = {"model": "human", "labels": "worse", "path": str(tmp_path / "people.npz")}
    trial = tiny_trial(data=data, noise=noise, pretrain={"method": "none"})
    loaded = trial.data.load()
    rows = np.arange(30) if loaded.rows is None else loaded.rows.numpy()
    if rows.max() >= reach:
        with pytest.raises(UserError, match="clean labels are not those of the data set"):
            draw_labels(trial, loaded)
        return
    assert draw_labels(trial, loaded).train.tolist() == people[rows].tolist()
    assert source["worse"].shape == (reach,)
