"""Image files as uint8 arrays of one size, decoded by threads."""

import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from noisetune.data._contents import content_of
from noisetune.data._listing import SHOWN, refuse
from noisetune.errors import UserError
from noisetune.memory import Shares, memory_limit, require_memory
from noisetune.training.runtime import available_cpus

log = logging.getLogger(__name__)

CHUNK_BYTES = 16 * 2**20
MOST_WORKERS = 16
PIXEL_BYTES = 20
"""Of a pixel while it is decoded, at most: as it is stored, upright, twice with its background,
and laid over that."""
LOG_SECONDS = 10.0
WHITE = (255, 255, 255, 255)
MOST_ENLARGED = 8
"""More pixels of the same picture are cost, and no more to see."""
DEEP_MODES = ("I", "F")
"""Pixels of more than eight bits, which Pillow would cut off instead of scaling."""


@dataclass(frozen=True)
class Form:
    """What every image is brought to: height and width in pixels, 1 or 3 channels."""

    height: int
    width: int
    channels: int

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.channels, self.height, self.width


class TooSmallError(ValueError):
    """An image that would be enlarged too much."""


def enlargement(size: tuple[int, int], wanted: tuple[int, int]) -> float:
    """How many times as large an image of `size` is where it covers `wanted`, both (H, W)."""
    return max(wanted[0] / size[0], wanted[1] / size[1])


def require_enlargement(size: tuple[int, int], wanted: tuple[int, int]) -> None:
    """UserError where images of `size` would be enlarged more than `MOST_ENLARGED` times."""
    factor = enlargement(size, wanted)
    if factor > MOST_ENLARGED:
        most = MOST_ENLARGED * size[0], MOST_ENLARGED * size[1]
        raise UserError(
            f"data.size: {wanted[0]}x{wanted[1]} would enlarge images of {size[0]}x{size[1]} "
            f"pixels (height x width) {factor:.3g} times, and {MOST_ENLARGED} times is the most; "
            f"choose {most[0]}x{most[1]} or less"
        )


def decode(file: str | BinaryIO, form: Form) -> np.ndarray:
    """An image file as uint8 (C, H, W).

    Turned upright by its EXIF data, laid over white where it is transparent, its shorter side
    resized (bilinear, antialiased) to cover the form, and the centre cropped. Raises what Pillow
    raises for a file that is no image, and TooSmallError for one that is too small for the form.
    """
    with Image.open(file, formats=_formats()) as image:
        if image.mode.startswith(DEEP_MODES):
            raise ValueError(f"its pixels are of mode {image.mode}; save it with 8 bits a channel")
        upright = ImageOps.exif_transpose(image)
        opaque = _over_white(upright) if upright.has_transparency_data else upright
        plain = opaque.convert("L" if form.channels == 1 else "RGB")
    factor = enlargement(plain.size[::-1], (form.height, form.width))
    if factor > MOST_ENLARGED:
        raise TooSmallError(
            f"{plain.height}x{plain.width} pixels (height x width) would be enlarged {factor:.3g} "
            f"times, and {MOST_ENLARGED} times is the most; choose a smaller data.size"
        )
    return _fitted(plain, form)


def _fitted(image: Image.Image, form: Form) -> np.ndarray:
    """uint8 (C, H, W) of an image of as many channels, in the form."""
    fitted = ImageOps.fit(image, (form.width, form.height), Image.Resampling.BILINEAR)
    pixels = np.asarray(fitted).reshape(form.height, form.width, form.channels)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def _over_white(image: Image.Image) -> Image.Image:
    """What a page or a viewer shows: the colours that lie under transparency are nobody's."""
    return Image.alpha_composite(Image.new("RGBA", image.size, WHITE), image.convert("RGBA"))


@cache
def _formats() -> list[str]:
    Image.init()
    # To read an EPS file is to run the program in it.
    return sorted(set(Image.OPEN) - {"EPS"})


def _needed(file: BinaryIO, where: str, limit: int) -> int:
    """Bytes that an image takes while it is decoded, by what its header says.

    UserError where they are more than `limit`. Raises what Pillow raises for a file that is none.
    """
    size = os.fstat(file.fileno()).st_size
    require_memory(size, f"{where}: the file", limit)
    with Image.open(file, formats=_formats()) as image:
        width, height = image.size
    needed = size + PIXEL_BYTES * width * height
    require_memory(needed, f"{where}: its {width} x {height} pixels", limit)
    file.seek(0)
    return needed


def resize_all(
    images: np.ndarray, contents: Sequence[bytes], form: Form
) -> Iterator[tuple[np.ndarray, list[bytes]]]:
    """uint8 images (N, C, H, W) in the form, in order, in stacks as those of `decode_all`."""
    workers = min(available_cpus(), MOST_WORKERS)
    at_once = _at_once(workers, form)

    def resize(part: np.ndarray) -> list[np.ndarray]:
        rows = part[:, 0] if form.channels == 1 else part.transpose(0, 2, 3, 1)
        return [_fitted(Image.fromarray(np.ascontiguousarray(row)), form) for row in rows]

    with ThreadPoolExecutor(workers, "noisetune-resize") as pool:
        for start in range(0, len(images), at_once):
            parts = np.array_split(images[start : start + at_once], workers)
            rows = [row for made in pool.map(resize, parts) for row in made]
            yield np.stack(rows), list(contents[start : start + at_once])


def _at_once(workers: int, form: Form) -> int:
    """So many images are made together."""
    return max(workers, CHUNK_BYTES // int(np.prod(form.shape)))


def decode_all(
    files: Sequence[str],
    form: Form,
    where: Callable[[int], str],
    known_row: Callable[[bytes], np.ndarray | None],
) -> Iterator[tuple[np.ndarray, list[bytes]]]:
    """All files in order: stacks uint8 (n, C, H, W) of a few megabytes, and the files' contents.

    Each file is read once; its content is a digest of these bytes. What `known_row(content)` has is
    not decoded again. All threads together take no more memory than there is for reading data. A
    log line now and then says how far it is. Raises UserError naming the first few files that
    cannot be read, or would take more than that, by `where(index)`.
    """
    workers = min(available_cpus(), MOST_WORKERS)
    at_once = _at_once(workers, form)
    limit = memory_limit()
    shares = Shares(limit)
    problems: list[str] = []
    looked_at = 0
    last_line = time.monotonic()

    def attempt(index: int) -> tuple[np.ndarray, bytes] | str:
        try:
            with (
                Path(files[index]).open("rb") as file,
                shares.taken(_needed(file, where(index), limit)),
            ):
                data = file.read()
                content = content_of(data)
                row = known_row(content)
                return decode(BytesIO(data), form) if row is None else row, content
        except UserError as error:
            return str(error)
        except TooSmallError as error:
            return f"{where(index)}: {error}"
        except UnidentifiedImageError:
            return f"{where(index)}: cannot be read as an image (it is of no format that is known)"
        # Each of Pillow's decoders fails in its own way.
        except Exception as error:
            return f"{where(index)}: cannot be read as an image ({error})"

    with ThreadPoolExecutor(workers, "noisetune-decode") as pool:
        for start in range(0, len(files), at_once):
            made = list(pool.map(attempt, range(start, min(start + at_once, len(files)))))
            looked_at += len(made)
            problems += [each for each in made if isinstance(each, str)]
            if len(problems) >= SHOWN:
                break
            if not problems:
                whole = [each for each in made if not isinstance(each, str)]
                yield np.stack([row for row, _ in whole]), [content for _, content in whole]
            if time.monotonic() - last_line > LOG_SECONDS:
                log.info("%d of %d images decoded", looked_at, len(files))
                last_line = time.monotonic()
    refuse(problems, "data: mend these files, or take them out", more=looked_at < len(files))
