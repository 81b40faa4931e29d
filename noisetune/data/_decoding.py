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


def decode(file: str | BinaryIO, form: Form) -> np.ndarray:
    """An image file as uint8 (C, H, W).

    Turned upright by its EXIF data, laid over white where it is transparent, its shorter side
    resized (bilinear, antialiased) to cover the form, and the centre cropped. Raises what Pillow
    raises for a file that is no image.
    """
    with Image.open(file, formats=_formats()) as image:
        if image.mode.startswith(DEEP_MODES):
            raise ValueError(f"its pixels are of mode {image.mode}; save it with 8 bits a channel")
        upright = ImageOps.exif_transpose(image)
        opaque = _over_white(upright) if upright.has_transparency_data else upright
        plain = opaque.convert("L" if form.channels == 1 else "RGB")
    fitted = ImageOps.fit(plain, (form.width, form.height), Image.Resampling.BILINEAR)
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
    at_once = max(workers, CHUNK_BYTES // int(np.prod(form.shape)))
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
