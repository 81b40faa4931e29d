"""CIFAR-10 (Krizhevsky 2009) through torchvision; the home of what both CIFARs share."""

from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field
from torchvision.datasets import CIFAR10, CIFAR100

from noisetune.data._pixels import Statistics
from noisetune.data._published import Part, PublishedConfig
from noisetune.errors import UserError

Share = Annotated[float, Field(gt=0.0, lt=1.0)]

CLASSES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip
"""CIFAR-10's, in the order of their labels."""


class CifarConfig(PublishedConfig):
    """Either CIFAR, by torchvision."""

    counts = {"train": 50_000, "test": 10_000}
    shape = (32, 32, 3)
    classes: ClassVar[tuple[str, ...]] = CLASSES
    folder = CIFAR10.base_folder
    dataset: ClassVar[type[CIFAR10] | type[CIFAR100]] = CIFAR10

    mean: tuple[Share, Share, Share] = (0.4914, 0.4822, 0.4465)
    """What is taken from red, green and blue where images are normalised; by default the mean of
    the training images. Pixels are 0 to 1."""
    std: tuple[Share, Share, Share] = (0.2470, 0.2435, 0.2616)
    """What they are divided by then; by default the deviation of the training images."""

    def statistics(self) -> tuple[Statistics, Statistics]:
        return self.mean, self.std

    def read_part(self, part: str) -> Part:
        try:
            train = part == "train"
            read = self.dataset(str(self.root), train=train, download=self.download)
        except (RuntimeError, OSError) as error:
            raise UserError(
                f"data.root: {self.name} is not found in {self.root} and could not be downloaded "
                f"({error}); put torchvision's folder {self.dataset.base_folder} there, "
                "or name another root"
            ) from error
        return Part(read.data, np.asarray(read.targets), tuple(read.classes))


class Config(CifarConfig):
    """50,000 training and 10,000 test images of 32x32 in 10 classes.

    The deviation under the paper's protocol is the one that is often met, and is too small.
    """

    recipes = {"paper": {"std": (0.2023, 0.1994, 0.2010)}}

    name: Literal["cifar10"] = "cifar10"
