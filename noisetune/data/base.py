"""What every data set gives: uint8 images in memory, labels, and how to augment them."""

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field, field_validator
from torch import Tensor

from noisetune.data._augmentations import in_proportion
from noisetune.data._decoding import enlargement, require_enlargement
from noisetune.data._image_cache import resized_images
from noisetune.data._pixels import Statistics, content_hash
from noisetune.data._pixels import channel_statistics as channel_statistics
from noisetune.data._subset import Subset, drawn_order
from noisetune.errors import UserError
from noisetune.plugins import PluginConfig, StandIn
from noisetune.training.augment import AugmentConfig

Pixels = Annotated[int, Field(ge=8, le=4096)]
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
            "" if self.rows is None else content_hash(self.rows),  # labels of people go by them
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
    size: tuple[Pixels, Pixels] | None = None
    """Height and width in pixels, or one number for both, that images are brought to: the shorter
    side is resized (bilinear, antialiased), and the centre cropped. They are enlarged 8 times at
    most. null: as they are."""
    train_samples: int | None = Field(default=None, ge=2)
    """Keep only so many training images; null for all."""
    train_subset: Subset = "first"
    """Which ones: the `first`, so many drawn at `random`, or `stratified`, drawn so that each class
    keeps its share, by the labels that the data set has. Fewer of them are a part of more."""
    subset_seed: int = Field(default=0, ge=0)
    """What they are drawn by. Every replicate has the same."""
    test_samples: int | None = Field(default=None, ge=1)
    """Keep only the first so many test images; null for all."""

    @field_validator("size", mode="before")
    @classmethod
    def _square(cls, size: Any) -> Any:
        return (size, size) if isinstance(size, int) else size

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
        """The data set, its images at `size`; UserError where its files are missing or malformed,
        and for a size that would enlarge them too much."""
        return self.brought_to_size(self.read())

    def read(self) -> ImageData:
        """The data set with its images as they are, and of those of training what is kept
        (`kept_rows`); UserError where its files are missing or malformed."""
        raise NotImplementedError

    def here(self) -> ImageData | None:
        """The data set as `load` gives it; None where it would have to be fetched."""
        return self.load()

    def facts(self) -> ImageData:
        """What is known of a data set that is not `here`: it is not `seen`, its pixels are 0."""
        raise NotImplementedError

    @property
    def drawn(self) -> bool:
        """Whether the training images that are kept are not the first ones."""
        return self.train_samples is not None and self.train_subset != "first"

    @property
    def first_samples(self) -> int | None:
        """As many of the first training images as have to be known; None for all."""
        return None if self.drawn else self.train_samples

    def kept_rows(self, labels: np.ndarray) -> np.ndarray:
        """The rows of the training images that are kept, int64, in the order that they get.

        `labels` (N,) are those of all of them, or of the `first_samples`. A smaller
        `train_samples` gives the first rows of a larger one.
        """
        if not self.drawn:
            return np.arange(len(labels))[: self.train_samples]
        order = drawn_order(labels, self.subset_seed, self.train_subset == "stratified")
        return order[: self.train_samples]

    def places(self, rows: np.ndarray) -> Tensor | None:
        """`ImageData.rows` of training images that stand in these rows of the whole set."""
        return None if np.array_equal(rows, np.arange(len(rows))) else torch.from_numpy(rows)

    def brought_to_size(self, data: ImageData) -> ImageData:
        """A data set whose images are at `size`, and whose views are as large in proportion.

        Mean and deviation stay those of the images as they were. Resized images lie in the cache.
        """
        if self.size is None or self.size == data.size:
            return data
        require_enlargement(data.size, self.size)
        parts = _resized(data, self.size)
        factor = enlargement(data.size, self.size)
        return replace(
            data,
            x_train=parts[0][0],
            x_test=parts[1][0],
            known_hashes=parts,
            finetune_augment=in_proportion(data.finetune_augment, factor),
            ssl_augment=in_proportion(data.ssl_augment, factor),
        )

    def stand_in(self) -> StandIn | None:
        """What a smoke run takes for images that would have to be fetched; None where none have.

        Its images are as many, of the same shape and classes.
        """
        return None


def _resized(data: ImageData, size: tuple[int, int]) -> tuple[tuple[Tensor, str], ...]:
    """Training and test images at another size, with their content hashes."""
    if data.seen:
        made = [resized_images(images, size) for images in (data.x_train, data.x_test)]
        return tuple((each.images, each.content_hash) for each in made)
    hashes = (f"{data.train_images_hash} at {size}", f"{data.test_images_hash} at {size}")
    blank = (
        blank_images(len(images), (data.channels, *size)) for images in (data.x_train, data.x_test)
    )
    return tuple(zip(blank, hashes, strict=True))


def blank_images(count: int, shape: tuple[int, int, int]) -> Tensor:
    """uint8 images (count, *shape) of pixels 0, which take no memory."""
    return torch.zeros((), dtype=torch.uint8).expand(count, *shape)


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
