"""What every data set gives: uint8 images in memory, labels, and how to augment them."""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from operator import add

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from noisetune.errors import UserError
from noisetune.plugins import PluginConfig, StandIn
from noisetune.training.augment import AugmentConfig

Statistics = tuple[float, ...]
IMAGES_AT_ONCE = 1024
FEWEST = 2
"""So many images are trained on at least: of one alone, batch normalisation has no deviation."""


@dataclass(frozen=True)
class ImageData:
    """A data set in memory.

    `x_*` are uint8 (N, C, H, W), possibly over a memory-mapped file; `y_*` are int64 (N,) in
    0..classes-1. `y_test` are the clean labels, and so are `y_train` unless `labels_clean` is
    false: then nobody knows which of them are wrong. `mean` and `std` are per channel, in units of
    [0, 1] pixels. `superclasses` gives each class its superclass, where there are any.
    `known_hashes` are content hashes that need not be computed, for the very tensors that they
    stand with. `rows` (N,) are the places of the training images in the whole training set, where
    they are not its first ones. Where they are not `seen` nothing was fetched, and pixels and
    labels stand for the real ones: numbers, shape and classes alone are true.
    """

    x_train: Tensor
    y_train: Tensor
    x_test: Tensor
    y_test: Tensor
    class_names: tuple[str, ...]
    mean: Statistics
    std: Statistics
    finetune_augment: AugmentConfig
    ssl_augment: AugmentConfig
    superclasses: tuple[int, ...] | None = None
    labels_clean: bool = True
    known_hashes: tuple[tuple[Tensor, str], ...] = ()
    rows: Tensor | None = None
    seen: bool = True

    @property
    def classes(self) -> int:
        return len(self.class_names)

    @property
    def channels(self) -> int:
        return self.x_train.shape[1]

    @property
    def size(self) -> tuple[int, int]:
        height, width = self.x_train.shape[2:]
        return height, width

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of an image."""
        return self.channels, *self.size

    @cached_property
    def train_images_hash(self) -> str:
        return self._images_hash(self.x_train)

    @cached_property
    def test_images_hash(self) -> str:
        return self._images_hash(self.x_test)

    @cached_property
    def fingerprint(self) -> str:
        """Tells this data set from every other one: images, labels and classes, train and test."""
        parts = [
            self.train_images_hash,
            content_hash(self.y_train),
            self.test_images_hash,
            content_hash(self.y_test),
            repr((self.class_names, self.superclasses)),  # some noise goes by them
            "" if self.labels_clean else "truth of training labels unknown",
        ]
        return hashlib.sha256("".join(parts).encode()).hexdigest()[:32]

    def _images_hash(self, images: Tensor) -> str:
        # A slice, or a tensor put in another's place, is not the one that the hash was told of.
        known = (digest for tensor, digest in self.known_hashes if tensor is images)
        return next(known, None) or content_hash(images)


class DataConfig(PluginConfig):
    """Settings that all data sets share."""

    name: str
    """The data set."""
    validation_fraction: float = Field(default=0.2, ge=0.0, lt=1.0)
    """Share of the training set held out, with noisy labels, for selection; 0 selects on the part
    that label errors are sought in, which is then not disjoint from it (with test labels, the best
    epoch by noisy validation is chosen on the test images): for reproduction only."""
    detection_fraction: float = Field(default=0.1, gt=0.0, lt=1.0)
    """Where the noise has no test labels (labels that people gave): another share of the training
    set, held out of training and validation, in which label errors are sought. Otherwise that is
    the test set."""
    train_samples: int | None = Field(default=None, ge=2)
    """Keep only the first so many training images; null for all."""
    test_samples: int | None = Field(default=None, ge=1)
    """Keep only the first so many test images; null for all."""

    def held_out(self, images: int, detection: bool) -> tuple[int, int]:
        """How many of so many training images are held out for validation, and for `detection`.

        `FEWEST` are left to train on.
        """
        validated, detected = 0, 0
        if self.validation_fraction:
            wanted = max(1, round(images * self.validation_fraction))
            validated = min(wanted, images - FEWEST - detection)
        if detection:
            wanted = max(1, round(images * self.detection_fraction))
            detected = min(wanted, images - FEWEST - validated)
        return validated, detected

    def load(self) -> ImageData:
        """Read the data set; raises UserError where its files are missing or malformed."""
        raise NotImplementedError

    def here(self) -> ImageData | None:
        """The data set as `load` reads it; None where it would have to be fetched."""
        return self.load()

    def facts(self) -> ImageData:
        """What is known of a data set that is not `here`: it is not `seen`, its pixels are 0."""
        raise NotImplementedError

    def stand_in(self) -> StandIn | None:
        """What a smoke run takes for images that would have to be fetched; None where none have.

        Its images are as many, of the same shape and classes.
        """
        return None


def blank_images(count: int, shape: tuple[int, int, int]) -> Tensor:
    """uint8 images (count, *shape) of pixels 0, which take no memory."""
    return torch.zeros((), dtype=torch.uint8).expand(count, *shape)


def content_hash(tensor: Tensor) -> str:
    """SHA-256 over dtype, shape and bytes."""
    array = np.ascontiguousarray(tensor.numpy())
    digest = content_digest(array.dtype, array.shape)
    digest.update(array.reshape(-1).data)
    return digest.hexdigest()[:32]


def content_digest(dtype: np.dtype, shape: tuple[int, ...]) -> "hashlib._Hash":
    """The digest that `content_hash` feeds an array's bytes to."""
    return hashlib.sha256(f"{dtype}{shape}".encode())


@dataclass(frozen=True)
class ChannelSums:
    """Values of each channel, summed, and their squares: whole numbers of any size.

    A floating-point sum would differ in its last bits with the number of threads, or of parts.
    """

    count: int
    totals: tuple[int, ...]
    squares: tuple[int, ...]

    @classmethod
    def none(cls, channels: int) -> "ChannelSums":
        return cls(0, (0,) * channels, (0,) * channels)

    @classmethod
    def of(cls, images: Tensor) -> "ChannelSums":
        """Of uint8 images (N, C, H, W)."""
        values = torch.arange(256)
        counts = [
            torch.bincount(channel.flatten(), minlength=256) for channel in images.transpose(0, 1)
        ]
        return cls(
            int(counts[0].sum()),
            tuple(int((each * values).sum()) for each in counts),
            tuple(int((each * values.square()).sum()) for each in counts),
        )

    def __add__(self, other: "ChannelSums") -> "ChannelSums":
        return ChannelSums(
            self.count + other.count,
            tuple(map(add, self.totals, other.totals)),
            tuple(map(add, self.squares, other.squares)),
        )

    def statistics(self) -> tuple[Statistics, Statistics]:
        """Mean and deviation per channel, in [0, 1] pixel units."""
        sums = zip(self.totals, self.squares, strict=True)
        moments = [
            (total / self.count, (squares - total**2 / self.count) / (self.count - 1))
            for total, squares in sums
        ]
        means = tuple(mean / 255 for mean, _ in moments)
        return means, tuple(max(variance**0.5 / 255, 1e-3) for _, variance in moments)


def channel_statistics(images: Tensor) -> tuple[Statistics, Statistics]:
    """Mean and deviation per channel of uint8 (N, C, H, W) images, in [0, 1] pixel units.

    They are part of stage keys, and so are the same to the last bit wherever they are computed.
    """
    parts = (ChannelSums.of(part) for part in images.split(IMAGES_AT_ONCE))
    return sum(parts, start=ChannelSums.none(images.shape[1])).statistics()


def as_images(array: np.ndarray, what: str) -> Tensor:
    """uint8 (N, H, W) or (N, H, W, C) with C of 1 or 3 as a (N, C, H, W) tensor.

    Raises UserError, naming `what`, for any other type or shape.
    """
    if array.dtype != np.uint8:
        raise UserError(f"{what}: images are {array.dtype}, they must be uint8 (0..255)")
    if array.ndim == 3:
        array = array[..., None]
    if array.ndim != 4 or array.shape[3] not in (1, 3) or 0 in array.shape:
        raise UserError(
            f"{what}: shape {tuple(array.shape)} is no stack of images; "
            "it must be (N, H, W) or (N, H, W, C) with 1 or 3 channels"
        )
    return torch.from_numpy(np.ascontiguousarray(array.transpose(0, 3, 1, 2)))


def as_labels(array: np.ndarray, count: int, classes: int | None, what: str) -> Tensor:
    """Integer class labels (count,) in 0..classes-1 (any upper bound where `classes` is None)."""
    array = np.asarray(array)
    if array.shape != (count,) or not np.issubdtype(array.dtype, np.integer):
        raise UserError(
            f"{what}: {array.dtype} of shape {tuple(array.shape)}; "
            f"it must be one integer label for each of the {count} images"
        )
    if array.min() < 0 or (classes is not None and array.max() >= classes):
        bound = "0 or more" if classes is None else f"0..{classes - 1}"
        raise UserError(f"{what}: labels span {array.min()}..{array.max()}; they must be {bound}")
    return torch.from_numpy(array.astype(np.int64))
