"""The images of a `Source` as the networks see them, and those that are odd or cannot be read."""

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from noisetune.clean.source import Source, require_classes
from noisetune.data._augmentations import of_pictures
from noisetune.data._decoding import MOST_WORKERS, PIXEL_BYTES, Form, decode
from noisetune.data._image_cache import cached_images, default_cache, resized_images
from noisetune.data._pixels import IMAGES_AT_ONCE, channel_statistics, contents_of
from noisetune.data.base import ImageData, require_enlargement
from noisetune.errors import UserError
from noisetune.memory import memory_limit, require_memory
from noisetune.training.runtime import available_cpus

log = logging.getLogger(__name__)

SIZES = (32, 64)
"""What images are brought to: 32 pixels where half of them have no more than 48, else 64."""
SMALL_SIDE = 48
GREY_MODES = {"L", "1"}
TINY = 12
"""Pixels of the shorter side below which an image is called tiny, where most have more."""
BLANK, DARK = 2.0, 16.0
"""Deviation of the grey values (0..255) of a blank image; their mean of a very dark one."""


@dataclass(frozen=True)
class Header:
    """What an image file says of itself: its height and width in pixels, and whether it is grey."""

    size: tuple[int, int]
    grey: bool


@dataclass(frozen=True)
class Pictures:
    """The images that were read, their `source`, a digest of each one's content, and the `odd`
    ones: row and reason."""

    source: Source
    data: ImageData
    contents: Sequence[bytes]
    odd: Sequence[tuple[int, str]]


def read_pictures(source: Source, size: tuple[int, int] | None = None) -> Pictures:
    """All images at `size` (H, W); what cannot be read is left out, with its reason.

    Files are decoded once, into the image cache. UserError where nothing that can be judged is
    left, and where all images are equal.
    """
    if source.arrays is not None:
        source, images, shapes = _of_arrays(source, size)
        contents: Sequence[bytes] = contents_of(images)
        mean_std = channel_statistics(images)
    else:
        source, headers = _with_headers(source)
        require_classes(source)
        form = Form(*(size or _size(headers)), 1 if all(each.grey for each in headers) else 3)
        source, headers = _decodable(source, headers, form)
        require_classes(source)
        images, contents, mean_std = _decoded(source, form)
        shapes = [each.size for each in headers]
    if len(set(contents)) == 1:
        raise UserError(
            f"DATA {source.root}: all {len(contents)} images are equal; there is nothing to tell "
            "their labels apart by"
        )
    data = _as_data(source, images, mean_std)
    return Pictures(source, data, contents, _odd(images, shapes))


def _as_data(
    source: Source, images: Tensor, mean_std: tuple[tuple[float, ...], tuple[float, ...]]
) -> ImageData:
    """The training part of a data set without a test part, whose labels nobody has checked."""
    height, width = images.shape[2:]
    finetune, ssl = of_pictures((height, width), flip=True)
    return ImageData(
        x_train=images,
        y_train=torch.from_numpy(source.given),
        x_test=images[:0],
        y_test=torch.zeros(0, dtype=torch.int64),
        class_names=source.classes,
        mean=mean_std[0],
        std=mean_std[1],
        finetune_augment=finetune,
        ssl_augment=ssl,
        labels_clean=False,
    )


def _of_arrays(
    source: Source, size: tuple[int, int] | None
) -> tuple[Source, Tensor, list[tuple[int, int]]]:
    require_classes(source)
    assert source.arrays is not None
    images = torch.from_numpy(np.ascontiguousarray(source.arrays.transpose(0, 3, 1, 2)))
    height, width = images.shape[2:]
    wanted = size or ((height, width) if min(height, width) <= SIZES[-1] else (SIZES[-1],) * 2)
    if wanted != (height, width):
        require_enlargement((height, width), wanted)
        images = resized_images(images, wanted).images
    # They would be in memory twice.
    return replace(source, arrays=None), images, [(height, width)] * len(images)


def _size(headers: Sequence[Header]) -> tuple[int, int]:
    shorter = float(np.median([min(each.size) for each in headers]))
    return (SIZES[0],) * 2 if shorter <= SMALL_SIDE else (SIZES[1],) * 2


def _with_headers(source: Source) -> tuple[Source, list[Header]]:
    """The images whose headers can be read, and these."""
    limit = memory_limit()

    def look(row: int) -> Header | str:
        try:
            with _opened(source, row) as file, Image.open(file) as image:
                width, height = image.size
                require_memory(PIXEL_BYTES * width * height, f"{width} x {height} pixels", limit)
                return Header((height, width), image.mode in GREY_MODES)
        except UserError as error:
            return str(error)
        # Each of Pillow's formats fails in its own way.
        except Exception as error:
            return _reason(error)

    return _those_that(source, look)


def _decodable(
    source: Source, headers: Sequence[Header], form: Form
) -> tuple[Source, list[Header]]:
    """The images that can be decoded; each is tried only where they cannot be all at once."""
    if source.files and _all_cached(source, form):
        return source, list(headers)

    def attempt(row: int) -> Header | str:
        try:
            with _opened(source, row) as file:
                decode(file, form)
        except Exception as error:
            return _reason(error)
        return headers[row]

    return _those_that(source, attempt)


def _all_cached(source: Source, form: Form) -> bool:
    try:
        cached_images(source.files, form, default_cache(), lambda row: source.paths[row])
    except UserError as error:
        log.info("some images cannot be read, and are left out: %s", str(error).splitlines()[0])
        return False
    return True


def _decoded(
    source: Source, form: Form
) -> tuple[Tensor, Sequence[bytes], tuple[tuple[float, ...], tuple[float, ...]]]:
    """Images, contents, mean and deviation."""
    if source.files:
        made = cached_images(source.files, form, default_cache(), lambda row: source.paths[row])
        return made.images, made.contents.tolist(), (made.mean, made.std)
    require_memory(len(source) * int(np.prod(form.shape)), f"DATA {source.root}: its images")
    stack = np.stack([decode(BytesIO(each), form) for each in source.encoded])
    images = torch.from_numpy(stack)
    return images, contents_of(images), channel_statistics(images)


def _opened(source: Source, row: int) -> BinaryIO:
    if source.files:
        return Path(source.files[row]).open("rb")
    return BytesIO(source.encoded[row])


def _those_that(source: Source, look: Callable[[int], Header | str]) -> tuple[Source, list[Header]]:
    """The images of which `look` says no reason against them."""
    with ThreadPoolExecutor(min(available_cpus(), MOST_WORKERS), "noisetune-look") as pool:
        seen = list(pool.map(look, range(len(source))))
    kept = [row for row, each in enumerate(seen) if not isinstance(each, str)]
    left_out = [(source.paths[row], each) for row, each in enumerate(seen) if isinstance(each, str)]
    whole = source if len(kept) == len(source) else source.kept(kept, left_out)
    return whole, [each for each in seen if not isinstance(each, str)]


def _reason(error: Exception) -> str:
    return (str(getattr(error, "strerror", None) or error) or type(error).__name__).splitlines()[0]


def _odd(images: Tensor, shapes: Sequence[tuple[int, int]]) -> list[tuple[int, str]]:
    """The images that are blank, very dark, or tiny where not all are: row and reason."""
    mean, deviation = _brightness(images)
    found = []
    small = min(TINY, float(np.median([min(shape) for shape in shapes])))
    for row, (height, width) in enumerate(shapes):
        if min(height, width) < small:
            found.append((row, f"tiny: {height} x {width} pixels"))
        elif deviation[row] < BLANK:
            found.append((row, "blank: one colour"))
        elif mean[row] < DARK:
            found.append((row, f"very dark: a mean brightness of {mean[row]:.0f} of 255"))
    return found


def _brightness(images: Tensor) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean and deviation of the grey values of each image (N,)."""
    grey = [part.float().mean(1).flatten(1) for part in images.split(IMAGES_AT_ONCE)]
    return (
        torch.cat([each.mean(1) for each in grey]).numpy(),
        torch.cat([each.std(1) for each in grey]).numpy(),
    )
