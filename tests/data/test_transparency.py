"""Images with transparency: what lies under it is not shown."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from noisetune.data._decoding import Form, decode

SIDE = 8
COLOUR = (200, 40, 60)


def rgba(alpha: int) -> Image.Image:
    return Image.new("RGBA", (SIDE, SIDE), (*COLOUR, alpha))


def palette(alpha: int) -> Image.Image:
    image = Image.new("P", (SIDE, SIDE), 1)
    image.putpalette([0, 0, 0, *COLOUR])
    image.info["transparency"] = bytes([255, alpha])
    return image


def seen(image: Image.Image, folder: Path, channels: int = 3, kind: str = "png") -> np.ndarray:
    """The pixel in the middle, as it is read."""
    options = {name: image.info[name] for name in ("transparency",) if name in image.info}
    lossless = {"lossless": True, "exact": True} if kind == "webp" else {}
    image.save(folder / f"x.{kind}", **options, **lossless)
    return decode(str(folder / f"x.{kind}"), Form(SIDE, SIDE, channels))[:, 4, 4]


def over_white(alpha: int) -> np.ndarray:
    return np.array([value * alpha / 255 + 255 - alpha for value in COLOUR])


@pytest.mark.parametrize("alpha", [0, 1, 100, 254, 255])
@pytest.mark.parametrize("make", [rgba, palette])
def test_colours_are_laid_over_white(tmp_path: Path, alpha: int, make: object) -> None:
    assert callable(make)
    assert np.abs(seen(make(alpha), tmp_path) - over_white(alpha)).max() <= 1


@pytest.mark.parametrize("alpha", [0, 100, 255])
@pytest.mark.parametrize("channels", [1, 3])
def test_so_is_grey(tmp_path: Path, alpha: int, channels: int) -> None:
    found = seen(Image.new("LA", (SIDE, SIDE), (50, alpha)), tmp_path, channels)
    assert np.abs(found - (50 * alpha / 255 + 255 - alpha)).max() <= 1


@pytest.mark.parametrize(("mode", "colour"), [("RGB", COLOUR), ("L", 50)])
def test_a_colour_that_stands_for_nothing_is_white(
    tmp_path: Path, mode: str, colour: tuple[int, ...] | int
) -> None:
    image = Image.new(mode, (SIDE, SIDE), colour)
    assert seen(image, tmp_path).tolist() == list(COLOUR if mode == "RGB" else (50,) * 3)
    image.info["transparency"] = colour
    assert seen(image, tmp_path).tolist() == [255] * 3


@pytest.mark.parametrize("kind", ["webp", "tiff"])
def test_other_formats_are_shown_alike(tmp_path: Path, kind: str) -> None:
    assert np.abs(seen(rgba(100), tmp_path, kind=kind) - over_white(100)).max() <= 1


def test_a_gif_is_shown_over_white(tmp_path: Path) -> None:
    image = palette(255)
    image.info["transparency"] = 1
    assert seen(image, tmp_path, kind="gif").tolist() == [255] * 3


def test_edges_are_blended_before_an_image_is_made_smaller(tmp_path: Path) -> None:
    """Half of it hidden black: the mean is between white and what is shown, without that black."""
    wide = np.zeros((64, 64, 4), np.uint8)
    wide[:, ::2] = (200, 200, 200, 255)
    Image.fromarray(wide).save(tmp_path / "x.png")
    inner = decode(str(tmp_path / "x.png"), Form(8, 8, 1))[0, 2:-2, 2:-2]
    assert np.abs(inner.astype(int) - 227).max() <= 3


def test_hidden_colours_change_nothing(tmp_path: Path) -> None:
    """Two files that look alike are read alike."""
    pixels = np.random.default_rng(0).integers(0, 256, (2, SIDE, SIDE, 4), dtype=np.uint8)
    pixels[..., 3] = 0
    pixels[:, :4] = pixels[0, :4] | np.array([0, 0, 0, 255], np.uint8)
    read = []
    for row, image in enumerate(pixels):
        Image.fromarray(image).save(tmp_path / f"{row}.png")
        read.append(decode(str(tmp_path / f"{row}.png"), Form(SIDE, SIDE, 3)))
    assert np.array_equal(*read)
    assert (read[0][:, 4:] == 255).all()


def test_a_turned_transparent_image_is_upright_and_laid_over_white(tmp_path: Path) -> None:
    image, exif = Image.new("RGBA", (SIDE, 2 * SIDE), (0, 0, 0, 255)), Image.Exif()
    image.paste((9, 9, 9, 0), (0, 0, SIDE, SIDE))
    exif[0x0112] = 6  # shown turned by a quarter, clockwise
    image.save(tmp_path / "x.png", exif=exif)
    pixels = decode(str(tmp_path / "x.png"), Form(SIDE, 2 * SIDE, 3))
    assert pixels[:, :, :6].max() == 0
    assert pixels[:, :, 10:].min() == 255
