"""Images are brought to one form; those that cannot be are listed, and odd ones named."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from noisetune.clean.pictures import read_pictures
from noisetune.clean.reading import read_source
from noisetune.errors import UserError


def test_what_cannot_be_read_is_left_out(tmp_path: Path, make_folders: Callable[..., Path]) -> None:
    data = make_folders(tmp_path / "data", 3)
    whole = (data / "flat" / "1.png").read_bytes()
    (data / "flat" / "cut.png").write_bytes(whole[: len(whole) // 2])
    (data / "upright" / "none.jpg").write_bytes(b"no image")
    before = {file: file.read_bytes() for file in data.rglob("*.*")}
    pictures = read_pictures(read_source(data))
    assert {path for path, _ in pictures.source.left_out} == {"flat/cut.png", "upright/none.jpg"}
    assert all(why for _, why in pictures.source.left_out)
    assert pictures.data.x_train.shape == (6, 3, 32, 32)
    assert pictures.data.y_train.tolist() == pictures.source.given.tolist()
    assert not pictures.data.labels_clean
    assert {file: file.read_bytes() for file in data.rglob("*.*")} == before


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "CMYK", "LA"])
def test_images_of_any_mode_and_size(
    tmp_path: Path, make_folders: Callable[..., Path], mode: str
) -> None:
    data = make_folders(tmp_path / "data", 2)
    Image.new("RGB", (90, 40), "red").convert(mode).save(data / "flat" / "other.tiff")
    assert len(read_pictures(read_source(data)).source) == 5


def test_odd_images(tmp_path: Path, make_folders: Callable[..., Path]) -> None:
    data = make_folders(tmp_path / "data", 2)
    dark = np.random.default_rng(0).integers(0, 12, (20, 20), dtype=np.uint8)
    Image.fromarray(dark).save(data / "flat" / "dark.png")
    Image.new("RGB", (20, 20), "white").save(data / "flat" / "blank.png")
    Image.fromarray(dark[:6, :6] * 20).save(data / "flat" / "tiny.png")
    pictures = read_pictures(read_source(data))
    odd = {pictures.source.paths[row]: why.split(":")[0] for row, why in pictures.odd}
    assert odd == {
        "flat/dark.png": "very dark",
        "flat/blank.png": "blank",
        "flat/tiny.png": "tiny",
    }


def test_where_all_images_are_tiny_none_is_odd(tmp_path: Path) -> None:
    x = np.random.default_rng(0).integers(0, 256, (6, 8, 8), dtype=np.uint8)
    np.savez(tmp_path / "mine.npz", x=x, y=[0, 1] * 3)
    assert not read_pictures(read_source(tmp_path / "mine.npz")).odd


def test_equal_images_alone(tmp_path: Path) -> None:
    np.savez(tmp_path / "mine.npz", x=np.ones((6, 8, 8), np.uint8), y=[0, 1] * 3)
    with pytest.raises(UserError, match="all 6 images are equal"):
        read_pictures(read_source(tmp_path / "mine.npz"))


def test_nothing_readable(tmp_path: Path) -> None:
    for label in ("a", "b"):
        (tmp_path / label).mkdir()
        (tmp_path / label / "one.png").write_bytes(b"no")
    with pytest.raises(UserError, match="not one image can be read"):
        read_pictures(read_source(tmp_path))
