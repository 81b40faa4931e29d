"""One's own image files: in folders of classes, or named by lists, as web data comes."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

import torch
from pydantic import Field, field_validator, model_validator

from noisetune.data._augmentations import of_pictures
from noisetune.data._decoding import Form
from noisetune.data._folders import read_folders
from noisetune.data._image_cache import CachedImages, cached_images, default_cache
from noisetune.data._labels import Labelled, read_labels, refuse_empty
from noisetune.data._layouts import LAYOUTS
from noisetune.data._listing import Listed, inside, plain, read_list
from noisetune.data._overlap import OwnImages, Where, refuse_shared
from noisetune.data.base import ImageData, Pixels
from noisetune.errors import UserError

LayoutName = Literal[
    "animal10n", "clothing1m", "webvision", "mini_webvision", "food101n", "red_mini_imagenet"
]


class Config(OwnImages):
    """Image files of any format that Pillow reads, in folders of classes or named by lists.

    The test labels are held to be clean.
    """

    name: Literal["folder"] = "folder"
    root: Path
    """The folder with the images."""
    size: tuple[Pixels, Pixels]
    """Height and width in pixels, or one number for both: the shorter side of an image is resized
    to it (bilinear, antialiased), and the centre cropped. None is enlarged more than 8 times."""
    layout: LayoutName | None = None
    """How a published set lies in `root`, as its archives are unpacked; null for folders of classes
    or lists of one's own."""
    train: str | None = None
    """The folder in `root` that has a folder of training images for each class, at any depth.
    Links are followed; what is hidden or left behind by archivers (`__MACOSX`) is passed over.
    null for `train`. In a layout: the part to train on; null for the usual one."""
    test: str | None = None
    """The folder in `root` that has a folder of test images for each class; null for `test`. In a
    layout: the part to test on; null for the usual one."""
    train_list: Path | None = None
    """Instead: a file in `root` of lines `path label`, apart by a tab or by spaces. Paths are
    relative to `root` and cannot leave it; labels are numbers that follow one another, or names."""
    test_list: Path | None = None
    """The same for the test images; both lists are given, or neither."""
    classes: tuple[str, ...] | None = Field(default=None, min_length=2)
    """The names, in the order of their labels, each with a training image; null for the training
    folders, or what the training list has: numbers by value, or names in alphabetical order."""
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

    @field_validator("train", "test")
    @classmethod
    def _stays_inside(cls, folder: str | None) -> str | None:
        if folder is None:
            return None
        if Path(folder).is_absolute() or inside(folder, Path()) in (None, "."):
            raise ValueError(f"{folder!r} leads out of root; name a folder in it")
        return folder

    @field_validator("cache")
    @classmethod
    def _can_be_a_folder(cls, cache: Path | None) -> Path | None:
        if cache is not None and b"\0" in os.fsencode(cache):
            raise ValueError("no folder has a name with a zero in it")
        return cache

    @field_validator("classes", mode="before")
    @classmethod
    def _names_are_labels(cls, names: Any) -> Any:
        """Names as labels are read; YAML makes numbers of years."""
        if not isinstance(names, (list, tuple)):
            return names
        return [plain(str(each)) if type(each) in (int, str) else each for each in names]

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

    @model_validator(mode="after")
    def _layout_has_its_parts(self) -> Self:
        if self.layout is None:
            return self
        if self.train_list is not None:
            raise ValueError(
                f"layout {self.layout} and train_list: a layout says itself where its lists are; "
                "leave one of them out"
            )
        self._part("train")
        self._part("test")
        return self

    def _part(self, field: Literal["train", "test"]) -> str:
        """The folder or the part of the layout that is trained or tested on."""
        given = self.train if field == "train" else self.test
        return LAYOUTS[self.layout].part(field, given) if self.layout else given or field

    def written(self) -> Mapping[str, Path]:
        return {} if self.cache is None else {"cache": self.cache}

    def load(self) -> ImageData:
        """The data set; images are decoded at `size`, not resized after."""
        listed, test, labelled = self._listed()
        rows, test = self.kept_rows(labelled.train), test[: self.test_samples]
        train, y_test = [listed[row] for row in rows], labelled.test[: len(test)]
        x_train, x_test = self._images(train), self._images(test)
        left = self.rows_kept(
            x_train.contents.tolist(),
            x_test.contents.tolist(),
            labelled.train[rows],
            self._where(train, test),
        )
        if left is not None:
            rows = rows[left]
            x_train = self._images([listed[row] for row in rows])
        finetune, ssl = of_pictures(self.size, self.flip)
        return ImageData(
            x_train=x_train.images,
            y_train=torch.from_numpy(labelled.train[rows]),
            x_test=x_test.images,
            y_test=torch.from_numpy(y_test),
            class_names=labelled.classes,
            mean=x_train.mean,
            std=x_train.std,
            finetune_augment=finetune,
            ssl_augment=ssl,
            labels_clean=self.labels_are == "clean",
            known_hashes=tuple((each.images, each.content_hash) for each in (x_train, x_test)),
            rows=self.places(rows),
        )

    @property
    def form(self) -> Form:
        return Form(*self.size, channels=1 if self.grey else 3)

    def _listed(self) -> tuple[list[Listed], list[Listed], Labelled]:
        """All training and test images, and their labels."""
        if not self.root.is_dir():
            raise UserError(f"data.root: {self.root} is no folder; name the one with the images")
        train, test, folders, left_out = self._read()
        if self.overlap == "refuse":
            # What can be known of it before hours of decoding.
            paths = [each.path for each in train], [each.path for each in test]
            refuse_shared(paths[0], paths[1], self._where(train, test))
        known = LAYOUTS[self.layout].classes if self.layout else None
        labelled = read_labels(train, test, self.classes or known, folders)
        refuse_empty(labelled, self._part("train"), left_out)
        if len(labelled.classes) < 2:
            raise UserError(
                f"data.root: {self.root} has images of one class alone "
                f"({', '.join(labelled.classes)}); two or more are needed"
            )
        return train, test, labelled

    def _read(self) -> tuple[list[Listed], list[Listed], list[str] | None, list[str]]:
        """Both parts; in folders also the classes of training, and its files that are no images."""
        if self.train_list is not None and self.test_list is not None:
            train = read_list(self.train_list, self.root, "data.train_list")
            test = read_list(self.test_list, self.root, "data.test_list")
            return train, test, None, []
        parts = self._part("train"), self._part("test")
        if self.layout is not None:
            layout = LAYOUTS[self.layout]
            train = layout.train[parts[0]](self.root, "data.train")
            return train, layout.test[parts[1]](self.root, "data.test"), None, []
        train, classes, left_out = read_folders(self.root, parts[0], "data.train")
        return train, read_folders(self.root, parts[1], "data.test").images, classes, left_out

    def _images(self, listed: Sequence[Listed]) -> CachedImages:
        root = self.root.absolute()
        files = [os.path.join(root, each.path) for each in listed]
        cache = self.cache or default_cache()
        return cached_images(files, self.form, cache, lambda row: self._place(listed[row]))

    def _place(self, image: Listed) -> str:
        """Where an image is, and first where it is named."""
        path = str(self.root / image.path)
        return f"{image.where}: {path}" if _is_in_list(image) else path

    def _where(self, train: Sequence[Listed], test: Sequence[Listed]) -> Where:
        parts = {"train": train, "test": test}

        def where(part: str, row: int) -> str:
            image = parts[part][row]
            return f"{image.where}: {image.path}" if _is_in_list(image) else image.where

        return where


def _is_in_list(image: Listed) -> bool:
    """Whether it is named by a list, and not by its own folder."""
    return not image.where.endswith(image.path)
