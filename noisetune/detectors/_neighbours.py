"""The images that are nearest to each by their features: found once, whatever the labels are."""

import time

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

AT_ONCE = 2**25
"""Similarities that are computed at a time: 128 MiB of them."""

TIMED, COUNTED = 10_000, 10
"""Of the images and of their neighbours, where a search is only timed."""


class Neighbours:
    """The nearest others of N images by features (N, D), float32; where `fold` (N,) is given,
    those of an image's own fold, whose features alone can be compared with its own."""

    def __init__(
        self, features: NDArray[np.float32], fold: NDArray[np.int64] | None = None
    ) -> None:
        self.features, self.fold = features, fold
        self._known: dict[int, tuple[Tensor, Tensor]] = {}

    def nearest(self, count: int) -> tuple[Tensor, Tensor]:
        """Cosine and row (N, count) of the nearest, the nearest first. Where there are fewer,
        cosine and row are 0 in their place."""
        if count not in self._known:
            self._known[count] = self._found(count)
        return self._known[count]

    def votes(self, given: NDArray[np.int64], classes: int, count: int) -> NDArray[np.float32]:
        """The votes (N, C) of the nearest for their labels (N,), each as much as it is alike: its
        cosine, where that is above 0."""
        alike, rows = self.nearest(count)
        votes = torch.zeros(len(given), classes)
        return votes.scatter_add_(1, torch.from_numpy(given)[rows], alike.clamp_min(0)).numpy()

    def _found(self, count: int) -> tuple[Tensor, Tensor]:
        total = len(self.features)
        cosines = torch.zeros(total, count)
        places = torch.zeros(total, count, dtype=torch.int64)
        fold = np.zeros(total) if self.fold is None else self.fold
        for number in np.unique(fold):
            own = np.flatnonzero(fold == number)
            unit = F.normalize(torch.from_numpy(self.features[own]), dim=1)
            rows, fewer = torch.from_numpy(own), min(count, len(own) - 1)
            for part in torch.arange(len(own)).split(max(1, AT_ONCE // len(own))):
                alike = unit[part] @ unit.T
                alike[torch.arange(len(part)), part] = -torch.inf
                cosines[rows[part], :fewer], nearest = alike.topk(fewer, dim=1)
                places[rows[part], :fewer] = rows[nearest]
        return cosines, places


def seconds_of_search(images: int, width: int) -> float:
    """How long the neighbours of so many images are looked for, by a part of some of them."""
    some = min(images, TIMED)
    unit = F.normalize(torch.rand(some, width), dim=1)
    part = unit[: max(1, AT_ONCE // images)]
    began = time.monotonic()
    (part @ unit.T).topk(min(COUNTED, some), dim=1)
    return (time.monotonic() - began) * images / len(part) * images / some
