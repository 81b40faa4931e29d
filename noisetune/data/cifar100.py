"""CIFAR-100 (Krizhevsky 2009) through torchvision, with its 100 fine classes."""

from typing import Literal

from torchvision.datasets import CIFAR100

from noisetune.data.base import ImageData
from noisetune.data.cifar10 import CifarConfig


class Config(CifarConfig):
    """50,000 training and 10,000 test images of 32x32 in 100 classes."""

    name: Literal["cifar100"] = "cifar100"

    def load(self) -> ImageData:
        return self.load_with(CIFAR100, (0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762))
