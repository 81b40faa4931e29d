"""One's own image files: in folders of classes, or named by lists, as web data comes."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import torch
from pydantic import Field, field_validator, model_validator

from noisetune.data._augmentations import (
    LARGE_FINETUNE,
    LARGE_SSL,
    SMALL_FINETUNE,
    SMALL_SSL,
)
from noisetune.data._decoding import Form
from noisetune.data._image_cache import CachedImages, cached_images, default_cache
from noisetune.data._listing import (
    Listed,
    as_numbers,
    inside,
    listed_classes,
    read_folders,
    read_list,
    refuse_shared,
)
from noisetune.data.base import DataConfig, ImageData
from noisetune.errors import UserError
from noisetune.training.augment import AugmentConfig

Pixels = Annotated[int, Field(ge=8, le=4096)]
SMALL_PIXELS = 64
"""Images up to this shorter side are augmented as CIFAR's are."""
BLUR_SHARE = 0.1


class Config(DataConfig):
    """Image files of any format that Pillow reads, in folders of classes or named by lists.

    The test labels are held to be clean.
    """

    name: Literal["folder"] = "folder"
    root: Path
    """The folder with the images."""
    size: tuple[Pixels, Pixels]
    """Height and width in pixels, or one number for both: the shorter side of an image is resized
    to it (bilinear, antialiased), and the centre cropped."""
    train: str = "train"
    """The folder in `root` that has a folder of training images for each class."""
    test: str = "test"
    """The folder in `root` that has a folder of test images for each class."""
    train_list: Path | None = None
    """Instead: a file (in `root`) of lines `path label`, apart by a tab or by spaces, as WebVision
    and Clothing1M come. Paths are relative to `root` and cannot leave it; labels are numbers from
    0, or names."""
    test_list: Path | None = None
    """The same for the test images; both lists are given, or neither."""
    classes: tuple[str, ...] | None = Field(default=None, min_length=2)
    """The names, in the order of their labels; null for the training folders in alphabetical
    order, or what the training list has."""
    labels_are: Literal["noisy", "clean"] = "noisy"
    """Of the training set. `noisy`: nobody knows which are wrong, so `noise: {model: none}` takes
    them as they come, and the realised noise of training labels and the memorisation are null; any
    other noise model comes on top. `clean`: they are the truth."""
    grey: bool = False
    """Brightness alone, one channel."""
    flip: bool = True
    """Whether mirrored images are the same thing; false for images with a handedness."""
    cache: Path | None = None
    """Where decoded images are kept; null for the folder `images` of `NOISETUNE_CACHE`, or of
    `~/.cache/noisetune`."""

    @field_validator("size", mode="before")
    @classmethod
    def _square(cls, size: Any) -> Any:
        return (size, size) if isinstance(size, int) else size

    @field_validator("train", "test")
    @classmethod
    def _stays_inside(cls, folder: str) -> str:
        if Path(folder).is_absolute() or inside(folder, Path()) in (None, "."):
            raise ValueError(f"{folder!r} leads out of root; name a folder in it")
        return folder

    @field_validator("classes")
    @classmethod
    def _no_class_twice(cls, names: tuple[str, ...] | None) -> tuple[str, ...] | None:
        twice = sorted({name for name in names or () if (names or ()).count(name) > 1})
        if twice:
            raise ValueError(f"{', '.join(twice)}: more than once; every class has its own name")
        return names

    @model_validator(mode="after")
    def _lists_go_together(self) -> Self:
        if (self.train_list is None) != (self.test_list is None):
            raise ValueError("train_list and test_list go together; give both or neither")
        return self

    def load(self) -> ImageData:
        train, test, classes = self._listed()
        refuse_shared(train, test)
        if len(classes) < 2:
            raise UserError(
                f"data.root: {self.root} has images of one class alone ({', '.join(classes)}); "
                "two or more are needed"
            )
        train, test = train[: self.train_samples], test[: self.test_samples]
        numbers = self.train_list is not None
        y_train, y_test = (as_numbers(part, classes, numbers) for part in (train, test))
        x_train, x_test = self._images(train), self._images(test)
        finetune, ssl = self._augmentations()
        return ImageData(
            x_train=x_train.images,
            y_train=torch.from_numpy(y_train),
            x_test=x_test.images,
            y_test=torch.from_numpy(y_test),
            class_names=tuple(classes),
            mean=x_train.mean,
            std=x_train.std,
            finetune_augment=finetune,
            ssl_augment=ssl,
            labels_clean=self.labels_are == "clean",
            known_hashes=tuple((each.images, each.content_hash) for each in (x_train, x_test)),
        )

    @property
    def form(self) -> Form:
        return Form(*self.size, channels=1 if self.grey else 3)

    def _listed(self) -> tuple[list[Listed], list[Listed], Sequence[str]]:
        """All training and test images, and the names of the classes."""
        if not self.root.is_dir():
            raise UserError(f"data.root: {self.root} is no folder; name the one with the images")
        if self.train_list is not None and self.test_list is not None:
            train = read_list(self.root / self.train_list, self.root, "data.train_list")
            test = read_list(self.root / self.test_list, self.root, "data.test_list")
            return train, test, self.classes or listed_classes(train)
        train, names = read_folders(self.root, self.train, "data.train")
        test, _ = read_folders(self.root, self.test, "data.test")
        return train, test, self.classes or names

    def _images(self, listed: Sequence[Listed]) -> CachedImages:
        root = self.root.absolute()
        files = [os.path.join(root, each.path) for each in listed]
        in_list = self.train_list is not None

        def where(index: int) -> str:
            path = str(self.root / listed[index].path)
            return f"{listed[index].where}: {path}" if in_list else path

        return cached_images(files, self.form, self.cache or default_cache(), where)

    def _augmentations(self) -> tuple[AugmentConfig, AugmentConfig]:
        """Of fine-tuning and of pre-training; a blur is a tenth of a large image wide."""
        shorter = min(self.size)
        finetune, ssl = SMALL_FINETUNE, SMALL_SSL
        if shorter > SMALL_PIXELS:
            kernel = 2 * (round(BLUR_SHARE * shorter) // 2) + 1
            finetune, ssl = LARGE_FINETUNE, LARGE_SSL.model_copy(update={"blur_kernel": kernel})
        flip = {} if self.flip else {"flip": 0.0}
        return finetune.model_copy(update=flip), ssl.model_copy(update=flip)
