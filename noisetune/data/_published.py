"""Data sets that everybody has: found on this machine, downloaded once, or made up."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from noisetune.data._augmentations import SMALL_FINETUNE, SMALL_SSL
from noisetune.data._decoding import require_enlargement
from noisetune.data._made_up import made_up
from noisetune.data._overlap import say_shared
from noisetune.data._pixels import Statistics
from noisetune.data.base import DataConfig, ImageData, as_images, as_labels, blank_images
from noisetune.errors import UserError
from noisetune.plugins import StandIn

USUAL = Path("data")
PARTS = ("train", "test")


@dataclass(frozen=True, eq=False)
class Part:
    """Images uint8 (N, H, W) or (N, H, W, C) of a part, their labels (N,), and what these mean."""

    images: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]


class PublishedConfig(DataConfig):
    """A data set of small pictures that is downloaded, or found where that put it."""

    counts: ClassVar[Mapping[str, int]]
    """How many images the parts `train` and `test` have."""
    shape: ClassVar[tuple[int, int, int]]
    """(H, W, C) of an image."""
    classes: ClassVar[tuple[str, ...]]
    """Their names, as far as they are known without the files."""
    superclasses: ClassVar[tuple[int, ...] | None] = None
    folder: ClassVar[str]
    """The folder that a download makes in `root`."""

    root: Path = USUAL
    """The folder with torchvision's own layout."""
    download: bool = True
    """Fetch them to `root`, once, where they are not there."""
    made_up: bool = False
    """Images drawn at random in their place, as many, of the same shape and classes; for smoke
    runs."""

    def read_part(self, part: str) -> Part:
        """A part as it was published, downloaded where it is not there and `download` says so.

        UserError where there is none.
        """
        raise NotImplementedError

    def statistics(self) -> tuple[Statistics, Statistics]:
        """Mean and deviation per channel, of [0, 1] pixels."""
        raise NotImplementedError

    def is_there(self) -> bool:
        """Whether nothing has to be downloaded."""
        return (self.root / self.folder).is_dir()

    def written(self) -> Mapping[str, Path]:
        """The folder that a YAML file has images downloaded to."""
        fetched = self.download and not self.made_up and not self.is_there()
        return {"root": self.root} if fetched and self.root != USUAL else {}

    def stand_in(self) -> StandIn | None:
        """Made-up images where they would have to be downloaded."""
        if self.made_up or self._found() is not None:
            return None
        return StandIn({"made_up": True}, f"{self.name} is not in {self.root}")

    def load(self) -> ImageData:
        """The data set; UserError for a size that is too large before anything is fetched."""
        if self.size is not None:
            require_enlargement(self.shape[:2], self.size)
        return super().load()

    def read(self) -> ImageData:
        """Both parts as tensors, in their original order but for what is drawn."""
        train, test = map(self._made_up_part if self.made_up else self.read_part, PARTS)
        rows, count = self.kept_rows(train.labels), len(train.classes)
        x_train = as_images(train.images[rows], self.name)
        x_test = as_images(test.images[: self.test_samples], self.name)
        say_shared(self.name, x_train, x_test)
        y_train = as_labels(train.labels[rows], len(x_train), count, self.name)
        y_test = as_labels(test.labels[: len(x_test)], len(x_test), count, self.name)
        data = self._data((x_train, x_test), (y_train, y_test), train.classes)
        return replace(data, rows=self.places(rows))

    def here(self) -> ImageData | None:
        found = self.read() if self.made_up or not self.download else self._found()
        return None if found is None else self.brought_to_size(found)

    def _found(self) -> ImageData | None:
        """The images on this machine as they are; None where there are none."""
        try:
            return self.model_copy(update={"download": False}).read()
        except UserError:
            return None

    def facts(self) -> ImageData:
        """Labels go round the classes, of which each has as many images as the others."""
        height, width, channels = self.shape
        kept = {"train": self.train_samples, "test": self.test_samples}
        counts = [min(self.counts[part], kept[part] or self.counts[part]) for part in PARTS]
        images = [blank_images(count, (channels, height, width)) for count in counts]
        labels = [torch.arange(count) % len(self.classes) for count in counts]
        unseen = replace(
            self._data(tuple(images), tuple(labels), self.classes),
            seen=False,
            known_hashes=tuple((each, f"{len(each)} of {self.name} unseen") for each in images),
        )
        return self.brought_to_size(unseen)

    def _made_up_part(self, part: str) -> Part:
        wanted = self.first_samples if part == "train" else self.test_samples
        count = min(self.counts[part], wanted or self.counts[part])
        return Part(*made_up(self.name, part, count, len(self.classes), self.shape), self.classes)

    def _data(
        self, images: tuple[Tensor, ...], labels: tuple[Tensor, ...], names: tuple[str, ...]
    ) -> ImageData:
        (x_train, x_test), (y_train, y_test) = images, labels
        mean, std = self.statistics()
        return ImageData(
            x_train=x_train,
            y_train=y_train,
            x_test=x_test,
            y_test=y_test,
            class_names=names,
            mean=mean,
            std=std,
            finetune_augment=SMALL_FINETUNE,
            ssl_augment=SMALL_SSL,
            superclasses=self.superclasses,
        )
