"""scikit-learn's handwritten digits: 1,797 real 8x8 grayscale images, shipped with it."""

from functools import lru_cache
from typing import Literal

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from noisetune.data._overlap import say_shared
from noisetune.data._pixels import channel_statistics
from noisetune.data.base import DataConfig, ImageData, as_images, as_labels
from noisetune.training.augment import AugmentConfig

TEST_SHARE = 0.2
# A six turned over is a nine, so digits are never flipped.
SSL_AUGMENT = AugmentConfig(crop_scale=(0.5, 1.0), jitter=(0.4, 0.4, 0.0, 0.0))
FINETUNE_AUGMENT = AugmentConfig(pad=1)


@lru_cache(maxsize=1)
def _arrays() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    digits = load_digits()
    images = np.round(digits.images * (255 / 16)).astype(np.uint8)
    x_train, x_test, y_train, y_test = train_test_split(
        images, digits.target, test_size=TEST_SHARE, stratify=digits.target, random_state=0
    )
    return x_train, y_train, x_test, y_test


class Config(DataConfig):
    """The embedded data set: 1,437 training and 360 test images, always the same split."""

    default_under = ("standard",)

    name: Literal["digits"] = "digits"

    def read(self) -> ImageData:
        x_train, y_train, x_test, y_test = _arrays()
        rows = self.kept_rows(y_train)
        images = as_images(x_train[rows], "digits")
        mean, std = channel_statistics(images)
        test = as_images(x_test[: self.test_samples], "digits")
        say_shared("digits", images, test)
        return ImageData(
            x_train=images,
            y_train=as_labels(y_train[rows], len(images), 10, "digits"),
            x_test=test,
            y_test=as_labels(y_test[: self.test_samples], len(test), 10, "digits"),
            class_names=tuple(str(digit) for digit in range(10)),
            mean=mean,
            std=std,
            finetune_augment=FINETUNE_AUGMENT,
            ssl_augment=SSL_AUGMENT,
            rows=self.places(rows),
        )
