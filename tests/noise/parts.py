"""Parts of a data set for noise models to corrupt."""

from typing import Any

import numpy as np

from noisetune.noise.base import CleanPart

CIFAR10_NAMES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip


def part_of(labels: Any, classes: int, size: int = 2, **more: Any) -> CleanPart:
    """Labels with random grey images of size x size, made from the number of labels alone."""
    labels = np.asarray(labels, dtype=np.int64)
    rng = np.random.default_rng(len(labels))
    images = rng.integers(0, 256, (len(labels), 1, size, size), dtype=np.uint8)
    names = tuple(map(str, range(classes)))
    settings: dict[str, Any] = {"class_names": names, "mean": (0.5,), "std": (0.29,)}
    return CleanPart(labels, classes, images=images, **settings | more)


def drawn(count: int, classes: int, seed: int) -> CleanPart:
    """`count` random labels, in superclasses of two (the last of three where classes are odd)."""
    labels = np.random.default_rng(seed).integers(0, classes, count)
    return part_of(labels, classes, superclasses=pairs(classes))


def balanced(count: int, classes: int) -> CleanPart:
    """`count` labels of each class."""
    return part_of(np.repeat(np.arange(classes), count), classes, superclasses=pairs(classes))


def pairs(classes: int) -> tuple[int, ...]:
    return tuple(min(label // 2, classes // 2 - 1) for label in range(classes))
