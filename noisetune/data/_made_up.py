"""Images drawn at random in the shape of a data set, for smoke runs where that is not there."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from noisetune.seeds import derive_seed

COUNTS = {True: 50_000, False: 10_000}
SIZE, PATCH = 32, 8


@dataclass(frozen=True, eq=False)
class MadeUp:
    """What torchvision gives of a part: uint8 images (N, 32, 32, 3), labels and class names."""

    data: NDArray[np.uint8]
    targets: list[int]
    classes: list[str]


def made_up(name: str, classes: list[str], train: bool, count: int | None) -> MadeUp:
    """The first `count` images of a part, the same at every call.

    Each class has a pattern of its own, under noise as strong, so that there is something to
    learn. Labels go round the classes.
    """
    count = COUNTS[train] if count is None else min(count, COUNTS[train])
    labels = np.arange(count) % len(classes)
    grid = (len(classes), SIZE // PATCH, SIZE // PATCH, 3)
    patterns = _draw(grid, name).repeat(PATCH, axis=1).repeat(PATCH, axis=2)
    noise = _draw((count, SIZE, SIZE, 3), name, train)
    images = patterns[labels] // 2 + noise // 2
    return MadeUp(images, labels.tolist(), classes)


def _draw(shape: tuple[int, ...], *parts: object) -> NDArray[np.uint8]:
    seed = derive_seed("made up", *map(str, parts))
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
