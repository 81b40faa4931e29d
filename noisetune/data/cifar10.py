"""CIFAR-10 (Krizhevsky 2009) through torchvision; the home of what both CIFARs share."""

from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field
from torchvision.datasets import CIFAR10, CIFAR100

from noisetune.data._augmentations import SMALL_FINETUNE, SMALL_SSL
from noisetune.data._made_up import MadeUp, made_up
from noisetune.data._overlap import say_shared
from noisetune.data.base import DataConfig, ImageData, as_images, as_labels
from noisetune.errors import UserError
from noisetune.plugins import StandIn

CLASSES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip
"""CIFAR-10's, in the order of their labels."""


class CifarConfig(DataConfig):
    """Either CIFAR, by torchvision."""

    root: Path = Field(default=Path("data"))
    """The folder with torchvision's own layout."""
    download: bool = True
    """Fetch them to `root`, once, where they are not there."""
    made_up: bool = False
    """Images drawn at random in their place, as many, of the same shape and classes; for smoke
    runs."""

    def stand_in(self) -> StandIn | None:
        """Made-up images where they would have to be downloaded."""
        if self.made_up:
            return None
        try:
            self.model_copy(update={"download": False}).load()
        except UserError:
            return StandIn({"made_up": True}, f"{self.name} is not in {self.root}")
        return None

    def load_with(
        self,
        dataset: type[CIFAR10] | type[CIFAR100],
        mean: tuple[float, ...],
        std: tuple[float, ...],
        superclasses: tuple[int, ...] | None = None,
    ) -> ImageData:
        """Both parts of `dataset` as tensors, in its original order."""
        train, test = (self._part(dataset, part) for part in (True, False))
        classes = len(train.classes)
        x_train = as_images(train.data[: self.train_samples], self.name)
        x_test = as_images(test.data[: self.test_samples], self.name)
        say_shared(self.name, x_train, x_test)
        y_train, y_test = (np.asarray(part.targets) for part in (train, test))
        return ImageData(
            x_train=x_train,
            y_train=as_labels(y_train[: self.train_samples], len(x_train), classes, self.name),
            x_test=x_test,
            y_test=as_labels(y_test[: self.test_samples], len(x_test), classes, self.name),
            class_names=tuple(train.classes),
            mean=mean,
            std=std,
            finetune_augment=SMALL_FINETUNE,
            ssl_augment=SMALL_SSL,
            superclasses=superclasses,
        )

    def _part(
        self, dataset: type[CIFAR10] | type[CIFAR100], train: bool
    ) -> CIFAR10 | CIFAR100 | MadeUp:
        if self.made_up:
            classes = list(CLASSES) if dataset is CIFAR10 else [f"class {n}" for n in range(100)]
            count = self.train_samples if train else self.test_samples
            return made_up(self.name, classes, train, count)
        try:
            return dataset(str(self.root), train=train, download=self.download)
        except (RuntimeError, OSError) as error:
            raise UserError(
                f"data.root: {self.name} is not found in {self.root} and could not be downloaded "
                f"({error}); put torchvision's folder {dataset.base_folder} there, "
                "or name another root"
            ) from error


class Config(CifarConfig):
    """50,000 training and 10,000 test images of 32x32 in 10 classes."""

    name: Literal["cifar10"] = "cifar10"

    def load(self) -> ImageData:
        return self.load_with(CIFAR10, (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616))
