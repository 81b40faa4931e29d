"""One's own images: a NumPy archive with x_train, y_train, x_test and y_test."""

import logging
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from noisetune.data._archive import read_parts
from noisetune.data._augmentations import SMALL_FINETUNE, SMALL_SSL
from noisetune.data._listing import SHOWN
from noisetune.data._overlap import OwnImages
from noisetune.data._pixels import channel_statistics, contents_of
from noisetune.data.base import ImageData, as_images, as_labels
from noisetune.errors import UserError

log = logging.getLogger(__name__)


class Config(OwnImages):
    """A NumPy archive of `x_train`, `y_train`, `x_test` and `y_test`.

    Images are uint8 (N, H, W) or (N, H, W, C) with C of 1 or 3, labels are integers (N,) from 0.
    """

    name: Literal["npz"] = "npz"
    path: Path
    """The archive."""
    classes: int | None = Field(default=None, ge=2)
    """The number of classes; null for the largest label plus one, and then each has a training
    image. More classes than the labels show are meant: noise labels images with them too."""
    flip: bool = True
    """Whether mirrored images are the same thing; false for images with a handedness."""

    def read(self) -> ImageData:
        # All labels of training say what classes there are.
        wanted = {"x_train": self.first_samples, "x_test": self.test_samples}
        arrays = read_parts(self.path, "data.path", wanted)
        labels, kept = arrays["y_train"], self._kept(arrays["x_train"], arrays["y_train"])
        x_train = as_images(arrays["x_train"][kept], f"{self.path}: x_train")
        x_test = as_images(arrays["x_test"][: self.test_samples], f"{self.path}: x_test")
        if x_train.shape[1:] != x_test.shape[1:]:
            raise UserError(
                f"{self.path}: x_train has images of shape {tuple(x_train.shape[1:])}, x_test of "
                f"{tuple(x_test.shape[1:])}; both must be equal"
            )
        y_train = as_labels(labels[kept], len(x_train), self.classes, f"{self.path}: y_train")
        classes = self._count_classes(labels)
        tested = arrays["y_test"][: self.test_samples]
        y_test = as_labels(tested, len(x_test), classes, f"{self.path}: y_test")
        rows = np.arange(len(labels))[kept]
        left = self.rows_kept(
            contents_of(x_train),
            contents_of(x_test),
            y_train.numpy(),
            lambda part, row: f"{self.path}: x_{part}[{rows[row] if part == 'train' else row}]",
        )
        if left is not None:
            x_train, y_train, rows = x_train[left], y_train[left], rows[left]
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
            rows=self.places(rows),
        )

    def _kept(self, images: np.ndarray, labels: np.ndarray) -> np.ndarray | slice:
        """The rows of the training images that are kept."""
        if not self.drawn:
            return slice(self.train_samples)
        checked = as_labels(labels, len(images), self.classes, f"{self.path}: y_train")
        return self.kept_rows(checked.numpy())

    def _count_classes(self, labels: np.ndarray) -> int:
        """How many classes there are; UserError where one of them can only be a wrong label.

        Classes that `classes` says beyond those of the labels are meant: noise labels images with
        them too, as people do who know of them. A warning counts them.
        """
        largest = int(labels.max())
        if self.classes is None and largest >= len(labels):
            raise UserError(
                f"{self.path}: y_train: the largest label is {largest}, which would make more "
                f"classes than its {len(labels)} images; mend the label, or set data.classes"
            )
        classes = self.classes or max(largest + 1, 2)
        empty = sorted(set(range(classes)) - set(labels.tolist()))
        shown = ", ".join(map(str, empty[:SHOWN])) + (", ..." if len(empty) > SHOWN else "")
        if empty and self.classes is None:
            raise UserError(
                f"{self.path}: y_train: no image has the label {shown}; labels go from 0 to the "
                "number of classes less one without gaps: mend them, or set data.classes where "
                "there are classes without an image"
            )
        if empty:
            log.warning(
                "data.classes: %d of %d classes have no training image (%s); noise labels images "
                "with them too",
                len(empty), classes, shown,
            )  # fmt: skip
        return classes
