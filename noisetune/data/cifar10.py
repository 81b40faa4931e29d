"""CIFAR-10 (Krizhevsky 2009) through torchvision; the home of what both CIFARs share."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torchvision.datasets import CIFAR10, CIFAR100

from noisetune.data._augmentations import SMALL_FINETUNE, SMALL_SSL
from noisetune.data._made_up import COUNTS, SIZE, MadeUp, made_up
from noisetune.data._overlap import say_shared
from noisetune.data.base import (
    DataConfig,
    ImageData,
    as_images,
    as_labels,
    blank_images,
)
from noisetune.errors import UserError
from noisetune.plugins import StandIn

Share = Annotated[float, Field(gt=0.0, lt=1.0)]

CLASSES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip
"""CIFAR-10's, in the order of their labels."""


class CifarConfig(DataConfig):
    """Either CIFAR, by torchvision."""

    dataset: ClassVar[type[CIFAR10] | type[CIFAR100]] = CIFAR10
    superclasses: ClassVar[tuple[int, ...] | None] = None

    root: Path = Field(default=Path("data"))
    """The folder with torchvision's own layout."""
    download: bool = True
    """Fetch them to `root`, once, where they are not there."""
    mean: tuple[Share, Share, Share] = (0.4914, 0.4822, 0.4465)
    """What is taken from red, green and blue where images are normalised; by default the mean of
    the training images. Pixels are 0 to 1."""
    std: tuple[Share, Share, Share] = (0.2470, 0.2435, 0.2616)
    """What they are divided by then; by default the deviation of the training images."""
    made_up: bool = False
    """Images drawn at random in their place, as many, of the same shape and classes; for smoke
    runs."""

    def written(self) -> Mapping[str, Path]:
        """The folder that a YAML file has images downloaded to."""
        fetched = self.download and not self.made_up
        there = self.root / self.dataset.base_folder
        usual = type(self).model_fields["root"].default
        return {"root": self.root} if fetched and self.root != usual and not there.is_dir() else {}

    def stand_in(self) -> StandIn | None:
        """Made-up images where they would have to be downloaded."""
        if self.made_up or self._found() is not None:
            return None
        return StandIn({"made_up": True}, f"{self.name} is not in {self.root}")

    def load(self) -> ImageData:
        """Both parts as tensors, in their original order."""
        train, test = (self._part(part) for part in (True, False))
        x_train = as_images(train.data[: self.train_samples], self.name)
        x_test = as_images(test.data[: self.test_samples], self.name)
        say_shared(self.name, x_train, x_test)
        labels = (
            as_labels(np.asarray(part.targets)[: len(x)], len(x), len(train.classes), self.name)
            for part, x in ((train, x_train), (test, x_test))
        )
        return self._data((x_train, x_test), tuple(labels), tuple(train.classes))

    def here(self) -> ImageData | None:
        return self.load() if self.made_up or not self.download else self._found()

    def _found(self) -> ImageData | None:
        """The images on this machine; None where there are none."""
        try:
            return self.model_copy(update={"download": False}).load()
        except UserError:
            return None

    def facts(self) -> ImageData:
        """Labels go round the classes, of which each has as many images as the others."""
        names = self._made_up_classes()
        counts = [
            min(COUNTS[train], wanted or COUNTS[train])
            for train, wanted in ((True, self.train_samples), (False, self.test_samples))
        ]
        images = [blank_images(count, (3, SIZE, SIZE)) for count in counts]
        labels = tuple(torch.arange(count) % len(names) for count in counts)
        return replace(
            self._data(tuple(images), labels, tuple(names)),
            seen=False,
            known_hashes=tuple((each, f"{self.name} unseen") for each in images),
        )

    def _data(
        self, images: tuple[Tensor, ...], labels: tuple[Tensor, ...], names: tuple[str, ...]
    ) -> ImageData:
        (x_train, x_test), (y_train, y_test) = images, labels
        return ImageData(
            x_train=x_train,
            y_train=y_train,
            x_test=x_test,
            y_test=y_test,
            class_names=names,
            mean=self.mean,
            std=self.std,
            finetune_augment=SMALL_FINETUNE,
            ssl_augment=SMALL_SSL,
            superclasses=self.superclasses,
        )

    def _part(self, train: bool) -> CIFAR10 | CIFAR100 | MadeUp:
        if self.made_up:
            count = self.train_samples if train else self.test_samples
            return made_up(self.name, self._made_up_classes(), train, count)
        try:
            return self.dataset(str(self.root), train=train, download=self.download)
        except (RuntimeError, OSError) as error:
            raise UserError(
                f"data.root: {self.name} is not found in {self.root} and could not be downloaded "
                f"({error}); put torchvision's folder {self.dataset.base_folder} there, "
                "or name another root"
            ) from error

    def _made_up_classes(self) -> list[str]:
        """The names of the classes, as far as they are known without the files."""
        if self.dataset is CIFAR10:
            return list(CLASSES)
        return [f"class {n}" for n in range(len(self.superclasses or ()))]


class Config(CifarConfig):
    """50,000 training and 10,000 test images of 32x32 in 10 classes.

    The deviation under the paper's protocol is the one that is often met, and is too small.
    """

    recipes = {"paper": {"std": (0.2023, 0.1994, 0.2010)}}

    name: Literal["cifar10"] = "cifar10"
