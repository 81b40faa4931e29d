"""CIFAR-10 (Krizhevsky 2009) through torchvision; the home of what both CIFARs share."""

from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field
from torchvision.datasets import CIFAR10, CIFAR100

from noisetune.data._made_up import MadeUp, made_up
from noisetune.data._overlap import say_shared
from noisetune.data.base import DataConfig, ImageData, as_images, as_labels
from noisetune.errors import UserError
from noisetune.training.augment import AugmentConfig

# The paper's augmentations (REFERENCES: blur with a 3-pixel kernel, always).
SSL_AUGMENT = AugmentConfig(
    crop_scale=(0.2, 1.0), flip=0.5, jitter=(0.8, 0.8, 0.8, 0.2), grayscale=0.2, blur=1.0
)
FINETUNE_AUGMENT = AugmentConfig(pad=4, flip=0.5)

CLASSES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip
"""CIFAR-10's, in the order of their labels."""


class CifarConfig(DataConfig):
    """Either CIFAR. `root` is the folder that holds torchvision's own layout.

    Where it is not found there, it is downloaded to `root` once, unless `download` is false.
    `made_up` images are drawn at random instead, as many and of the same classes.
    """

    root: Path = Field(default=Path("data"))
    download: bool = True
    made_up: bool = False

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
            finetune_augment=FINETUNE_AUGMENT,
            ssl_augment=SSL_AUGMENT,
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
