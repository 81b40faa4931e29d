"""Data sets in files, as their authors lay them out."""

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from torchvision.datasets import CIFAR10, CIFAR100, cifar

WriteCifar = Callable[..., Path]


@pytest.fixture
def write_cifar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WriteCifar:
    """A folder in the official layout, which torchvision's checksums are made to accept.

    Takes the torchvision class, then images uint8 (N, 32, 32, 3) and labels, of train and test.
    """
    monkeypatch.setattr(cifar, "check_integrity", lambda path, md5: Path(path).is_file())

    def write(
        dataset: type[CIFAR10] | type[CIFAR100],
        train: tuple[np.ndarray, np.ndarray],
        test: tuple[np.ndarray, np.ndarray],
        names: list[str],
    ) -> Path:
        folder = tmp_path / dataset.base_folder
        folder.mkdir()
        labels_are = "labels" if dataset is CIFAR10 else "fine_labels"
        for files, (images, labels) in ((dataset.train_list, train), (dataset.test_list, test)):
            rows = images.transpose(0, 3, 1, 2).reshape(len(images), -1)
            parts = np.array_split(np.arange(len(rows)), len(files))
            for (file, _), part in zip(files, parts, strict=True):
                entry = {"data": rows[part], labels_are: labels[part].tolist()}
                (folder / file).write_bytes(pickle.dumps(entry))
        meta = {dataset.meta["key"]: names}
        (folder / dataset.meta["filename"]).write_bytes(pickle.dumps(meta))
        return tmp_path

    return write
