"""Images drawn at random in the shape of a data set, for smoke runs where that is not there."""

import numpy as np
from numpy.typing import NDArray

from noisetune.seeds import derive_seed

PATCH = 8


def made_up(
    name: str, part: str, count: int, classes: int, shape: tuple[int, int, int]
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """So many images (H, W, C) of a part, the same at every call, and labels that go round the
    classes.

    Each class has a pattern of its own, under noise as strong, so that there is something to
    learn.
    """
    height, width, channels = shape
    labels = np.arange(count) % classes
    grid = (classes, -(-height // PATCH), -(-width // PATCH), channels)
    patterns = _draw(grid, name).repeat(PATCH, axis=1).repeat(PATCH, axis=2)[:, :height, :width]
    noise = _draw((count, *shape), name, part)
    return patterns[labels] // 2 + noise // 2, labels


def _draw(shape: tuple[int, ...], *parts: object) -> NDArray[np.uint8]:
    seed = derive_seed("made up", *map(str, parts))
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
