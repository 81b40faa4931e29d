"""CIFAR-100 (Krizhevsky 2009) through torchvision, with its 100 fine classes."""

from typing import Literal

from torchvision.datasets import CIFAR100

from noisetune.data.cifar10 import CifarConfig, Share

SUPERCLASSES = (
    4, 1, 14, 8, 0, 6, 7, 7, 18, 3, 3, 14, 9, 18, 7, 11, 3, 9, 7, 11,
    6, 11, 5, 10, 7, 6, 13, 15, 3, 15, 0, 11, 1, 10, 12, 14, 16, 9, 11, 5,
    5, 19, 8, 8, 15, 13, 14, 17, 18, 10, 16, 4, 17, 4, 2, 0, 17, 4, 18, 17,
    10, 3, 2, 12, 12, 16, 12, 1, 9, 19, 2, 10, 0, 1, 16, 12, 9, 13, 15, 13,
    16, 19, 2, 4, 6, 19, 5, 5, 8, 19, 18, 1, 2, 15, 6, 0, 17, 8, 14, 13,
)  # fmt: skip
"""The superclass of each fine class, both in alphabetical order; torchvision's loader drops it."""


class Config(CifarConfig):
    """50,000 training and 10,000 test images of 32x32 in 100 classes."""

    recipes = {"paper": {"mean": (0.5071, 0.4867, 0.4408), "std": (0.2675, 0.2565, 0.2761)}}

    classes = tuple(f"class {label}" for label in range(100))
    superclasses = SUPERCLASSES
    folder = CIFAR100.base_folder
    dataset = CIFAR100

    name: Literal["cifar100"] = "cifar100"
    mean: tuple[Share, Share, Share] = (0.5071, 0.4865, 0.4409)
    std: tuple[Share, Share, Share] = (0.2673, 0.2564, 0.2762)
