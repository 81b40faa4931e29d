"""The data sets that are read from files keep their promises, too."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from torchvision.datasets import CIFAR10, CIFAR100

from noisetune.data import cifar10, cifar100, fashion_mnist, folder, npz
from noisetune.data.base import DataConfig
from noisetune.testing import promises
from noisetune.testing.promises import Check

Settings = dict[str, Any]


@pytest.fixture
def images() -> np.ndarray:
    """Sixty images: the first half for training."""
    return np.random.default_rng(0).integers(0, 256, (60, 32, 32, 3), dtype=np.uint8)


@pytest.fixture
def settings(
    request: pytest.FixtureRequest, tmp_path: Path, write_cifar: Callable[..., Path], images: Any
) -> Settings:
    """What a data set needs to be told of its files, which are there."""
    labels, (train, test) = np.arange(30) % 3, np.split(images, 2)
    if request.param is npz.Config:
        file = tmp_path / "mine.npz"
        np.savez(file, x_train=train, y_train=labels, x_test=test, y_test=labels)
        return {"path": file}
    if request.param is fashion_mnist.Config:
        file, grey = tmp_path / "fashion.npz", images[:, :28, :28, 0]
        np.savez(file, x_train=grey[:30], y_train=labels, x_test=grey[30:], y_test=labels)
        return {"root": file}
    if request.param is folder.Config:
        write_images(tmp_path / "train", train)
        write_images(tmp_path / "test", test)
        return {"root": tmp_path, "size": 16, "cache": tmp_path / "cache"}
    dataset, classes = (CIFAR10, 10) if request.param is cifar10.Config else (CIFAR100, 100)
    part = train, np.random.default_rng(1).integers(0, classes, 30)
    write_cifar(dataset, part, part, [str(label) for label in range(classes)])
    return {"root": tmp_path, "download": False}


def write_images(place: Path, images: np.ndarray) -> None:
    """The images as PNG files of three classes."""
    for number, image in enumerate(images):
        inside = place / f"class{number % 3}"
        inside.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(inside / f"{number:03}.png")


CASES = [
    pytest.param(config, promise, config, id=f"{config.__module__}-{promise.__name__}")
    for config in (npz.Config, folder.Config, cifar10.Config, cifar100.Config, fashion_mnist.Config)
    for promise in promises(config)
]


@pytest.mark.parametrize(("config", "promise", "settings"), CASES, indirect=["settings"])
def test_it_keeps_its_promise(config: type[DataConfig], promise: Check, settings: Settings) -> None:
    promise(config, **settings)
