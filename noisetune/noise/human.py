"""Labels that people gave: CIFAR-10N and CIFAR-100N (Wei et al. 2022, arXiv 2110.12088)."""

import hashlib
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike

from noisetune.arrays import Archive
from noisetune.errors import UserError, existing_file
from noisetune.memory import require_memory, unpacked_bytes
from noisetune.noise.base import CleanPart, Labels, Matrix, NoiseConfig, Part, realised_matrix
from noisetune.plugins import StandIn
from noisetune.seeds import derive_seed

NAMES = {
    "clean": "clean_label",
    "aggre": "aggre_label",
    "random1": "random_label1",
    "random2": "random_label2",
    "random3": "random_label3",
    "worse": "worse_label",
    "noisy": "noisy_label",
}
"""What the authors' files call each set of labels; an .npz may use either name."""
MADE_UP_RATE = 0.3
"""The share of wrong labels among made-up ones."""

_RECONSTRUCT = np.empty(0).__reduce__()[0]
# Arrays of whole numbers of any width. An older NumPy wrote them, and had that function elsewhere.
HELD_TYPES: list[Any] = [
    np.ndarray,
    np.dtype,
    *(type(np.dtype(kind)) for kind in np.typecodes["AllInteger"]),
    _RECONSTRUCT,
    (_RECONSTRUCT, "numpy.core.multiarray._reconstruct"),
]


class Config(NoiseConfig):
    """The labels of a file, for the training set in its original order; there are none for tests.

    The clean labels in the file must be those of the data set. The transition matrix is the
    realised one. Nothing is unpickled but arrays of labels.
    """

    parts: ClassVar[tuple[Part, ...]] = ("train",)

    model: Literal["human"] = "human"
    labels: Literal["aggre", "random1", "random2", "random3", "worse", "noisy"]
    """Of CIFAR-10N `aggre` (the majority), `random1` to `random3` (one annotator each) or `worse`
    (a wrong one, where any of the three is wrong); of CIFAR-100N `noisy`."""
    path: Path
    """The authors' CIFAR-10_human.pt or CIFAR-100_human.pt (of UCSC-REAL/cifar-10-100n), or an
    .npz of `clean` and the labels by the names of `labels` or by the authors'."""

    def corrupt(self, clean: CleanPart, rng: np.random.Generator) -> Labels:
        return self._noisy(clean)

    def transition_matrix(self, clean: CleanPart) -> Matrix:
        noisy = self._noisy(clean)
        # Those of the data set, which may not have been fetched.
        known = _of_images(self._array("clean"), clean)
        return realised_matrix(known, noisy, clean.classes)

    def identity(self) -> Mapping[str, Any]:
        """The labels themselves: another file, or another place of it, is the same noise."""
        digest = hashlib.sha256(self._array(self.labels).tobytes()).hexdigest()[:32]
        return {"model": self.model, "labels": digest}

    def stand_in(
        self, clean: Callable[[], CleanPart], made_up: bool, folder: Path
    ) -> StandIn | None:
        """An archive with every set of labels, 30 % of them wrong."""
        if self.path.is_file() and not made_up:
            return None
        file = folder / f"labels-{hashlib.sha256(str(self.path).encode()).hexdigest()[:8]}.npz"
        write_made_up(file, clean())
        return StandIn({"path": str(file)}, f"human labels are made up, in place of {self.path}")

    def _noisy(self, clean: CleanPart) -> Labels:
        if clean.part not in self.parts:
            raise UserError("noise.model: human labels exist for training sets alone")
        count = len(clean.labels)
        known, noisy = (_of_images(self._array(name), clean) for name in ("clean", self.labels))
        different = count if len(known) < count else int((known != clean.labels).sum())
        if not clean.seen and len(known) == count:
            different = 0
        if different:
            raise UserError(
                f"noise.path: {self.path}: its clean labels are not those of the data set "
                f"({different} of {count} differ): the order differs, or it was made for another "
                "data set; give the file and the images in their original order"
            )
        if len(noisy) < count or noisy.min() < 0 or noisy.max() >= clean.classes:
            raise UserError(
                f"noise.path: {self.path}: {self.labels} must be a label in 0..{clean.classes - 1} "
                f"for each of the {count} images"
            )
        return noisy

    def _array(self, name: str) -> Labels:
        """A set of labels in the file, int64."""
        arrays = read_labels(self.path)
        for key in (NAMES[name], name):
            if key in arrays:
                return _checked(arrays[key], f"noise.path: {self.path}: {key}")
        there = [each for each in NAMES if {each, NAMES[each]} & arrays.keys()]
        raise UserError(
            f"noise.labels: {self.path} has no {name!r} labels; there are {', '.join(there)}"
        )


def _of_images(labels: Labels, clean: CleanPart) -> Labels:
    """Those of the images of a part, as far as they reach."""
    if clean.rows is None:
        return labels[: len(clean.labels)]
    return labels[clean.rows[clean.rows < len(labels)]]


def write_made_up(file: Path, clean: CleanPart) -> None:
    """An archive as `read_labels` reads it, the clean labels and noisy ones by each name."""
    labels = {"clean": clean.labels}
    for name in sorted(NAMES.keys() - {"clean"}):
        random = np.random.default_rng(derive_seed("made-up labels", name))
        wrong = random.random(len(clean.labels)) < MADE_UP_RATE
        shift = random.integers(1, clean.classes, len(clean.labels))
        labels[name] = (clean.labels + wrong * shift) % clean.classes
    file.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(file, allow_pickle=False, **labels)


def read_labels(path: Path) -> Mapping[str, ArrayLike]:
    """The arrays in a .pt or .npz file; UserError for anything else. Nothing in it is executed."""
    existing_file(path, "noise.path")
    try:
        require_memory(unpacked_bytes(path), f"noise.path: {path}: its labels")
        if path.suffix == ".npz":
            with Archive(path) as archive:
                return {name: archive.read(name) for name in archive.names}
        with torch.serialization.safe_globals(HELD_TYPES):
            arrays = torch.load(path, weights_only=True)
    except UserError:
        raise
    # What a file that is none makes these readers raise has no common kind.
    except Exception as error:
        held = re.search(r"GLOBAL (\S+)", str(error))
        raise UserError(
            f"noise.path: {path}: is refused: "
            + (f"it holds {held[1]}" if held else f"it cannot be read ({type(error).__name__})")
            + ", not NumPy labels alone; give the CIFAR-N authors' .pt file, or an .npz of arrays"
        ) from None
    if not isinstance(arrays, dict):
        raise UserError(f"noise.path: {path}: holds no named arrays")
    return arrays


def _checked(array: ArrayLike, what: str) -> Labels:
    labels = np.asarray(array)
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise UserError(f"{what}: must be a list of integer labels")
    return labels.astype(np.int64)
