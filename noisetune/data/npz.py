"""One's own images: a NumPy archive with x_train, y_train, x_test and y_test."""

import zipfile
import zlib
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from noisetune.data._augmentations import SMALL_FINETUNE, SMALL_SSL
from noisetune.data.base import (
    DataConfig,
    ImageData,
    as_images,
    as_labels,
    channel_statistics,
)
from noisetune.errors import UserError, existing_file

ARRAYS = ("x_train", "y_train", "x_test", "y_test")
# What NumPy, zipfile and zlib raise for a file that is none, or a damaged one.
UNREADABLE = (
    ValueError, OSError, TypeError, EOFError, NotImplementedError, zipfile.BadZipFile, zlib.error
)  # fmt: skip


class Config(DataConfig):
    """A NumPy archive of `x_train`, `y_train`, `x_test` and `y_test`.

    Images are uint8 (N, H, W) or (N, H, W, C) with C of 1 or 3, labels are integers (N,) from 0.
    """

    name: Literal["npz"] = "npz"
    path: Path
    """The archive."""
    classes: int | None = Field(default=None, ge=2)
    """The number of classes; null for the largest label plus one."""
    flip: bool = True
    """Whether mirrored images are the same thing; false for images with a handedness."""

    def load(self) -> ImageData:
        arrays = self._read()
        x_train = as_images(arrays["x_train"][: self.train_samples], f"{self.path}: x_train")
        x_test = as_images(arrays["x_test"][: self.test_samples], f"{self.path}: x_test")
        if x_train.shape[1:] != x_test.shape[1:]:
            raise UserError(
                f"{self.path}: x_train has images of shape {tuple(x_train.shape[1:])}, x_test of "
                f"{tuple(x_test.shape[1:])}; both must be equal"
            )
        labels = {name: arrays[name][:count] for name, count in self._limits().items()}
        y_train = as_labels(labels["y_train"], len(x_train), self.classes, f"{self.path}: y_train")
        classes = self.classes or self._count_classes(arrays["y_train"])
        y_test = as_labels(labels["y_test"], len(x_test), classes, f"{self.path}: y_test")
        mean, std = channel_statistics(x_train)
        flip = {} if self.flip else {"flip": 0.0}
        return ImageData(
            x_train=x_train,
            y_train=y_train,
            x_test=x_test,
            y_test=y_test,
            class_names=tuple(str(label) for label in range(classes)),
            mean=mean,
            std=std,
            finetune_augment=SMALL_FINETUNE.model_copy(update=flip),
            ssl_augment=SMALL_SSL.model_copy(update=flip),
        )

    def _count_classes(self, labels: np.ndarray) -> int:
        """The largest label plus one; UserError where that can only be a wrong label."""
        classes = max(int(labels.max()) + 1, 2)
        if classes > max(len(labels), 2):
            raise UserError(
                f"{self.path}: y_train: the largest label is {classes - 1}, which would make more "
                f"classes than its {len(labels)} images; mend the label, or set data.classes"
            )
        return classes

    def _limits(self) -> dict[str, int | None]:
        return {"y_train": self.train_samples, "y_test": self.test_samples}

    def _read(self) -> dict[str, np.ndarray]:
        path = existing_file(self.path, "data.path")
        try:
            with np.load(path, allow_pickle=False) as archive:
                missing = [name for name in ARRAYS if name not in archive]
                if missing:
                    raise UserError(
                        f"{path}: has no {', '.join(missing)}; it must hold {', '.join(ARRAYS)}"
                    )
                return {name: np.atleast_1d(archive[name]) for name in ARRAYS}
        except UNREADABLE as error:
            raise UserError(
                f"{path}: is no readable .npz archive of plain arrays ({error}); "
                "write it with numpy.savez"
            ) from error
