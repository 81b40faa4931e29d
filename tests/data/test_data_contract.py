"""What every data set promises, those to come included."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import ValidationError
from torchvision.datasets import CIFAR10, CIFAR100

from noisetune.config import PLUGINS
from noisetune.data.base import DataConfig, ImageData
from noisetune.errors import UserError
from noisetune.training.augment import Augment

Load = Callable[..., ImageData]


def write_images(folder: Path, images: np.ndarray) -> None:
    """The images as PNG files of three classes."""
    for number, image in enumerate(images):
        place = folder / f"class{number % 3}"
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(place / f"{number:03}.png")


@pytest.fixture(params=PLUGINS["data"])
def config(
    request: pytest.FixtureRequest, tmp_path: Path, write_cifar: Callable[..., Path]
) -> DataConfig:
    """Each data set, small; one that is not known here as it is without settings."""
    rng = np.random.default_rng(0)
    images, others = rng.integers(0, 256, (2, 30, 32, 32, 3), dtype=np.uint8)
    known = {"digits": {}, "npz": {"path": tmp_path / "mine.npz"}}
    if request.param == "npz":
        labels = np.arange(30) % 3
        np.savez(known["npz"]["path"], x_train=images, y_train=labels, x_test=others, y_test=labels)
    if request.param == "folder":
        known["folder"] = {"root": tmp_path, "size": 16, "cache": tmp_path / "cache"}
        write_images(tmp_path / "train", images)
        write_images(tmp_path / "test", others)
    for name, dataset, classes in (("cifar10", CIFAR10, 10), ("cifar100", CIFAR100, 100)):
        if request.param == name:
            part = images, rng.integers(0, classes, 30)
            write_cifar(dataset, part, part, [str(label) for label in range(classes)])
            known[name] = {"root": tmp_path, "download": False}
    if request.param in known:
        return PLUGINS["data"][request.param](**known[request.param])
    try:
        unknown = PLUGINS["data"][request.param]()
        unknown.load()
    except (ValidationError, UserError) as error:
        pytest.skip(f"{request.param} cannot be had without settings: {error}")
    return unknown


def test_images_are_uint8_in_memory_and_labels_are_classes(config: DataConfig) -> None:
    data = config.load()
    for images, labels in ((data.x_train, data.y_train), (data.x_test, data.y_test)):
        assert images.dtype == torch.uint8
        assert images.shape == (len(labels), data.channels, *data.size)
        assert labels.dtype == torch.int64
        assert 0 <= labels.min() <= labels.max() < data.classes


def test_mean_and_deviation_are_per_channel_in_pixel_units(config: DataConfig) -> None:
    data = config.load()
    assert len(data.mean) == len(data.std) == data.channels
    assert all(0 <= mean <= 1 for mean in data.mean)
    assert all(0 < std <= 1 for std in data.std)


def test_loading_again_gives_the_same(config: DataConfig) -> None:
    assert config.load().fingerprint == config.load().fingerprint


def test_fewer_samples_are_the_first_ones(config: DataConfig) -> None:
    whole = config.load()
    data = config.model_copy(update={"train_samples": 5, "test_samples": 3}).load()
    assert torch.equal(data.x_train, whole.x_train[:5])
    assert torch.equal(data.y_train, whole.y_train[:5])
    assert torch.equal(data.x_test, whole.x_test[:3])
    assert torch.equal(data.y_test, whole.y_test[:3])
    assert data.class_names == whole.class_names


@pytest.mark.parametrize("name", ["ssl_augment", "finetune_augment"])
def test_it_names_an_augmentation_that_fits_its_images(config: DataConfig, name: str) -> None:
    data = config.load()
    augment = Augment(getattr(data, name), data.size, data.mean, data.std)
    images = data.x_train[:4]
    views = augment(images, augment.sample(4, torch.Generator().manual_seed(0)))
    assert views.shape == images.shape
    assert views.isfinite().all()
