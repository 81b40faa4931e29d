"""Images and the labels that they were given, in whichever of four forms they lie."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from noisetune.data._labels import whole_number
from noisetune.data._listing import SHOWN
from noisetune.errors import UserError

Kind = Literal["folders", "list", "npz", "datasets"]
FEWEST_OF_A_CLASS = 10
"""A class of fewer images is named: little can be said of it."""


@dataclass(frozen=True)
class Source:
    """N images of `root`: `paths` name them, `labels` are as they were given.

    `files` are what is opened for them, or `arrays`, uint8 (N, H, W, C), are the images, until they
    were read, or `encoded` the bytes of their files: one of the three. `parts` says of each which
    part of the data it is in (`train`, `test`), where there are any. `left_out` are what is no
    image by its name, or was not read, with the reason.
    """

    root: Path
    kind: Kind
    paths: Sequence[str]
    labels: Sequence[str]
    files: Sequence[str] = ()
    arrays: NDArray[np.uint8] | None = None
    encoded: Sequence[bytes] = ()
    parts: Sequence[str] | None = None
    left_out: Sequence[tuple[str, str]] = ()

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def classes(self) -> tuple[str, ...]:
        """The labels that occur: numbers by value, names in alphabetical order."""
        names = sorted(set(self.labels))
        numbers = {name: whole_number(name) for name in names}
        if any(number is None for number in numbers.values()):
            return tuple(names)
        return tuple(sorted(names, key=lambda name: (numbers[name] or 0, name)))

    @property
    def given(self) -> NDArray[np.int64]:
        """The labels as places in `classes` (N,)."""
        places = {name: place for place, name in enumerate(self.classes)}
        return np.array([places[label] for label in self.labels], dtype=np.int64)

    @property
    def small_classes(self) -> dict[str, int]:
        """The classes of fewer than `FEWEST_OF_A_CLASS` images, with their numbers."""
        counts = Counter(self.labels)
        return {name: counts[name] for name in self.classes if counts[name] < FEWEST_OF_A_CLASS}

    def kept(self, rows: Sequence[int], left_out: Sequence[tuple[str, str]]) -> "Source":
        """The images at `rows`; the others are `left_out`, each with its reason."""
        return replace(
            self,
            paths=[self.paths[row] for row in rows],
            labels=[self.labels[row] for row in rows],
            files=[self.files[row] for row in rows] if self.files else (),
            arrays=None if self.arrays is None else self.arrays[list(rows)],
            encoded=[self.encoded[row] for row in rows] if self.encoded else (),
            parts=None if self.parts is None else [self.parts[row] for row in rows],
            left_out=[*self.left_out, *left_out],
        )


def require_classes(source: Source) -> None:
    """UserError for labels of which none can be wrong, or that are no classes."""
    if not len(source):
        reasons = "; ".join(f"{path}: {why}" for path, why in source.left_out[:SHOWN])
        raise UserError(
            f"DATA {source.root}: not one image can be read ({reasons or 'there is none'}); "
            "give images that Pillow reads"
        )
    names = source.classes
    if len(names) < 2:
        raise UserError(
            f"DATA {source.root}: all {len(source)} images have the one label {names[0]!r}; two or "
            "more classes are needed to tell that one of them is wrong"
        )
    if len(names) > len(source) / 2:
        shown = ", ".join(names[:SHOWN])
        raise UserError(
            f"DATA {source.root}: {len(names)} different labels for {len(source)} images ({shown}, "
            "...): these are no classes, but numbers to be predicted, or names of the files; give "
            "a label that several images share"
        )
