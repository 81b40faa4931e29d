"""Where random numbers come from: streams by name, so that what ran before changes no draw.

Trials of a replicate that differ in rate, noise model, method or data draw the same numbers for the
same purpose (common random numbers): between them differs what they do, and not their luck.
"""

import hashlib
import json
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch

Purpose = Literal[
    "split",  # who is held out
    "noise",  # which labels become wrong, and which ones they become
    "projection",  # what noise knows images by
    "initialisation",  # the weights that training begins with
    "order",  # the batches of an epoch
    "augmentation",  # the views of an epoch
    "method",  # what a method draws itself
    "sample",  # which images are looked at
]


def derive_seed(*parts: Any) -> int:
    """A 63-bit seed from JSON-able parts; equal parts give equal seeds on every machine."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(*parts: Any) -> torch.Generator:
    """A CPU generator seeded by name."""
    return torch.Generator().manual_seed(derive_seed(*parts))


@contextmanager
def seeded_initialisation(*parts: Any) -> Iterator[None]:
    """Weights built inside are drawn from this seed; the global generator stays untouched."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(*parts))
        yield


@dataclass(frozen=True)
class Stream:
    """The random numbers of a role (a stage, one of its folds, a purpose) in one replicate.

    They derive from these alone, and no two roles share a stream. The `part` that each way to draw
    takes is a piece of the stream with numbers of its own: an epoch, a view, a network.
    """

    replicate: int
    stage: str
    purpose: Purpose
    fold: int | None = None

    def seed(self, *part: int | str) -> int:
        """63 bits, for a generator of another kind."""
        return derive_seed(*self._name, *part)

    def rng(self, *part: int | str) -> np.random.Generator:
        """NumPy's generator."""
        return np.random.default_rng(self.seed(*part))

    def generator(self, *part: int | str) -> torch.Generator:
        """Torch's generator, on the CPU."""
        return generator(*self._name, *part)

    def initialising(self, *part: int | str) -> AbstractContextManager[None]:
        """Weights built inside are drawn from it."""
        return seeded_initialisation(*self._name, *part)

    @property
    def _name(self) -> tuple[int | str | None, ...]:
        return self.replicate, self.stage, self.fold, self.purpose
