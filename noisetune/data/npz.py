"""One's own images: a NumPy archive with x_train, y_train, x_test and y_test."""

import logging
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from noisetune.arrays import UNREADABLE, Archive
from noisetune.data._augmentations import SMALL_FINETUNE, SMALL_SSL
from noisetune.data._listing import SHOWN
from noisetune.data._overlap import OwnImages, contents_of
from noisetune.data.base import ImageData, as_images, as_labels, channel_statistics
from noisetune.errors import UserError, existing_file
from noisetune.memory import require_memory

log = logging.getLogger(__name__)

ARRAYS = ("x_train", "y_train", "x_test", "y_test")
COPIES = 2
"""An array of images is held as it lies in the file, and with its channels first."""


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
        classes = self._count_classes(arrays["y_train"])
        y_test = as_labels(labels["y_test"], len(x_test), classes, f"{self.path}: y_test")
        kept = self.rows_kept(
            contents_of(x_train),
            contents_of(x_test),
            y_train.numpy(),
            lambda part, row: f"{self.path}: x_{part}[{row}]",
        )
        if kept is not None:
            x_train, y_train = x_train[kept], y_train[kept]
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

    def _limits(self) -> dict[str, int | None]:
        return {"y_train": self.train_samples, "y_test": self.test_samples}

    def _read(self) -> dict[str, np.ndarray]:
        """The rows that are wanted; all labels of training, which say what classes there are."""
        path = existing_file(self.path, "data.path")
        rows = {"x_train": self.train_samples, "x_test": self.test_samples}
        try:
            with Archive(path) as archive:
                missing = [name for name in ARRAYS if name not in archive.names]
                if missing:
                    raise UserError(
                        f"{path}: has no {', '.join(missing)}; it must hold {', '.join(ARRAYS)}"
                    )
                sizes = [archive.size(name, rows.get(name)) for name in ARRAYS]
                require_memory(
                    COPIES * sum(sizes),
                    f"{path}: its images and labels (data.train_samples and data.test_samples say "
                    "how many)",
                )
                return {name: np.atleast_1d(archive.read(name, rows.get(name))) for name in ARRAYS}
        except UNREADABLE as error:
            raise UserError(
                f"{path}: is no readable .npz archive of plain arrays ({error}); "
                "write it with numpy.savez"
            ) from error
