"""Fashion-MNIST (Xiao, Rasul and Vollgraf 2017, arXiv 1708.07747): grey pictures of garments."""

from pathlib import Path
from typing import Literal

from torchvision.datasets import FashionMNIST
from torchvision.datasets.utils import download_url

from noisetune.data._archive import read_parts
from noisetune.data._idx import read_idx
from noisetune.data._pixels import Statistics
from noisetune.data._published import USUAL, Part, PublishedConfig
from noisetune.data.base import as_labels
from noisetune.errors import UserError

RAW = Path("FashionMNIST", "raw")
DEBIAN = Path("/usr/share/datasets/fashion-mnist")
"""Where Debian's package dataset-fashion-mnist puts the files."""
PREFIX = {"train": "train", "test": "t10k"}
IMAGES, LABELS = "images-idx3-ubyte", "labels-idx1-ubyte"
FILES = [f"{prefix}-{kind}" for prefix in PREFIX.values() for kind in (IMAGES, LABELS)]


class Config(PublishedConfig):
    """60,000 training and 10,000 test images of 28x28, grey, in 10 classes.

    A mirrored garment is the same garment: views are made as CIFAR's are, of which nothing is left
    of what is done to colour.
    """

    counts = {"train": 60_000, "test": 10_000}
    shape = (28, 28, 1)
    classes = tuple(FashionMNIST.classes)
    folder = RAW.parts[0]

    name: Literal["fashion_mnist"] = "fashion_mnist"
    root: Path = USUAL
    """The folder with torchvision's `FashionMNIST/raw`, or with the four files themselves, gzipped
    or not, or an `.npz` archive of `x_train`, `y_train`, `x_test` and `y_test`. Where it is left
    out, the files of Debian's package dataset-fashion-mnist are found, too."""

    def statistics(self) -> tuple[Statistics, Statistics]:
        """Those of the training images."""
        return (0.2860,), (0.3530,)

    def is_there(self) -> bool:
        return self._place() is not None

    def read_part(self, part: str) -> Part:
        rows = self.first_samples if part == "train" else self.test_samples
        place = self._place() or self._downloaded()
        if place.suffix == ".npz":
            names = f"x_{part}", f"y_{part}"
            images, labels = read_parts(
                place, "data.root", dict.fromkeys(names, rows), names
            ).values()
        else:
            images, labels = (
                read_idx(_file(place, f"{PREFIX[part]}-{kind}"), rows) for kind in (IMAGES, LABELS)
            )
        if images.shape[1:] not in (self.shape, self.shape[:2]):
            raise UserError(
                f"data.root: {place}: images of shape {images.shape[1:]}; those of Fashion-MNIST "
                "are 28x28 and grey: name another root"
            )
        what = f"data.root: {place}: labels of {part}"
        as_labels(labels, len(images), len(self.classes), what)
        return Part(images, labels, self.classes)

    def _place(self) -> Path | None:
        """The archive, or the first folder that has all files; None where there is none."""
        if self.root.suffix == ".npz":
            return self.root
        places = [self.root / RAW, self.root, *([DEBIAN] if self.root == USUAL else [])]
        complete = (
            place for place in places if all(_file(place, name).is_file() for name in FILES)
        )
        return next(complete, None)

    def _downloaded(self) -> Path:
        """The folder of the files after they were fetched, each checked by its digest."""
        place = self.root / RAW
        try:
            if not self.download:
                raise RuntimeError("data.download is false")
            for file, digest in FashionMNIST.resources:
                download_url(FashionMNIST.mirrors[0] + file, str(place), file, digest)
        except (RuntimeError, OSError) as error:
            raise UserError(
                f"data.root: {self.name} is not found in {self.root} and could not be downloaded "
                f"({error}); put torchvision's folder {RAW} or the files {', '.join(FILES)} there, "
                "or name another root"
            ) from error
        return place


def _file(place: Path, name: str) -> Path:
    """A file as it is, or else gzipped."""
    plain = place / name
    return plain if plain.is_file() else place / f"{name}.gz"
