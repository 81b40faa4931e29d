"""Features: a head is trained on vectors that some other network made of the images."""

import hashlib
import warnings
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from noisetune.arrays import UNREADABLE, Archive, map_npy
from noisetune.caches import cache_folder, scratch
from noisetune.data._contents import (
    as_contents,
    content_of,
    read_contents,
    state_digest,
    write_contents,
)
from noisetune.errors import UserError, existing_file
from noisetune.memory import require_memory
from noisetune.ssl.base import Features, GivenFeatures

PARTS = ("train", "test")
WIDEST = 8
"""Bytes of a float64."""
ROWS_AT_ONCE = 4096
SMALLEST = 1e-12


class Config(GivenFeatures):
    """One vector an image, of any foundation model, in the order of the data set's images.

    `path` is an .npz archive with `train` (N, D) and `test` (M, D), or a folder of `train.npy` and
    `test.npy`, in float16, float32 or float64, and read as float32. There is a row for each image
    that the data set has as it is loaded (`data.overlap: drop_from_train` takes images out); where
    `data.train_samples` or `data.test_samples` keeps a part, there may be rows for all.
    `finetune.train` is `probe`; `model`, and the images themselves, are not read.
    """

    method: Literal["features"] = "features"
    path: Path
    """The archive, or the folder. A folder of float32 is mapped into memory, and shared by the
    trials of a host; all else is read by each process."""
    normalise: Literal["none", "unit", "standard"] = "none"
    """How vectors are scaled: not at all, each to length 1 (`unit`), or each dimension by its mean
    and deviation over the training part (`standard`)."""

    def identity(self) -> dict[str, Any]:
        return {"normalise": self.normalise}

    def read(self) -> tuple[Features, str]:
        arrays = self._arrays()
        parts = {part: self._vectors(part, array) for part, array in arrays.items()}
        features = Features(**parts)
        if features.width != features.test.shape[1]:
            raise self._wrong(
                f"train has vectors of {features.width} values, and test of "
                f"{features.test.shape[1]}; both must be of one network"
            )
        return features, self._content(features)

    def width(self) -> int:
        if self.path.is_dir():
            return map_npy(self._files()[PARTS[0]]).shape[1]
        with Archive(self.path) as archive:
            return archive.shape(PARTS[0])[1]

    def prepared(self, features: Features) -> Features:
        if self.normalise == "none":
            return features
        if self.normalise == "unit":
            return Features(F.normalize(features.train), F.normalize(features.test))
        deviation, mean = torch.std_mean(features.train, dim=0, correction=0)
        spread = deviation.clamp(min=SMALLEST)
        return Features((features.train - mean) / spread, (features.test - mean) / spread)

    def _files(self) -> dict[str, Path]:
        """The files by what is in them, all that there is under `path`."""
        if self.path.is_dir():
            return {part: self.path / f"{part}.npy" for part in PARTS}
        return {"features": self.path}

    def _arrays(self) -> Mapping[str, np.ndarray]:
        files = {part: existing_file(file, "pretrain.path") for part, file in self._files().items()}
        try:
            if self.path.is_dir():
                return {part: map_npy(file) for part, file in files.items()}
            with Archive(self.path) as archive:
                missing = [part for part in PARTS if part not in archive.names]
                if missing:
                    raise self._wrong(
                        f"the archive has no {' and no '.join(missing)}; it must hold train and "
                        "test, one vector an image"
                    )
                require_memory(2 * archive.sizes(PARTS), f"pretrain.path: {self.path}: its vectors")
                return {part: archive.read(part) for part in PARTS}
        except UNREADABLE as error:
            raise self._wrong(
                f"cannot be read as plain arrays ({error}); write it with numpy.savez, or "
                "train.npy and test.npy in a folder with numpy.save"
            ) from error

    def _vectors(self, part: str, array: np.ndarray) -> Tensor:
        """An array as float32 (N, D), over the array itself where it is that."""
        if array.dtype.kind != "f" or array.dtype.itemsize > WIDEST:
            raise self._wrong(
                f"{part} is of type {array.dtype}; it must be of float16, float32 or float64"
            )
        if array.ndim != 2 or 0 in array.shape:
            raise self._wrong(
                f"{part} is of shape {array.shape}; it must be (images, values), one vector each"
            )
        with warnings.catch_warnings(), np.errstate(over="ignore"):
            warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
            return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))

    def _content(self, features: Features) -> str:
        """A digest of all vectors, kept by the state of their files; UserError where one is not
        finite."""
        files = [str(file) for file in self._files().values()]
        kept = Path("features") / f"{state_digest(files, files.__getitem__)}.contents"
        known = read_contents(cache_folder() / kept, 1)
        if known is None:
            parts = zip(PARTS, (features.train, features.test), strict=True)
            known = as_contents([content_of(b"".join(self._looked_at(*part) for part in parts))])
            # It only saves time.
            with suppress(OSError):
                place = (scratch() or cache_folder()) / kept
                place.parent.mkdir(parents=True, exist_ok=True)
                write_contents(place, known)
        return known.tobytes().hex()

    def _looked_at(self, part: str, vectors: Tensor) -> bytes:
        """A digest of the vectors of a part."""
        digest = hashlib.sha256(repr(tuple(vectors.shape)).encode())
        for number, rows in enumerate(vectors.split(ROWS_AT_ONCE)):
            finite = rows.isfinite().all(dim=1)
            if not finite.all():
                row = number * ROWS_AT_ONCE + int(finite.int().argmin())
                raise self._wrong(
                    f"{part}: the vector in row {row} holds values that are not finite; compute it "
                    "again, or take the image out of the data set"
                )
            digest.update(rows.numpy().data)
        return digest.digest()

    def _wrong(self, what: str) -> UserError:
        return UserError(f"pretrain.path: {self.path}: {what}")
