"""Image files to try data sets on: each with a content of its own."""

from pathlib import Path

import numpy as np
from PIL import Image

SIDE = 8


def pixels(number: int) -> np.ndarray:
    """Grey pixels that no other number has, and a corner from which it can be read."""
    image = np.random.default_rng(number).integers(0, 256, (SIDE, SIDE), dtype=np.uint8)
    image[0, :2] = number // 256, number % 256
    return image


def paint(file: Path, number: int) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels(number)).save(file)
    return file


def number_of(image: np.ndarray) -> int:
    """The number that a loaded image (C, H, W) was painted with."""
    return int(image[0, 0, 0]) * 256 + int(image[0, 0, 1])


def paint_folders(root: Path, train: dict[str, range], test: dict[str, range]) -> None:
    """Class folders of numbered images."""
    for part, classes in (("train", train), ("test", test)):
        for name, numbers in classes.items():
            for number in numbers:
                paint(root / part / name / f"{number}.png", number)
