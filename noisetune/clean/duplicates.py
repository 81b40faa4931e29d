"""Images that are there twice: exactly, by their content, or nearly, by the encoder's features."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from noisetune.detectors._neighbours import Neighbours

NEAREST = 3
ALIKE = 0.98
"""Cosine of centred features from which on images may be near duplicates."""
APART = 6.0
"""And the mean difference of their pixels (0..255) is this at most, after both are brought to the
same brightness, and one of them is mirrored where that fits better."""


@dataclass(frozen=True)
class Duplicates:
    """Groups of rows, ascending: `exact` have the same content, `near` are alike (or the same).

    `group` (N,) numbers the near ones from 1 on; 0 for an image that is in none.
    """

    exact: Sequence[tuple[int, ...]]
    near: Sequence[tuple[int, ...]]
    group: NDArray[np.int64]


def find_duplicates(
    contents: Sequence[bytes], features: NDArray[np.float32], images: torch.Tensor
) -> Duplicates:
    """Duplicates by digests (N,), features (N, D) and uint8 images (N, C, H, W)."""
    same = defaultdict[bytes, list[int]](list)
    for row, content in enumerate(contents):
        same[content].append(row)
    exact = [tuple(rows) for rows in same.values() if len(rows) > 1]
    pairs = [(rows[0], other) for rows in exact for other in rows[1:]]
    near = _joined([*pairs, *_alike(features, images)], len(contents))
    group = np.zeros(len(contents), dtype=np.int64)
    for number, rows in enumerate(near, 1):
        group[list(rows)] = number
    return Duplicates(exact, near, group)


def _alike(features: NDArray[np.float32], images: torch.Tensor) -> list[tuple[int, int]]:
    """Pairs of rows whose features and pixels are nearly equal."""
    cosines, nearest = Neighbours(features - features.mean(0)).nearest(NEAREST)
    pairs = set[tuple[int, int]]()
    for one, rank in (cosines > ALIKE).nonzero().tolist():
        other = int(nearest[one, rank])
        pairs.add((min(one, other), max(one, other)))
    return [pair for pair in sorted(pairs) if _difference(images, *pair) <= APART]


def _difference(images: torch.Tensor, one: int, other: int) -> float:
    first, second = (images[row].float() - images[row].float().mean() for row in (one, other))
    return min(float((first - each).abs().mean()) for each in (second, second.flip(-1)))


def _joined(pairs: Sequence[tuple[int, int]], count: int) -> list[tuple[int, ...]]:
    """The groups that pairs of rows make."""
    parent = list(range(count))

    def root(row: int) -> int:
        while parent[row] != row:
            parent[row] = parent[parent[row]]
            row = parent[row]
        return row

    for one, other in pairs:
        first, second = sorted((root(one), root(other)))
        parent[second] = first
    groups = defaultdict[int, list[int]](list)
    for row in sorted({row for pair in pairs for row in pair}):
        groups[root(row)].append(row)
    return [tuple(rows) for rows in groups.values()]
